//! Delivery status notifications: every published one, and what foreign bytes do.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

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
fn published_notifications_mean_what_they_say() {
    let mut wrong = Vec::new();
    let files = samples::folder("dsn");
    assert_eq!(files.len(), TABLE.iter().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>().len());
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

const TABLE: &[(&str, &str)] = &[
];

#[test]
fn all_fields_are_read() {
    let dsn = sample("lhost-office365-04");
    assert_eq!(dsn.reporting_mta.unwrap().text, "SG2APC01HT247.mail.protection.outlook.com");
    assert_eq!(dsn.received_from_mta.unwrap().kind, "dns");
    assert_eq!(dsn.arrival_date.as_deref(), Some("Mon, 21 May 2018 05:07:54 +0000"));
    let recipient = &dsn.recipients[0];
    assert_eq!(recipient.remote_mta.as_ref().unwrap().text, "msmx.au.com");
    assert_eq!(recipient.display_name.as_deref(), Some("otsu-sakaba-hunter-neko-nyaaaaaaan@ezweb.ne.jp"));
    assert!(!dsn.from_prose && sample("lhost-exchange2003-01").from_prose);
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
    assert_eq!(told(&dsn.recipients[0]), "a@x.test Failed 5.1.10 smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found");
}

proptest::proptest! {
    #[test]
    fn foreign_bytes_never_panic(head in "(Content-Type: (message/delivery-status|text/html|text/plain)\r\n\r\n)?", text in "(Final-Recipient: rfc822;|Action: |Status: 5|returned '|did not reach the following recipient\\(s\\):\n|a@x.test on |<a@x>: |\n|\\PC){0,20}", rest: Vec<u8>) {
        read(&[head.as_bytes(), text.as_bytes(), &rest].concat());
    }
}
