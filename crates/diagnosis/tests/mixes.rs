//! Findings where things are not as clear as one would wish: several causes at once, noise, and logs that are cut, have
//! lost lines, or are in no order.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Attempt, Dimension, Evidence, Failed, Finding, Sign, Signs, Source, diagnose, sources};
use jiff::{Timestamp, ToSpan};
use proptest::{collection::vec, prelude::*, sample::Index};
use protocol::smtp::{EnhancedCode, Phase};
use trace::{message_trace, protocol_log};

type Failure = (Phase, Signs, Option<u16>, Option<EnhancedCode>);

fn signs(all: &[Sign]) -> Signs {
    all.iter().fold(Signs::default(), |signs, sign| signs.and(*sign))
}

fn no_cipher() -> Failure {
    let signs = signs(&[Sign::HandshakeFailed, Sign::NoServerHello, Sign::AlertHandshakeFailure]);
    (Phase::Handshake, signs, None, None)
}

fn refused() -> Failure {
    (Phase::Connect, signs(&[Sign::ConnectionRefused]), None, None)
}

fn expired() -> Failure {
    (Phase::Handshake, signs(&[Sign::HandshakeFailed, Sign::ServerHelloSeen, Sign::CertificateExpired]), None, None)
}

fn full() -> Failure {
    (Phase::Rcpt, signs(&[Sign::MailboxFull]), Some(452), Some(EnhancedCode::new(4, 2, 2)))
}

fn unknown_user() -> Failure {
    (Phase::Rcpt, signs(&[Sign::RecipientUnknown]), Some(550), Some(EnhancedCode::new(5, 1, 1)))
}

fn reset() -> Failure {
    (Phase::EndOfData, signs(&[Sign::ConnectionReset]), None, None)
}

/// One attempt.
#[derive(Clone, Copy)]
struct Try<'a> {
    number: usize,
    connector: &'a str,
    host: &'a str,
    policy: &'a str,
    domain: &'a str,
    failure: Option<Failure>,
}

const TRY: Try<'_> =
    Try { number: 0, connector: "onprem", host: "mx1.test", policy: "modern", domain: "a.test", failure: None };

fn add(evidence: &mut Evidence, attempt: Try<'_>) {
    let start: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let message = attempt.number.to_string();
    let failure = attempt.failure.map(|(phase, signs, code, enhanced)| Failed {
        phase: Some(phase),
        signs,
        code,
        enhanced,
        text: "it failed".into(),
    });
    let attempt = Attempt {
        at: Some(start + (attempt.number as i64).seconds()),
        message: Some(message.into()),
        recipient: Some("user".into()),
        connector: Some(attempt.connector.into()),
        destination: Some((attempt.host.into(), Some(25))),
        tls_policy: Some(attempt.policy.into()),
        recipient_domain: Some(attempt.domain.into()),
        failure,
        ..Attempt::by(Source::History)
    };
    evidence.add(&attempt, || None);
}

/// What is surer than not.
fn root_causes(evidence: &Evidence) -> Vec<Finding> {
    diagnose(evidence).into_iter().filter(|finding| finding.confidence > 0.5).collect()
}

/// Cause, destination, and by what its attempts are parted from those that work.
fn scope(finding: &Finding) -> (&str, &str, &[Dimension]) {
    let split = finding.scope.split.as_ref();
    (finding.cause.as_str(), &finding.scope.destination, split.map_or(&[], |split| &split.dimension))
}

fn policy(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "modern" } else { "legacy" }
}

#[test]
fn two_causes_at_two_destinations_are_both_named_each_where_it_is() {
    // Of two connectors, and of one that has both hosts.
    for connectors in [["one", "two"], ["both", "both"]] {
        let mut evidence = Evidence::default();
        for number in 0..200 {
            let is_first = number % 4 < 2;
            let (connector, host) = if is_first { (connectors[0], "mx1.test") } else { (connectors[1], "mx2.test") };
            let policy = policy(number);
            let failure = if is_first { (policy == "modern").then(no_cipher) } else { Some(refused()) };
            add(&mut evidence, Try { number, connector, host, policy, failure, ..TRY });
        }
        let found = root_causes(&evidence);
        let found: Vec<_> = found.iter().map(scope).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        // With nothing but failures at a destination of its own, there is nothing to hold them against.
        let elsewhere: &[Dimension] = if connectors[0] == "both" { &[Dimension::DestinationHost] } else { &[] };
        assert!(found.contains(&("connection-refused", "mx2.test:25", elsewhere)), "{found:?}");
        assert!(found.contains(&("no-shared-cipher", "mx1.test:25", &[Dimension::TlsPolicy])), "{found:?}");
    }
}

#[test]
fn two_causes_at_one_destination_are_both_named_each_with_whom_it_holds_for() {
    let mut evidence = Evidence::default();
    for number in 0..200 {
        let (policy, domain) = (policy(number), ["a.test", "b.test", "c.test"][number % 3]);
        let failure = match (policy, domain) {
            ("modern", _) => Some(no_cipher()),
            (_, "b.test") => Some(full()),
            _ => None,
        };
        add(&mut evidence, Try { number, policy, domain, failure, ..TRY });
    }
    let found = root_causes(&evidence);
    let found: Vec<_> = found.iter().map(scope).collect();
    assert_eq!(
        found,
        [
            ("no-shared-cipher", "mx1.test:25", &[Dimension::TlsPolicy][..]),
            ("mailbox-full", "mx1.test:25", &[Dimension::RecipientDomain]),
        ]
    );
}

/// Numbers that look drawn at random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn noise_hides_no_clean_split() {
    for (name, failure) in [("no-shared-cipher", no_cipher()), ("certificate-expired", expired())] {
        for seed in 0..50 {
            let mut numbers = Numbers(seed);
            let mut evidence = Evidence::default();
            for number in 0..100 {
                let policy = policy(number);
                let clean = (policy == "modern").then_some(failure);
                let noise = [None, Some(reset()), Some(full()), Some(unknown_user()), Some(refused())];
                let failure = if numbers.below(100) < 5 { noise[numbers.below(5) as usize] } else { clean };
                add(&mut evidence, Try { number, policy, failure, ..TRY });
            }
            let found = diagnose(&evidence);
            assert_eq!(scope(&found[0]), (name, "mx1.test:25", &[Dimension::TlsPolicy][..]), "{seed}");
            assert!(found[0].confidence > 0.5, "{seed}: {:#?}", found[0]);
            // Of the noise, nothing is called a root cause.
            assert!(found[1..].iter().all(|finding| finding.confidence <= 0.5), "{seed}: {found:#?}");
        }
    }
}

/// Sessions of a node, of which every second has no cipher suite in common with its destination.
fn log() -> String {
    let mut log = String::from("#Software: Gatepost\r\n#Version: 15.0.0.0\r\n#Log-type: SMTP Send Protocol Log\r\n");
    log.push_str(
        "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n",
    );
    let failed = [
        "*,,TLS negotiation failed with error AlgorithmMismatch",
        "*,,\"offered TLS 1.2-1.3 with 14 suites; server sent alert 40 handshake_failure (fatal); server closed (FIN) after 1 ms\"",
        "-,,Remote",
    ];
    let worked = [
        "*,,\"TLS protocol SP_PROT_TLS1_0_CLIENT negotiation succeeded using bulk encryption algorithm CALG_RC4 with strength 128 bits, MAC hash algorithm CALG_SHA1 with strength 160 bits and key exchange algorithm CALG_RSA_KEYX with strength 2048 bits\"",
        ">,EHLO edge.test,",
        "<,250 mx.test,",
        ">,MAIL FROM:<a@b.test>,",
        ">,RCPT TO:<c@d.test>,",
        ">,DATA,",
        "<,250 ok,",
        "<,250 ok,",
        "<,354 go on,",
        "<,250 2.0.0 queued,",
        ">,QUIT,",
        "<,221 bye,",
        "-,,Local",
    ];
    let begin = ["+,,", "<,220 mx.test ESMTP,", ">,EHLO edge.test,", "<,250-mx.test,", "<,250 STARTTLS,"];
    let begin = begin.into_iter().chain([">,STARTTLS,", "<,220 ready,"]);
    for session in 0..40 {
        let end = if session % 2 == 0 { &failed[..] } else { &worked[..] };
        for (number, row) in begin.clone().chain(end.iter().copied()).enumerate() {
            log.push_str(&format!(
                "2026-11-25T12:{session:02}:{number:02}.000Z,out,08DF{session:04X},{number},10.0.0.1:5,192.0.2.1:25,{row}\r\n"
            ));
        }
    }
    log
}

fn of_log(log: &[u8]) -> Vec<Finding> {
    let mut evidence = Evidence::default();
    for session in protocol_log::sessions(protocol_log::read(log).rows) {
        sources::protocol_log::add_session(&mut evidence, Source::OwnProtocolLog, &session, "SEND.LOG", Some("mx1"));
    }
    diagnose(&evidence)
}

/// Deferred and delivered mail, as a detailed message trace has it.
fn message_trace() -> String {
    let mut trace =
        String::from("date_time_utc,connector_id,event_id,recipient_address,network_message_id,recipient_status\r\n");
    for message in 0..80 {
        let (event, status) = if message % 2 == 0 {
            (
                "DEFER",
                "[{LED=450 4.4.317 Cannot connect to remote server [Message=CertificateExpired]};{MSG=};{FQDN=mx.test};{IP=192.0.2.1}]",
            )
        } else {
            ("SEND", "250 2.0.0 queued")
        };
        trace.push_str(&format!(
            "2026-11-25T12:00:{:02}.000Z,out,{event},user{message}@onprem.test,{message},\"{status}\"\r\n",
            message % 60
        ));
    }
    trace
}

fn of_trace(trace: &[u8]) -> Vec<Finding> {
    let mut evidence = Evidence::default();
    let Ok(reader) = message_trace::Reader::new(trace) else { return Vec::new() };
    for (row, line) in reader.map_while(Result::ok).zip(1..) {
        sources::trace_rows::add_row(&mut evidence, &message_trace::MESSAGE_TRACE, &row, "trace.csv", line);
    }
    diagnose(&evidence)
}

fn cause(findings: &[Finding]) -> &'static str {
    findings.first().map_or("nothing", |finding| finding.cause.as_str())
}

/// A file's lines in another order, some of them lost; what it begins with stays.
fn mangled(text: &str, head: usize, order: &[Index], lost: &[Index]) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut rows = lines.split_off(head);
    for index in lost {
        rows.remove(index.index(rows.len()));
    }
    for (at, index) in order.iter().enumerate().take(rows.len()) {
        let other = index.index(rows.len());
        rows.swap(at, other);
    }
    lines.append(&mut rows);
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_that_is_cut_anywhere_names_the_cause_when_half_is_left(cut: Index, from_the_end: bool) {
        for (text, head, read, named) in [
            (log(), 4, of_log as fn(&[u8]) -> Vec<Finding>, "no-shared-cipher"),
            (message_trace(), 1, of_trace, "certificate-expired"),
        ] {
            let bytes = text.as_bytes();
            let cut = cut.index(bytes.len());
            let left = if from_the_end {
                // As a log that was rotated in the middle of a line: its beginning is there, for it names the fields.
                let head: usize = text.split_inclusive('\n').take(head).map(str::len).sum();
                [&bytes[..head], &bytes[cut.max(head)..]].concat()
            } else {
                bytes[..cut].to_vec()
            };
            let findings = read(&left);
            if left.len() >= bytes.len() / 2 {
                prop_assert_eq!(cause(&findings), named);
                prop_assert!(findings[0].confidence > 0.5, "{:#?}", findings);
            }
        }
    }

    #[test]
    fn lost_lines_and_no_order_hide_no_cause(
        order in vec(any::<Index>(), 600),
        lost in vec(any::<Index>(), 0..60),
    ) {
        let findings = of_log(mangled(&log(), 4, &order, &lost).as_bytes());
        prop_assert_eq!(cause(&findings), "no-shared-cipher");
        // Half of the rows.
        let half = &lost[..lost.len().min(40)];
        let findings = of_trace(mangled(&message_trace(), 1, &order, half).as_bytes());
        prop_assert_eq!(cause(&findings), "certificate-expired");
    }

    #[test]
    fn half_of_a_logs_lines_tell_the_cause_still(order in vec(any::<Index>(), 600), lost in vec(any::<Index>(), 290)) {
        let findings = of_log(mangled(&log(), 4, &order, &lost).as_bytes());
        prop_assert!(findings.iter().any(|finding| finding.cause.as_str() == "no-shared-cipher"), "{:#?}", findings);
    }

    #[test]
    fn no_garbage_makes_it_panic(mut bytes in vec(any::<u8>(), 0..2000), at: Index, of_trace_: bool) {
        let (text, read) =
            if of_trace_ { (message_trace(), of_trace as fn(&[u8]) -> Vec<Finding>) } else { (log(), of_log as _) };
        let (before, after) = text.as_bytes().split_at(at.index(text.len()));
        bytes.splice(..0, before.iter().copied());
        bytes.extend_from_slice(after);
        read(&bytes);
    }
}
