//! Tests of attempts from protocol logs.

use protocol::smtp::FailureKind;
use trace::protocol_log::{self, read, sessions};

use super::*;
use crate::diagnose;

fn finding(rows: &[&str]) -> (&'static str, Evidence) {
    let log = rows.iter().map(|row| format!("2026-11-25T12:00:00.000Z,out,08DF,{row}\r\n")).collect::<String>();
    let mut evidence = Evidence::default();
    add_log(&mut evidence, Source::ProtocolLog, &sessions(read(log.as_bytes()).rows), "SEND.LOG", None);
    (diagnose(&evidence).first().map_or("nothing", |finding| finding.cause.as_str()), evidence)
}

const BEGIN: [&str; 5] = [
    "0,,192.0.2.1:25,*,,attempting to connect",
    "1,10.0.0.1:5,192.0.2.1:25,+,,",
    "2,10.0.0.1:5,192.0.2.1:25,<,220 mx ESMTP,",
    "3,10.0.0.1:5,192.0.2.1:25,>,EHLO edge,",
    "4,10.0.0.1:5,192.0.2.1:25,<,250  mx Hello STARTTLS,",
];

#[test]
fn sessions_are_told_by_how_they_end() {
    let row = |number: u32, rest: &str| format!("{number},10.0.0.1:5,192.0.2.1:25,{rest}");
    let table: &[(&[&str], &str)] = &[
        (
            &[">,MAIL FROM:<a@b.test>,", ">,RCPT TO:<c@d.test>,", "<,250 ok,", "<,550 5.1.1 User unknown,"],
            "recipient-unknown",
        ),
        (
            &[
                ">,STARTTLS,",
                "<,220 ready,",
                "*,,TLS negotiation failed with error SocketError",
                "-,,Remote(SocketError)",
            ],
            "handshake-reset",
        ),
        (
            &[
                ">,STARTTLS,",
                "<,220 ready,",
                "*,,\"offered TLS 1.2-1.3 with 14 suites; server sent alert 40 handshake_failure (fatal); server closed (FIN) after 1 ms; TLS handshake failed\"",
                "-,,Remote",
            ],
            "no-shared-cipher",
        ),
        // A suite that was not offered, and the certificate beside it, which nobody looked at.
        (
            &[
                ">,STARTTLS,",
                "<,220 ready,",
                "*,,\"offered TLS 1.2-1.3 with 14 suites; server chose TLS 1.2, TLS_RSA_WITH_RC4_128_SHA, not offered; client sent alert 47 illegal_parameter (fatal); the certificate is self-signed; client closed (FIN) after 1 ms\"",
                "-,,Local",
            ],
            "no-shared-cipher",
        ),
        // The certificate is refused after the handshake, in good order.
        (
            &[
                ">,STARTTLS,",
                "<,220 ready,",
                "*,,\"TLS protocol SP_PROT_TLS1_2_CLIENT negotiation succeeded using bulk encryption algorithm CALG_AES_256 with strength 256 bits, MAC hash algorithm CALG_SHA_384 with strength 0 bits and key exchange algorithm CALG_ECDHE with strength 256 bits\"",
                "*,,Certificate validation failed with status CertificateExpired",
                ">,QUIT,",
                "<,221 bye,",
                "-,,Local",
            ],
            "certificate-expired",
        ),
        // Said at once: each reply belongs to its own command, and what follows from a refusal is none of its own.
        (
            &[
                ">,MAIL FROM:<a@b.test>,",
                ">,RCPT TO:<c@d.test>,",
                ">,DATA,",
                "<,250 ok,",
                "<,550 Unrouteable address,",
                "<,503-All RCPT commands were rejected with this error:,",
                "<,503 Valid RCPT command must precede DATA,",
                ">,QUIT,",
                "<,221 bye,",
                "-,,Local",
            ],
            "recipient-unknown",
        ),
        // The reply to QUIT takes no message.
        (
            &[
                ">,MAIL FROM:<a@b.test>,",
                "<,250 ok,",
                ">,RCPT TO:<c@d.test>,",
                "<,250 ok,",
                ">,DATA,",
                "<,354 go,",
                "<,550 Message size exceeds maximum permitted,",
                ">,QUIT,",
                "<,221 bye,",
                "-,,Local",
            ],
            "message-too-large",
        ),
        (&["*,,STARTTLS is required and not offered", ">,QUIT,", "<,221 bye,", "-,,Local"], "starttls-not-offered"),
        // This side closes without a QUIT: no answer came.
        (
            &[
                ">,MAIL FROM:<a@b.test>,",
                "<,250 ok,",
                ">,RCPT TO:<c@d.test>,",
                "<,250 ok,",
                ">,DATA,",
                "<,354 go,",
                "-,,Local",
            ],
            "no-reply-to-message",
        ),
        (&[">,STARTTLS,", "<,454 4.7.0 TLS not available due to temporary reason,"], "starttls-refused"),
        (
            &[
                ">,STARTTLS,",
                "<,220 ready,",
                "*,,\"TLS protocol SP_PROT_TLS1_0_CLIENT negotiation succeeded using bulk encryption algorithm CALG_RC4 with strength 128 bits, MAC hash algorithm CALG_SHA1 with strength 160 bits and key exchange algorithm CALG_RSA_KEYX with strength 2048 bits\"",
                ">,MAIL FROM:<a@b.test>,",
                "<,250 ok,",
                ">,RCPT TO:<c@d.test>,",
                "<,250 ok,",
                ">,DATA,",
                "<,354 go,",
                "<,250 2.0.0 queued,",
                ">,QUIT,",
                "<,221 bye,",
                "-,,Local",
            ],
            "nothing",
        ),
    ];
    for (rest, expected) in table {
        let rest: Vec<String> = rest.iter().enumerate().map(|(at, rest)| row(5 + at as u32, rest)).collect();
        let rows: Vec<&str> = BEGIN.into_iter().chain(rest.iter().map(String::as_str)).collect();
        let (cause, evidence) = finding(&rows);
        assert_eq!((cause, evidence.len()), (*expected, 1), "{rest:#?}");
    }
    let failed = [
        "0,,192.0.2.1:25,*,,attempting to connect",
        "1,,192.0.2.1:25,*,,\"Failed to connect. Winsock error code: 10061, Win32 error code: 10061\"",
    ];
    assert_eq!(finding(&failed).0, "connection-refused");
}

#[test]
fn remedies_are_those_of_the_system_that_wrote_the_log() {
    const GATEPOST: &str = "`tls = \"opportunistic\"`";
    const EXCHANGE: &str = "Set-SendConnector";
    let not_offered = ["5,10.0.0.1:5,192.0.2.1:25,*,,STARTTLS is required and not offered"];
    for (software, own, foreign) in [
        ("#Software: Gatepost\r\n", GATEPOST, EXCHANGE),
        ("#Software: Microsoft Exchange Server\r\n", EXCHANGE, GATEPOST),
        ("", EXCHANGE, GATEPOST),
    ] {
        let mut log = software.to_owned();
        for row in BEGIN.iter().chain(&not_offered) {
            log += &format!("2026-11-25T12:00:00.000Z,out,08DF,{row}\r\n");
        }
        let mut reader = protocol_log::Reader::new(log.as_bytes()).unwrap();
        let sessions = sessions(reader.by_ref().map_while(Result::ok));
        let mut evidence = Evidence::default();
        add_log(&mut evidence, source(reader.software, &sessions), &sessions, "SEND.LOG", None);
        let findings = diagnose(&evidence);
        let remedies = findings[0].remedy.iter().map(|remedy| remedy.action.as_str()).collect::<Vec<_>>().join(" ");
        assert!(remedies.contains(own) && !remedies.contains(foreign), "{software}: {remedies}");
    }
}

#[test]
fn a_log_without_its_first_lines_shows_whose_it_is() {
    let of = |note: &str| {
        let row = format!("2026-11-25T12:00:00.000Z,out,08DF,7,10.0.0.1:5,192.0.2.1:25,*,,{note}\r\n");
        source(None, &sessions(read(row.as_bytes()).rows))
    };
    assert_eq!(of("offered TLS 1.2-1.3 with 14 suites; timed out"), Source::OwnProtocolLog);
    assert_eq!(of("TLS negotiation failed with error SocketError"), Source::ProtocolLog);
}

#[test]
fn own_notes_are_kinds_of_failures_not_phrases() {
    let of = |text: &str| Signs::of_note(text, Source::OwnProtocolLog);
    let kinds = [
        (FailureKind::StartTlsNotOffered, Sign::StartTlsNotOffered),
        (FailureKind::TimedOut { after_s: 300 }, Sign::TimedOut),
        (FailureKind::DnsFailure { detail: "SERVFAIL".to_owned() }, Sign::DnsFailed),
        (FailureKind::TooLarge { size_bytes: 2, size_max_bytes: 1 }, Sign::TooLarge),
    ];
    for (kind, sign) in kinds {
        assert_eq!(of(&kind.to_string()), Signs::of_kind(&kind), "{kind}");
        assert!(of(&format!("Failed to connect. {kind}")).has(sign), "{kind}");
    }
    // Words of others in a note are not this gateway's.
    assert_eq!(of("the server says that STARTTLS is required and not offered"), Signs::default());
}

#[test]
fn an_address_that_is_passed_over_is_no_attempt() {
    let log = |second: &str| {
        let refused = "2026-11-25T12:00:00.000Z,out,A,0,,[::1]:25,*,,\"Failed to connect. connection refused\"\r\n";
        let next = format!("2026-11-25T12:00:{second}Z,out,B,0,,192.0.2.1:25,*,,\"Failed to connect. timed out\"\r\n");
        let mut evidence = Evidence::default();
        add_log(
            &mut evidence,
            Source::ProtocolLog,
            &sessions(read((refused.to_owned() + &next).as_bytes()).rows),
            "SEND.LOG",
            None,
        );
        let causes: Vec<_> = diagnose(&evidence).iter().map(|finding| finding.cause.as_str()).collect();
        causes
    };
    assert_eq!(log("00.300"), ["connection-timed-out"]);
    assert_eq!(log("20.000").len(), 2);
}

#[test]
fn where_a_session_stopped_is_not_known_if_its_last_words_were_lost() {
    let end = |number: u32| format!("{number},10.0.0.1:5,192.0.2.1:25,-,,Remote(ConnectionReset)");
    let attempts = |number| finding(&[&BEGIN[..], &[end(number).as_str()]].concat()).1.len();
    assert_eq!((attempts(5), attempts(6)), (1, 0));
}
