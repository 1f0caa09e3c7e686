//! Delivery status notifications: every published one, and what foreign bytes do.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use std::collections::BTreeSet;

use gatepost_trace::dsn::{Action, Dsn, Recipient, read};

fn sample(name: &str) -> Dsn {
    read(&samples::read(&format!("dsn/{name}.eml"))).unwrap_or_else(|| panic!("{name} is no notification"))
}

/// Recipient, action, status, type and beginning of the diagnostic code.
fn told(recipient: &Recipient) -> String {
    let action = recipient.action.map(|action| format!("{action:?}")).unwrap_or_default();
    let status = recipient.status.map(|status| status.to_string()).unwrap_or_default();
    let diagnostic = recipient.diagnostic_code.clone().unwrap_or_default();
    let text: String = diagnostic.text.chars().take(60).collect();
    format!("{} {action} {status} {}; {text}", recipient.final_recipient.as_ref().unwrap().text, diagnostic.kind)
}

#[test]
fn corpus_published_notifications_mean_what_they_say() {
    let mut wrong = Vec::new();
    let files = samples::folder("dsn");
    let names: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(files.len(), names.len());
    for (file, bytes) in files {
        let name = file.trim_end_matches(".eml");
        let expected: Vec<&str> = TABLE.iter().filter(|(of, _)| *of == name).map(|(_, told)| *told).collect();
        let found: Vec<String> = read(&bytes).unwrap_or_default().recipients.iter().map(told).collect();
        if found != expected {
            found.iter().for_each(|found| wrong.push(format!("    (\"{name}\", {found:?}),")));
        }
    }
    assert!(wrong.is_empty(), "read otherwise:\n{}", wrong.join("\n"));
}

/// Checked by eye against the files; those of Exchange 2003, `office365-01` and `postfix-07` have no fields.
const TABLE: &[(&str, &str)] = &[
    (
        "lhost-exchange2003-01",
        "kijitora@example.jp Failed  ; The recipient name is not recognized MSEXCH:IMS:NNN:KIJITORA",
    ),
    (
        "lhost-exchange2003-02",
        "kijitora@example.co.jp Failed  ; The recipient name is not recognized The MTS-ID of the origi",
    ),
    (
        "lhost-exchange2003-02",
        "mikeneko@example.co.jp Failed  ; The recipient name is not recognized The MTS-ID of the origi",
    ),
    ("lhost-exchange2003-04", "kijitora@example.com Failed  ; Recipient Not Found MSEXCH:IMC:NEKO:KIJITORA:CAT"),
    (
        "lhost-exchange2003-05",
        "kijitora@example.com Failed  ; The recipient name is not recognized The MTS-ID of the origi",
    ),
    (
        "lhost-exchange2007-01",
        "mikeneko@example.co.jp Failed 5.1.1 smtp; 550 5.1.1 RESOLVER.ADR.RecipNotFound; not found",
    ),
    (
        "lhost-exchange2007-02",
        "kijitora@example.edu Failed 5.2.2 smtp; 550 5.2.2 STOREDRV.Deliver: mailbox full. The following info",
    ),
    (
        "lhost-exchange2007-04",
        "neko-nyaan@example.jp Failed 5.7.1 smtp; 550 5.7.1 RESOLVER.RST.AuthRequired; authentication required",
    ),
    (
        "lhost-exchange2007-05",
        "gwang1@student.mlcsyd.nsw.edu.au Failed 4.4.7 smtp; 550 4.4.7 QUEUE.Expired; message expired",
    ),
    ("lhost-exchange2007-07", "kijitora@example.jp Failed 5.1.1 smtp; 550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"),
    (
        "lhost-office365-01",
        "kijitora@example.com Failed 5.1.10 smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not fou",
    ),
    (
        "lhost-office365-03",
        "kijitora@example.com Failed 5.1.0 smtp; 550 5.1.0 192.0.2.222 is not allowed to send from <example.n",
    ),
    (
        "lhost-office365-04",
        "otsu-sakaba-hunter-neko-nyaaaaaaan@ezweb.ne.jp Failed 5.1.351 smtp; 550 5.1.351 Remote server returned unknown recipient or mail",
    ),
    ("lhost-office365-06", "neko@libsisimai.org Failed 5.4.312 smtp; 550 5.4.312 Message expired, DNS query failed"),
    (
        "lhost-office365-07",
        "otsu-sakaba-hunter-neko-nyaaaaaaan@ezweb.ne.jp Failed 5.1.351 smtp; 550 5.1.351 Remote server returned unknown recipient or mail",
    ),
    (
        "lhost-office365-09",
        "azumakuniyuki@example.ne.jp Failed 5.1.351 smtp; 550 5.1.351 Remote server returned unknown recipient or mail",
    ),
    (
        "lhost-office365-10",
        "azumakuniyuki@example.ne.jp Failed 5.1.351 smtp; 550 5.1.351 Remote server returned unknown recipient or mail",
    ),
    (
        "lhost-office365-12",
        "kijitora@cr.neko.nyaan.jp Failed 5.2.2 smtp; 550 5.2.2 <kijitora@cr.neko.nyaan.jp>... Mailbox Full",
    ),
    (
        "lhost-office365-13",
        "kijitora-nyaan@neko.kyoto.example.jp Failed 5.1.10 smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not fou",
    ),
    ("lhost-outlook-02", "kijitora@example.jp Failed 5.1.1 smtp; 550 5.1.1 <kijitora@example.jp>... User Unknown"),
    (
        "lhost-outlook-03",
        "kijitora@example.jp Failed 5.5.0 smtp; 554 The mail could not be delivered to the recipient because",
    ),
    ("lhost-outlook-06", "kijitora@example.com Delayed 4.4.7 ; "),
    ("lhost-outlook-07", "kijitora@example.com Failed 4.4.7 ; "),
    (
        "lhost-outlook-09",
        "kijitora@example.org Failed 5.5.0 smtp; 550 domain [example.com] mismatches client ip 192.0.2.225.",
    ),
    (
        "lhost-postfix-01",
        "r@p351355.pool.example.ne.jp Failed 5.1.1 x-unix; procmail: Couldn't create \"/var/spool/mail/neko\" id: r.examp",
    ),
    ("lhost-postfix-03", "kijitora@example.net Failed 5.0.0 smtp; 550 Unknown user kijitora@example.net"),
    ("lhost-postfix-04", "kijitora@example.co.jp Failed 5.1.1 smtp; 550 5.1.1 Address rejected kijitora@example.co.jp"),
    (
        "lhost-postfix-06",
        "kijitora@neko.example.jp Failed 5.4.4 x-postfix; Host or domain name not found. Name service error for name=n",
    ),
    ("lhost-postfix-07", "kijitora@user.example.or.jp Failed  smtp; 550 <kijitora@user.example.or.jp>: User unknown"),
    ("lhost-postfix-09", "kijitora@example.ne.jp Failed 4.3.2 smtp; 452 4.3.2 Connection rate limit exceeded."),
    ("rhost-outlook-01", "kijitora@example.jp Failed 5.2.2 smtp; 550 5.2.2 <kijitora@example.jp>... Mailbox Full"),
    (
        "rhost-outlook-03",
        "kijitora@example.jp Failed 5.5.0 smtp; 554 The mail could not be delivered to the recipient because",
    ),
    (
        "rhost-outlook-04",
        "sabineko@example.co.jp Failed 5.1.1 smtp; 550 5.1.1 <sabineko@example.co.jp>... User Unknown",
    ),
    (
        "rhost-outlook-04",
        "mikeneko@example.co.jp Failed 5.2.2 smtp; 550 5.2.2 <mikeneko@example.co.jp>... Mailbox Full",
    ),
    ("rhost-outlook-07", "kijitora@example.com Failed 4.4.7 ; "),
    (
        "rhost-outlook-08",
        "kijitora@hotmail.example.com Failed 5.5.0 smtp; 550 Requested action not taken: mailbox unavailable (-000000",
    ),
];

#[test]
fn all_fields_are_read() {
    let dsn = read(&samples::own("dsn/exchange-online.eml")).unwrap();
    assert_eq!(dsn.reporting_mta.unwrap().text, "EDGE1.prod.partner.test");
    assert_eq!(dsn.received_from_mta.unwrap().kind, "dns");
    assert_eq!(dsn.arrival_date.as_deref(), Some("Wed, 25 Nov 2026 07:59:58 +0000"));
    let recipient = &dsn.recipients[0];
    assert_eq!(recipient.remote_mta.as_ref().unwrap().text, "mail.onprem.test");
    assert_eq!(recipient.display_name.as_deref(), Some("Bob Jones"));
    let expected =
        "bob.jones@onprem.test Failed 5.1.10 smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob.jon";
    assert_eq!(told(recipient), expected);
    assert!(!dsn.from_prose);
}

/// A real one, of Exim.
#[test]
fn exims_notice_is_read() {
    let dsn = read(&samples::own("dsn/exim.eml")).unwrap();
    assert_eq!(dsn.reporting_mta.as_ref().unwrap().text, "mail.onprem.test");
    assert_eq!(told(&dsn.recipients[0]), "nobody@onprem.test Failed 5.0.0 smtp; 550 5.1.1 there is no such user here");
}

#[test]
fn corpus_prose_is_known_from_fields() {
    assert!(!sample("lhost-office365-04").from_prose && sample("lhost-exchange2003-01").from_prose);
}

#[test]
fn fields_may_be_written_badly() {
    let text = "Content-Type: message/delivery-status\r\n\r\nreporting-mta: mx\r\n\r\nFINAL-RECIPIENT: RFC822 ; a@x.test\r\n\
        action: Delayed (soon)\r\nstatus: 4.4.7 (later)\r\nDiagnostic-Code: smtp;451 4.4.7\r\n  folded;\ttext\r\n\
        Will-Retry-Until: tomorrow\r\n\r\nnonsense\r\n: x\r\n\r\nFinal-Recipient: b@x.test\r\nStatus: nothing";
    let dsn = read(text.as_bytes()).unwrap();
    let first = &dsn.recipients[0];
    assert_eq!(dsn.recipients.len(), 2);
    assert_eq!((first.action, first.will_retry_until.as_deref()), (Some(Action::Delayed), Some("tomorrow")));
    assert_eq!(told(first), "a@x.test Delayed 4.4.7 smtp; 451 4.4.7 folded;\ttext");
    assert_eq!(told(&dsn.recipients[1]), "b@x.test   ; ");
    assert_eq!(dsn.reporting_mta.unwrap().text, "mx");
}

#[test]
fn other_mail_is_none() {
    for text in ["", "Subject: x\r\n\r\nHello <a@x.test>, how are you?\r\n"] {
        assert_eq!(read(text.as_bytes()), None);
    }
}

#[test]
fn html_alone_tells_it_too() {
    let text = "Content-Type: text/html\r\n\r\n<html><body><p>Delivery has failed</p><p>a@x.test<br>\r\nRemote Server returned \
        '550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found'</p></body></html>\r\n";
    let dsn = read(text.as_bytes()).unwrap();
    assert_eq!(
        told(&dsn.recipients[0]),
        "a@x.test Failed 5.1.10 smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found"
    );
}

proptest::proptest! {
    #[test]
    fn foreign_bytes_never_panic(head in "(Content-Type: (message/delivery-status|text/html|text/plain)\r\n\r\n)?", text in "(Final-Recipient: rfc822;|Action: |Status: 5|returned '|did not reach the following recipient\\(s\\):\n|a@x.test on |<a@x>: |\n|\\PC){0,20}", rest: Vec<u8>) {
        read(&[head.as_bytes(), text.as_bytes(), &rest].concat());
    }
}

/// Found by fuzzing: a mail within a mail that ends where the outer one's parts do.
#[test]
fn mails_within_each_other_that_end_too_early_are_read() {
    let text = "Content-Type:multipart/\n boundary=-\n\n---Content-Type:message/rfc822\n\n\
        Content-Type:message/rfc822\n\n\n-----";
    assert_eq!(read(text.as_bytes()), None);
}

#[test]
fn what_people_paste_is_a_bounce_in_any_language() {
    for (text, address, said) in [
        (
            "Address not found\nYour message wasn't delivered to b@dest.test because the address couldn't be found.\n\
             The response from the remote server was:\n550 5.1.1 <b@dest.test>: User unknown\n",
            "b@dest.test",
            "550 5.1.1 <b@dest.test>: User unknown",
        ),
        (
            "There was a temporary problem delivering your message to b@dest.test.\nThe response was:\n\n\
             The recipient server did not accept our requests to connect.\n[mx.dest.test 192.0.2.1: timed out]\n",
            "b@dest.test",
            "The recipient server did not accept our requests to connect. [mx.dest.test 192.0.2.1: timed out]",
        ),
        (
            "Ihre Nachricht an <b@dest.test> konnte nicht zugestellt werden:\r\n\r\n> 552 5.2.2 Postfach voll\r\n\r\nGruß",
            "b@dest.test",
            "552 5.2.2 Postfach voll",
        ),
    ] {
        assert_eq!(
            gatepost_trace::foreign::recognise(text.as_bytes()),
            gatepost_trace::foreign::Recognised::Dsn,
            "{text}"
        );
        let dsn = gatepost_trace::dsn::read(text.as_bytes()).unwrap();
        let text_of = |typed: &Option<gatepost_trace::dsn::Typed>| {
            typed.as_ref().map(|typed| typed.text.clone()).unwrap_or_default()
        };
        let recipient = &dsn.recipients[0];
        assert_eq!(text_of(&recipient.final_recipient), address, "{text}");
        assert_eq!(text_of(&recipient.diagnostic_code), said, "{text}");
    }
    for text in
        ["Call 550 5551 or write to a@b.test", "ticket 4711 of a@b.test is closed", "550 5.1.1 without an address"]
    {
        assert_ne!(
            gatepost_trace::foreign::recognise(text.as_bytes()),
            gatepost_trace::foreign::Recognised::Dsn,
            "{text}"
        );
    }
}

#[test]
fn exims_bounces_without_fields_are_read() {
    let mail = |text: &str| {
        let head = "From: Mailer-Daemon@a.test\r\nTo: a@a.test\r\nSubject: Mail delivery failed\r\n\r\nThis message was \
                    created automatically by mail delivery software.\r\n\r\n";
        gatepost_trace::dsn::read(format!("{head}{text}").as_bytes()).unwrap().recipients.remove(0)
    };
    let failed = mail(
        "A message could not be delivered to:\r\n\r\n  b@dest.test\r\n    host mx.dest.test [192.0.2.1]\r\n    SMTP error from \
         remote mail server after end of data:\r\n    550 spam message rejected\r\n\r\nRegards\r\n",
    );
    let text = |typed: &Option<gatepost_trace::dsn::Typed>| typed.as_ref().unwrap().text.clone();
    assert_eq!((failed.action, text(&failed.remote_mta).as_str()), (Some(Action::Failed), "mx.dest.test"));
    assert_eq!(
        text(&failed.diagnostic_code),
        "host mx.dest.test [192.0.2.1] SMTP error from remote mail server after end of data: 550 spam message rejected"
    );
    let delayed = mail(
        "A message has not yet been delivered to:\r\n\r\n  b@dest.test\r\n    host mx.dest.test [192.0.2.1]\r\n    Delay \
         reason: Connection timed out\r\n",
    );
    assert_eq!(delayed.action, Some(Action::Delayed));
    assert_eq!(text(&delayed.diagnostic_code), "host mx.dest.test [192.0.2.1] Connection timed out");
}
