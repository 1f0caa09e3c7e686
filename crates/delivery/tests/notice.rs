//! Parses notices as a mail system does: fields and status codes of RFC 3464, the UTF-8 formats of RFC 6533, and
//! foreign text that must never become a separate field, line or part.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod support;

use std::net::SocketAddr;

use gatepost_delivery::notice::{Notice, NoticeMessage, NoticeRecipient};
use jiff::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;
use protocol::smtp::{Address, BodyType, Destination, EnhancedCode, Failure, FailureKind, Phase, Reply};
use support::{Report, names, value};
use trace::event::NoticeAction;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0007);
const RECEIVED_S: i64 = 1_800_000_000;

/// The parts of a notice that a test sets. The rest is the same for all.
#[derive(Clone, Debug)]
struct Given<'a> {
    action: NoticeAction,
    to: &'a str,
    recipient: &'a str,
    envid: Option<&'a str>,
    orcpt: Option<&'a str>,
    failure: Option<Failure>,
    reply: Option<Reply>,
    last_attempt: Option<Timestamp>,
    retry_until: Option<Timestamp>,
    header: &'a [u8],
}

impl Default for Given<'_> {
    fn default() -> Self {
        Self {
            action: NoticeAction::Failed,
            to: "sender@out.test",
            recipient: "user@onprem.test",
            envid: None,
            orcpt: None,
            failure: None,
            reply: None,
            last_attempt: Timestamp::from_second(RECEIVED_S + 60).ok(),
            retry_until: None,
            header: b"Subject: hello\r\n",
        }
    }
}

impl Given<'_> {
    fn build(&self) -> NoticeMessage {
        let (to, address) = (Address::parse(self.to).unwrap(), Address::parse(self.recipient).unwrap());
        let recipient = NoticeRecipient {
            address: &address,
            orcpt: self.orcpt,
            failure: self.failure.as_ref(),
            reply: self.reply.as_ref(),
            last_attempt: self.last_attempt,
            destination: self.failure.as_ref().and_then(|failure| failure.destination.as_ref()),
            retry_until: self.retry_until,
        };
        build(self.action, &to, self.envid, vec![recipient], self.header)
    }

    fn report(&self) -> Report {
        read(&self.build())
    }

    fn recipient_field(&self, name: &str) -> String {
        value(&self.report().status()[1], name).to_owned()
    }
}

fn build(
    action: NoticeAction,
    to: &Address,
    envid: Option<&str>,
    recipients: Vec<NoticeRecipient>,
    original_headers: &[u8],
) -> NoticeMessage {
    let received = Timestamp::from_second(RECEIVED_S).unwrap();
    let now = Timestamp::from_second(RECEIVED_S + 60).unwrap();
    Notice { action, reporting_mta: "edge.test", to, envid, received, now, id: ID, recipients, original_headers }
        .build()
}

fn is_eight_bit(built: &NoticeMessage) -> bool {
    built.envelope.body_type == BodyType::EightBitMime
}

fn read(built: &NoticeMessage) -> Report {
    assert_eq!(is_eight_bit(built), !built.bytes.is_ascii());
    Report::read(&built.bytes, &format!("=_{}", ID.simple()))
}

fn destination() -> Destination {
    let address: SocketAddr = "192.0.2.7:25".parse().unwrap();
    Destination { host: "mail.onprem.test".into(), port: 25, address: Some(address) }
}

fn rejected(phase: Phase, code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> Failure {
    let enhanced = enhanced.map(|(class, subject, detail)| EnhancedCode::new(class, subject, detail));
    Failure::rejected(phase, Reply::new(code, enhanced, text)).at(&destination())
}

/// The message header identifies a notice, so that nothing answers it.
#[test]
fn the_header_says_what_it_is() {
    let table = [
        (NoticeAction::Failed, "Undeliverable: "),
        (NoticeAction::Delayed, "Delayed: "),
        (NoticeAction::Relayed, "Relayed: "),
    ];
    for (action, subject) in table {
        let report = Given { action, ..Given::default() }.report();
        assert!(value(&report.header, "Subject").starts_with(subject), "{action:?}");
        for (name, expected) in [
            ("From", "Mail Delivery System <MAILER-DAEMON@edge.test>"),
            ("To", "<sender@out.test>"),
            ("Date", "Fri, 15 Jan 2027 08:01:00 +0000"),
            ("Message-ID", "<01990000-0000-7000-8000-000000000007@edge.test>"),
            ("Auto-Submitted", "auto-replied"),
            ("MIME-Version", "1.0"),
        ] {
            assert_eq!(value(&report.header, name), expected, "{name}");
        }
        let content_type = value(&report.header, "Content-Type");
        assert!(content_type.starts_with("multipart/report; report-type=delivery-status;"), "{content_type}");
        let types = report.parts.each_ref().map(|part| part.content_type());
        assert_eq!(types, ["text/plain; charset=utf-8", "message/delivery-status", "text/rfc822-headers"]);
    }
}

/// The whole machine-readable part, for each action.
#[test]
fn the_fields_of_rfc_3464() {
    let (arrived, attempted) = ("Fri, 15 Jan 2027 08:00:00 +0000", "Fri, 15 Jan 2027 08:01:00 +0000");
    let failed = Given {
        envid: Some("QQ+2B314+3D"),
        orcpt: Some("rfc822;old+2Buser@onprem.test"),
        failure: Some(rejected(Phase::Rcpt, 550, Some((5, 1, 1)), "no such user")),
        ..Given::default()
    };
    let delayed = Given {
        action: NoticeAction::Delayed,
        failure: Some(Failure::new(Phase::Connect, FailureKind::ConnectionRefused).at(&destination())),
        retry_until: Timestamp::from_second(RECEIVED_S + 86_400).ok(),
        ..Given::default()
    };
    let relayed = Given {
        action: NoticeAction::Relayed,
        reply: Some(Reply::new(250, Some(EnhancedCode::new(2, 1, 5)), "queued as 4711")),
        ..Given::default()
    };
    let expected_failed: &[(&str, &str)] = &[
        ("Original-Recipient", "rfc822;old+user@onprem.test"),
        ("Final-Recipient", "rfc822;user@onprem.test"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns;mail.onprem.test"),
        ("Diagnostic-Code", "smtp;550 5.1.1 no such user"),
        ("Last-Attempt-Date", attempted),
    ];
    let expected_delayed: &[(&str, &str)] = &[
        ("Final-Recipient", "rfc822;user@onprem.test"),
        ("Action", "delayed"),
        ("Status", "4.4.1"),
        ("Remote-MTA", "dns;mail.onprem.test"),
        ("Last-Attempt-Date", attempted),
        ("Will-Retry-Until", "Sat, 16 Jan 2027 08:00:00 +0000"),
    ];
    let expected_relayed: &[(&str, &str)] = &[
        ("Final-Recipient", "rfc822;user@onprem.test"),
        ("Action", "relayed"),
        ("Status", "2.1.5"),
        ("Diagnostic-Code", "smtp;250 2.1.5 queued as 4711"),
        ("Last-Attempt-Date", attempted),
    ];
    for (given, expected) in [(failed, expected_failed), (delayed, expected_delayed), (relayed, expected_relayed)] {
        let status = given.report().status();
        assert_eq!(status.len(), 2, "{given:?}");
        assert_eq!(value(&status[0], "Reporting-MTA"), "dns;edge.test");
        assert_eq!(value(&status[0], "Arrival-Date"), arrived);
        let envid = status[0].iter().find(|(name, _)| name == "Original-Envelope-Id").map(|(_, value)| value.as_str());
        assert_eq!(envid, given.envid.map(|_| "QQ+314="));
        for (name, expected) in expected {
            assert_eq!(value(&status[1], name), *expected, "{name} of {given:?}");
        }
        // Without a reply of the destination, the gateway's own text has its own type.
        let own = ("Diagnostic-Code".to_owned(), "X-Gatepost;".to_owned());
        let extra = status[1].iter().filter(|(name, _)| !expected.iter().any(|(expected, _)| expected == name));
        for (name, text) in extra {
            assert!(*name == own.0 && text.starts_with(&own.1), "{name}: {text}");
        }
    }
}

/// RFC 3463 for every kind of failure: the class comes from the action, subject and detail from the failure.
#[test]
fn the_status_code_of_every_failure() {
    let kind = |phase, kind| Failure::new(phase, kind);
    let expired = |last: Failure| Failure { kind: FailureKind::Expired { cause: None }, ..last };
    let extension = |name: &str| FailureKind::ExtensionMissing { extension: name.into() };
    let detail = || "x".to_owned();
    let table = [
        // The destination's own code, if its class fits the action.
        (rejected(Phase::Rcpt, 550, Some((5, 7, 1)), "no"), Some("5.7.1"), None),
        (rejected(Phase::Rcpt, 451, Some((4, 7, 500)), "later"), None, Some("4.7.500")),
        (rejected(Phase::EndOfData, 552, Some((5, 2, 2)), "full"), Some("5.2.2"), None),
        // A greeting of 554 rejects the connection, not the message. The message is delayed, and the class shows this.
        (rejected(Phase::Banner, 554, Some((5, 3, 2)), "go away"), None, Some("4.0.0")),
        (rejected(Phase::EndOfData, 554, None, "no"), Some("5.0.0"), None),
        (kind(Phase::Resolve, FailureKind::HostNotFound), Some("5.1.2"), Some("4.1.2")),
        (kind(Phase::Resolve, FailureKind::NullMx), Some("5.1.10"), None),
        (kind(Phase::Resolve, FailureKind::MailLoop), Some("5.4.6"), None),
        (kind(Phase::Resolve, FailureKind::AddressNotAllowed { address: [10, 0, 0, 1].into() }), Some("5.4.4"), None),
        (kind(Phase::Resolve, FailureKind::DnsFailure { detail: detail() }), None, Some("4.4.3")),
        (kind(Phase::Connect, FailureKind::ConnectionRefused), None, Some("4.4.1")),
        (kind(Phase::Connect, FailureKind::NetworkUnreachable), None, Some("4.4.1")),
        (kind(Phase::Data, FailureKind::ConnectionReset), None, Some("4.4.2")),
        (kind(Phase::Banner, FailureKind::ConnectionClosed), None, Some("4.4.2")),
        (kind(Phase::EndOfData, FailureKind::TimedOut { after_s: 600 }), None, Some("4.4.2")),
        (kind(Phase::Handshake, FailureKind::HandshakeFailed { detail: detail() }), None, Some("4.7.5")),
        (kind(Phase::StartTls, FailureKind::StartTlsNotOffered), None, Some("4.7.5")),
        (kind(Phase::Mail, extension("SMTPUTF8")), Some("5.6.7"), None),
        (kind(Phase::Mail, extension("8BITMIME")), Some("5.6.3"), None),
        (kind(Phase::Mail, FailureKind::TooLarge { size_bytes: 2, size_max_bytes: 1 }), Some("5.3.4"), None),
        (kind(Phase::Ehlo, FailureKind::BadReply { detail: detail() }), None, Some("4.5.0")),
        (kind(Phase::Data, FailureKind::Local { detail: detail() }), None, Some("4.3.0")),
        // Expiry decides, whatever the destination replied before.
        (expired(kind(Phase::Connect, FailureKind::ConnectionRefused)), Some("5.4.7"), None),
        (expired(rejected(Phase::Rcpt, 451, Some((4, 7, 1)), "later")), Some("5.4.7"), None),
        (expired(rejected(Phase::Banner, 554, Some((5, 3, 2)), "go away")), Some("5.4.7"), None),
    ];
    for (failure, failed, delayed) in table {
        for (action, expected) in [(NoticeAction::Failed, failed), (NoticeAction::Delayed, delayed)] {
            let Some(expected) = expected else { continue };
            let given = Given { action, failure: Some(failure.clone()), ..Given::default() };
            assert_eq!(given.recipient_field("Status"), expected, "{failure} {action:?}");
        }
    }
    let relayed = Given { action: NoticeAction::Relayed, reply: Some(Reply::new(250, None, "ok")), ..Given::default() };
    assert_eq!(relayed.recipient_field("Status"), "2.0.0");
}

fn unfolded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The part for people names the recipient, the server, the phase, the server's reply, and the next step.
#[test]
fn people_read_what_happened_and_what_comes_next() {
    let failed = Given {
        failure: Some(rejected(Phase::Rcpt, 550, Some((5, 1, 1)), "no such user\nask the postmaster")),
        ..Given::default()
    };
    let delayed = Given {
        action: NoticeAction::Delayed,
        failure: Some(Failure::new(Phase::Handshake, FailureKind::ConnectionReset).at(&destination())),
        retry_until: Timestamp::from_second(RECEIVED_S + 86_400).ok(),
        ..Given::default()
    };
    let relayed = Given { action: NoticeAction::Relayed, ..Given::default() };
    let table: [(Given, &[&str]); 3] = [
        (
            failed,
            &[
                "could not be delivered",
                "<user@onprem.test>",
                "mail.onprem.test:25 [192.0.2.7]",
                "rejected while sending RCPT TO",
                "550 5.1.1 no such user / ask the postmaster",
                "will not try again",
            ],
        ),
        (
            delayed,
            &[
                "has not been delivered yet",
                "<user@onprem.test>",
                "connection reset while negotiating TLS",
                "until Sat, 16 Jan 2027 08:00:00 +0000",
                "do not send the message again",
            ],
        ),
        (relayed, &["was passed on", "<user@onprem.test>", "another report only if the delivery fails"]),
    ];
    for (given, phrases) in table {
        let report = given.report();
        let text = report.parts[0].text();
        let flat = unfolded(text);
        for phrase in phrases {
            assert!(flat.contains(phrase), "{phrase:?} is missing in\n{text}");
        }
    }
}

#[test]
fn each_recipient_has_a_group_of_its_own() {
    let to = Address::parse("sender@out.test").unwrap();
    let addresses = ["a@onprem.test", "b@onprem.test", "c@onprem.test"].map(|text| Address::parse(text).unwrap());
    let failures = ["one", "two", "three"].map(|text| rejected(Phase::Rcpt, 550, Some((5, 1, 1)), text));
    let recipients = addresses.iter().zip(&failures).map(|(address, failure)| NoticeRecipient {
        address,
        orcpt: None,
        failure: Some(failure),
        reply: None,
        destination: None,
        last_attempt: None,
        retry_until: None,
    });
    let report = read(&build(NoticeAction::Failed, &to, None, recipients.collect(), b""));
    let status = report.status();
    assert_eq!(names(&status[0]), ["Reporting-MTA", "Arrival-Date"]);
    let seen: Vec<(&str, &str)> =
        status[1..].iter().map(|group| (value(group, "Final-Recipient"), value(group, "Diagnostic-Code"))).collect();
    assert_eq!(
        seen,
        [
            ("rfc822;a@onprem.test", "smtp;550 5.1.1 one"),
            ("rfc822;b@onprem.test", "smtp;550 5.1.1 two"),
            ("rfc822;c@onprem.test", "smtp;550 5.1.1 three"),
        ]
    );
}

/// RFC 6533: `utf-8` and the global types if an address needs them, and only then.
#[test]
fn utf8_addresses() {
    let (plain, global) = ("message/delivery-status", "message/global-delivery-status");
    for (to, recipient, content_type, final_recipient, smtputf8) in [
        ("a@out.test", "b@in.test", plain, "rfc822;b@in.test", false),
        ("a@out.test", "bücher@in.test", global, "utf-8;bücher@in.test", false),
        ("ä@out.test", "b@in.test", global, "rfc822;b@in.test", true),
        ("ä@out.test", "b@bücher.test", global, "utf-8;b@bücher.test", true),
    ] {
        let given = Given { to, recipient, ..Given::default() };
        let built = given.build();
        let report = read(&built);
        assert_eq!(report.parts[1].content_type(), content_type, "{to} {recipient}");
        assert_eq!(value(&report.status()[1], "Final-Recipient"), final_recipient);
        assert_eq!(value(&report.header, "To"), format!("<{to}>"));
        assert_eq!(built.envelope.smtputf8, smtputf8, "{to} {recipient}");
    }
}

/// Only whole fields by which a sender recognises the message, at most 4 KiB, and without control characters.
#[test]
fn the_original_header_is_returned_within_bounds() {
    let field = |name: &str, lines: usize| format!("{name}:{}", " y@out.test,\r\n".repeat(lines));
    let (small, large) = (field("To", 200), field("Cc", 400));
    let both = format!("{small}{large}{small}X-Other: b\r\nSubject: a\r\n");
    let kept = format!("{small}Subject: a\r\n");
    for (header, returned) in [
        (&b""[..], &b""[..]),
        (b"Subject: a\r\n", b"Subject: a\r\n"),
        (b"Subject: a\r\n\tfolded\r\n", b"Subject: a\r\n\tfolded\r\n"),
        (b"Subject: without an end", b"Subject: without an end\r\n"),
        (b"Subject: a\0b\rc\x7f\x1b[2J\r\n", b"Subject: a b c  [2J\r\n"),
        (b"Subject: a\nto : b\nReceived: c\nTo: d\n", b"Subject: a\r\nto : b\r\n"),
        (small.as_bytes(), small.as_bytes()),
        (both.as_bytes(), kept.as_bytes()),
    ] {
        let report = Given { header, ..Given::default() }.report();
        assert_eq!(report.parts[2].body.escape_ascii().to_string(), returned.escape_ascii().to_string());
        assert_eq!(report.parts[2].content_type(), "text/rfc822-headers");
    }
}

/// If no address needs UTF-8, the notice has no 8-bit characters, because a server on the way back might not accept
/// them.
#[test]
fn an_eight_bit_header_is_returned_in_the_form_of_the_notice() {
    for (recipient, header, content_type, encoding, returned) in [
        ("user@onprem.test", "Subject: Grüße\r\n".as_bytes(), "text/rfc822-headers", "7bit", "Subject: Gr??e\r\n"),
        ("user@onprem.test", b"Subject: Gr\xfc\xdfe\r\n", "text/rfc822-headers", "7bit", "Subject: Gr??e\r\n"),
        ("ü@onprem.test", "Subject: Grüße\r\n".as_bytes(), "message/global-headers", "8bit", "Subject: Grüße\r\n"),
        ("ü@onprem.test", b"Subject: Gr\xfc\r\n", "message/global-headers", "8bit", "Subject: Gr\u{fffd}\r\n"),
    ] {
        let built = Given { recipient, header, ..Given::default() }.build();
        let report = read(&built);
        assert_eq!(report.parts[2].content_type(), content_type);
        assert_eq!(value(&report.parts[2].header, "Content-Transfer-Encoding"), encoding);
        assert_eq!(report.parts[2].text(), returned);
        assert_eq!((is_eight_bit(&built), built.envelope.smtputf8), (encoding == "8bit", false));
    }
}

/// Text that a destination or a sender may choose, with everything that could break out of its field. The real boundary
/// is not included: nobody can know it, because it comes from an id that is created later.
fn hostile() -> impl Strategy<Value = String> {
    let boundary = format!("\r\n--=_{}--\r\nContent-Type: text/html\r\n\r\n", Uuid::nil().simple());
    let piece = prop_oneof![
        4 => "[ -~]{0,40}",
        2 => "\\PC{0,20}",
        2 => any::<char>().prop_map(String::from),
        1 => Just("\r\n".to_owned()),
        1 => Just("\r\n\r\n".to_owned()),
        1 => Just("\r\nAction: delivered\r\n".to_owned()),
        1 => Just("\n.\r\nBcc: victim@victim.test\n".to_owned()),
        1 => Just(boundary),
        1 => "[x\u{e9}]{900,2000}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Encodes text as in RFC 3461 section 4.
fn xtext(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'+' | b'=' | 0..=32 | 127.. => format!("+{byte:02X}"),
        byte => char::from(byte).to_string(),
    };
    text.bytes().map(byte).collect()
}

fn kind_with(detail: String) -> impl Strategy<Value = FailureKind> {
    prop::sample::select(vec![
        FailureKind::Rejected,
        FailureKind::Expired { cause: None },
        FailureKind::Expired { cause: Some(Box::new(FailureKind::BadReply { detail: detail.clone() })) },
        FailureKind::MailLoop,
        FailureKind::DnsFailure { detail: detail.clone() },
        FailureKind::HandshakeFailed { detail: detail.clone() },
        FailureKind::BadReply { detail: detail.clone() },
        FailureKind::Local { detail: detail.clone() },
        FailureKind::ExtensionMissing { extension: detail },
    ])
}

fn failure() -> impl Strategy<Value = Failure> {
    let host = prop_oneof![Just("mail.onprem.test".to_owned()), hostile()];
    (hostile().prop_flat_map(kind_with), prop::option::of((200u16..600, hostile())), host, 0..Phase::ALL.len())
        .prop_map(|(kind, reply, host, phase)| Failure {
            phase: Phase::ALL[phase],
            kind,
            reply: reply.map(|(code, text)| Reply::new(code, None, text)),
            destination: Some(Destination { host, port: 25, address: None }),
        })
}

/// All fields that a group may have, in order.
const MESSAGE_FIELDS: [&str; 3] = ["Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"];
const RECIPIENT_FIELDS: [&str; 8] = [
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
    "Will-Retry-Until",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any foreign text, there are three parts, and the fields of one recipient, each once.
    #[test]
    fn foreign_text_never_breaks_out(
        failure in failure(),
        envid in hostile(),
        (kind, orcpt) in ("[a-z0-9-]{1,12}", hostile()),
        action in prop::sample::select(vec![NoticeAction::Failed, NoticeAction::Delayed, NoticeAction::Relayed]),
        header in prop_oneof![any::<Vec<u8>>(), "([A-Z][a-z]{0,8}: [ -~]{0,1200}\r?\n[ \t]?){0,40}".prop_map(String::into_bytes)],
    ) {
        let (envid, orcpt) = (xtext(&envid), format!("{kind};{}", xtext(&orcpt)));
        let given = Given {
            action,
            envid: Some(&envid),
            orcpt: Some(&orcpt),
            failure: Some(failure),
            header: &header,
            ..Given::default()
        };
        let built = given.build();
        let report = read(&built);
        prop_assert_eq!(names(&report.header), [
            "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
            "Content-Transfer-Encoding",
        ]);
        let status = report.status();
        prop_assert_eq!(status.len(), 2);
        for (group, allowed) in status.iter().zip([&MESSAGE_FIELDS[..], &RECIPIENT_FIELDS[..]]) {
            let mut rest = allowed.iter();
            for name in names(group) {
                prop_assert!(rest.any(|allowed| *allowed == name), "{} is out of place in {:?}", name, group);
            }
        }
        prop_assert_eq!(value(&status[1], "Final-Recipient"), "rfc822;user@onprem.test");
        prop_assert!(value(&status[1], "Diagnostic-Code").is_ascii());
        let expected = match action {
            NoticeAction::Failed => ("failed", "5."),
            NoticeAction::Delayed => ("delayed", "4."),
            NoticeAction::Relayed => ("relayed", "2."),
        };
        prop_assert_eq!(value(&status[1], "Action"), expected.0);
        prop_assert!(value(&status[1], "Status").starts_with(expected.1));

        let message = MessageParser::new().parse(&built.bytes).unwrap();
        prop_assert_eq!(message.parts.len(), 4);
        prop_assert!(message.content_type().unwrap().attribute("report-type") == Some("delivery-status"));
    }
}

#[test]
fn the_final_recipient_is_the_address_to_the_letter() {
    let given = Given { recipient: "\"a  b\"@onprem.test", ..Given::default() };
    assert_eq!(given.recipient_field("Final-Recipient"), "rfc822;\"a  b\"@onprem.test");
}

/// RFC 3464 section 2.1.
#[test]
fn a_delivery_status_part_is_ascii() {
    let host = Destination { host: "bücher.test".into(), ..destination() };
    let failure = Some(Failure::new(Phase::Connect, FailureKind::ConnectionRefused).at(&host));
    let given = [
        Given { envid: Some("+C3+A9"), ..Given::default() },
        Given { orcpt: Some("rfc822;+C3+A9@onprem.test"), ..Given::default() },
        Given { failure, ..Given::default() },
    ];
    for given in given {
        let part = &given.report().parts[1];
        let ok = part.content_type() != "message/delivery-status" || part.body.is_ascii();
        assert!(ok, "{}", part.text());
    }
}

#[test]
fn a_delivery_status_part_is_declared_seven_bit() {
    let part = &Given::default().report().parts[1];
    let encoding = part.header.iter().find(|(name, _)| name == "Content-Transfer-Encoding");
    assert!(encoding.is_none_or(|(_, encoding)| encoding == "7bit"), "{encoding:?}");
}

#[test]
fn a_field_is_left_out_whole_or_not_at_all() {
    let header = format!("Subject: a\r\nX-Long: {}\r\n\tforged\r\nX-After: b\r\n", "y".repeat(1000));
    let report = Given { header: header.as_bytes(), ..Given::default() }.report();
    assert!(!report.parts[2].text().contains("a\r\n\tforged"), "{}", report.parts[2].text());
}

#[test]
fn content_is_never_returned() {
    let header = b"Subject: a\r\n\r\nThe content.\r\n";
    assert_eq!(Given { header, ..Given::default() }.report().parts[2].text(), "Subject: a\r\n");
}

#[test]
fn without_an_attempt_there_is_no_attempt_date() {
    let failure = Some(Failure::new(Phase::Connect, FailureKind::Expired { cause: None }));
    let report = Given { failure, last_attempt: None, ..Given::default() }.report();
    assert!(!names(&report.status()[1]).contains(&"Last-Attempt-Date"));
}

#[test]
fn a_refused_message_is_not_called_delivered_twice() {
    let failure = Some(rejected(Phase::EndOfData, 554, Some((5, 6, 0)), "no"));
    let report = Given { failure, ..Given::default() }.report();
    let text = unfolded(report.parts[0].text());
    assert!(!text.contains("delivered twice"), "{text}");
}

#[test]
fn the_part_for_people_keeps_within_78_columns() {
    let report = Given::default().report();
    assert_eq!(report.parts[0].text().lines().map(str::len).find(|length| *length > 78), None);
}
