//! Differences between failed and working attempts: every dimension, few attempts, many values, and the numbers of all
//! dimensions that were compared.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{borrow::Cow, net::SocketAddr};

use gatepost_diagnosis::{
    Attempt, Connection, Dimension, Evidence, Failed, Finding, Outcome, Sign, Signs, Source, diagnose,
};
use jiff::{Timestamp, ToSpan};
use protocol::{
    smtp::Phase,
    tls::{CipherSuite, HandshakeFacts, ServerHello, WireVersion},
};

fn at(second: i64) -> Timestamp {
    "2026-11-25T12:00:00Z".parse::<Timestamp>().unwrap() + second.seconds()
}

/// An attempt by one connector, the number giving its time and message.
fn attempt(number: i64, sign: Option<Sign>) -> Attempt<'static> {
    Attempt {
        at: Some(at(number)),
        message: Some(number.to_string().into()),
        recipient: Some("user@onprem.test".into()),
        connector: Some("onprem".into()),
        destination: Some(("mail.onprem.test".into(), Some(25))),
        failure: sign.map(|sign| Failed {
            phase: Some(Phase::Connect),
            signs: Signs::default().and(sign),
            code: None,
            enhanced: None,
            text: "it failed".into(),
        }),
        ..Attempt::by(Source::History)
    }
}

fn first(attempts: impl IntoIterator<Item = Attempt<'static>>) -> Finding {
    let mut evidence = Evidence::default();
    attempts.into_iter().for_each(|attempt| evidence.add(&attempt, || None));
    diagnose(&evidence).into_iter().next().unwrap()
}

fn outcome(finding: &Finding, dimension: Dimension) -> Outcome {
    finding.scope.compared.iter().find(|compared| compared.dimension == [dimension]).unwrap().outcome
}

const REFUSED: Option<Sign> = Some(Sign::ConnectionRefused);

#[test]
fn connections_beyond_a_limit_are_the_difference() {
    // As the source counts them, with one connection too few and one too many that do not fit.
    let counted = |number: i64| {
        let open = number % 16 + 1;
        let fails = (open > 10) != (number == 7);
        let sign = fails.then_some(Sign::TooManyConnections);
        Attempt { connections: Some(open as u32), ..attempt(number, sign) }
    };
    // As the times of the connections show them: up to 14 at once, each with two recipients.
    let timed = |number: i64| {
        let (burst, place) = (number / 28, number % 28 / 2);
        let client: SocketAddr = format!("192.0.2.1:{}", 10_000 + number / 2).parse().unwrap();
        let server: SocketAddr = "192.0.2.25:25".parse().unwrap();
        let connection = Connection { client, server, began: at(burst * 1000 + place) };
        let sign = (place >= 10).then_some(Sign::TooManyConnections);
        let ended = if sign.is_some() { 11 + place } else { 100 };
        let recipient = format!("user{number}@onprem.test");
        let connection = Some(connection);
        let recipient = Some(recipient.into());
        Attempt { connection, recipient, at: Some(at(burst * 1000 + ended)), ..attempt(number / 2, sign) }
    };
    let finding = first((0..160).map(counted));
    assert_eq!(finding.cause.as_str(), "rate-limited");
    let split = finding.scope.split.as_ref().unwrap();
    assert_eq!(
        (&split.dimension[..], &split.fails[0][..]),
        (&[Dimension::Concurrency][..], "11 or more connections open")
    );
    let finding = first((0..28 * 6).map(timed));
    let split = finding.scope.split.as_ref().unwrap();
    assert_eq!((&split.dimension[..], &split.works[0][..]), (&[Dimension::Concurrency][..], "up to 10"));
    assert!(finding.summary.contains("with 11 or more connections open failed"), "{}", finding.summary);
}

#[test]
fn few_attempts_say_what_is_true_so_far() {
    let from = |number: i64, address: &str, fails: bool| Attempt {
        source_address: Some(address.parse().unwrap()),
        ..attempt(number, if fails { REFUSED } else { None })
    };
    let finding = first((0..8).map(|number| {
        let fails = number % 2 == 0;
        from(number, if fails { "127.0.2.92" } else { "127.0.2.91" }, fails)
    }));
    assert_eq!((finding.scope.split.as_ref(), outcome(&finding, Dimension::SourceAddress)), (None, Outcome::SoFar));
    assert!(
        finding.summary.contains(
            "so far 4 of 4 from address 127.0.2.92 failed, 0 of 4 from address 127.0.2.91; not enough attempts to be sure"
        ),
        "{}",
        finding.summary
    );
    // Small messages fail here: no difference that is looked for, but with so few it is not said that there is none.
    let small = |number: i64| Attempt {
        message_bytes: Some(if number % 2 == 0 { 1000 } else { 9000 }),
        ..attempt(number, if number % 2 == 0 { REFUSED } else { None })
    };
    assert_eq!(outcome(&first((0..10).map(small)), Dimension::MessageSize), Outcome::NotEnoughAttempts);
    // Two attempts show nothing at all; many alike show that there is nothing.
    let finding = first((0..2).map(|number| from(number, &format!("127.0.2.{number}"), number == 0)));
    assert_eq!(
        (finding.scope.so_far(), outcome(&finding, Dimension::SourceAddress)),
        (None, Outcome::NotEnoughAttempts)
    );
    let finding = first((0..200).map(|number| from(number, &format!("127.0.2.{}", number % 3), number % 7 == 0)));
    assert_eq!((finding.scope.so_far(), outcome(&finding, Dimension::SourceAddress)), (None, Outcome::NoDifference));
}

#[test]
fn one_of_hundreds_of_domains_is_found() {
    let finding = first((0..600).map(|number| {
        let domain = format!("domain{}.test", number % 200);
        let sign = REFUSED.filter(|_| number % 200 == 77 || number % 101 == 5);
        Attempt { sender_domain: Some(domain.into()), ..attempt(number, sign) }
    }));
    // Too few of that domain for so many others; with more attempts it is clear.
    assert_eq!(finding.scope.split, None);
    let finding = first((0..2000).map(|number| {
        let domain = format!("domain{}.test", number % 200);
        let sign = REFUSED.filter(|_| number % 200 == 77);
        Attempt { sender_domain: Some(domain.into()), ..attempt(number, sign) }
    }));
    let split = finding.scope.split.unwrap();
    assert_eq!(
        (&split.dimension[..], &split.fails[..]),
        (&[Dimension::SenderDomain][..], &["domain77.test".to_owned()][..])
    );
    assert!(split.works.len() <= 64 && split.failed == 10 && split.worked == 1990);
}

#[test]
fn one_of_two_hosts_of_a_domain_is_found_without_connectors() {
    let log = |number: i64| {
        let fails = number % 2 == 0;
        let host = if fails { "mx1.onprem.test" } else { "mx2.onprem.test" };
        Attempt {
            connector: None,
            destination: Some((host.into(), Some(25))),
            recipient_domain: Some("onprem.test".into()),
            ..attempt(number, if fails { REFUSED } else { None })
        }
    };
    for (attempts, is_sure) in [(40, true), (8, false)] {
        let finding = first((0..attempts).map(log));
        let split = if is_sure { finding.scope.split.as_ref() } else { finding.scope.so_far() }.unwrap();
        assert_eq!(split.dimension, [Dimension::DestinationHost], "{finding:#?}");
        assert_eq!(split.works, ["mx2.onprem.test:25"]);
        assert!(finding.is_ongoing() && finding.is_root_cause());
    }
}

#[test]
fn captures_compare_by_the_cipher_suite_that_the_server_chose() {
    let finding = first((0..60).map(|number| {
        let fails = number % 3 == 0;
        let suite = CipherSuite(if fails { 0xc014 } else { 0xc02f });
        let hello =
            ServerHello { version: WireVersion::TLS12, cipher_suite: suite, key_exchange: None, retried: false };
        let facts = HandshakeFacts { server_hello: Some(hello), completed: true, ..HandshakeFacts::default() };
        let handshake = Some(Cow::Owned(facts));
        let sign = fails.then_some(Sign::TimedOut);
        Attempt { source: Source::Capture, handshake, ..attempt(number, sign) }
    }));
    let split = finding.scope.split.unwrap();
    assert_eq!(
        (&split.dimension[..], &split.fails[..]),
        (&[Dimension::Cipher][..], &["ECDHE-RSA-AES256-SHA".to_owned()][..])
    );
    assert_eq!(finding.scope.works_with.as_deref(), Some("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"));
}

#[test]
fn every_dimension_comes_out_with_what_came_of_it() {
    let finding = first((0..60).map(|number| {
        let fails = number % 3 == 0;
        Attempt {
            node: Some(if fails { "mx1" } else { "mx2" }.into()),
            tls_policy: Some(if fails { "modern" } else { "legacy" }.into()),
            sender_domain: Some(format!("domain{}.test", number % 4).into()),
            recipient_domain: Some("onprem.test".into()),
            ..attempt(number, if fails { REFUSED } else { None })
        }
    }));
    for (dimension, expected) in [
        (Dimension::TlsPolicy, Outcome::Separates),
        (Dimension::Node, Outcome::AlsoSeparates),
        (Dimension::SenderDomain, Outcome::NoDifference),
        (Dimension::RecipientDomain, Outcome::OneValue),
        (Dimension::Cipher, Outcome::NotObserved),
        (Dimension::Concurrency, Outcome::NotObserved),
    ] {
        assert_eq!(outcome(&finding, dimension), expected, "{dimension:?}");
    }
    assert_eq!(finding.scope.compared.len(), 12);
    let node = finding.scope.compared.iter().find(|compared| compared.dimension == [Dimension::Node]).unwrap();
    assert_eq!(node.split.as_ref().map(|split| (split.failed, split.of, split.worked)), Some((20, 20, 40)));
}

#[test]
fn names_of_two_systems_for_one_cipher_suite_are_no_difference() {
    let agreed = |number: i64, cipher: &'static str, sign| Attempt {
        tls: Some(("TLSv1".into(), cipher.into())),
        ..attempt(number, sign)
    };
    // What a protocol log alone has, and what the history names as well.
    let fails = (0..7).map(|number| agreed(number, "CALG_RC4 128", Some(Sign::ConnectionClosed)));
    let works = (7..60).map(|number| agreed(number, "RC4-SHA", None));
    let finding = first(fails.chain(works));
    assert_eq!(outcome(&finding, Dimension::Cipher), Outcome::NotObserved);
    assert!(!finding.is_ongoing(), "{:?}", finding.scope.split);
    // Names of one system are compared.
    let fails = (0..20).map(|number| agreed(2 * number, "CALG_RC4 128", Some(Sign::ConnectionClosed)));
    let works = (0..20).map(|number| agreed(2 * number + 1, "CALG_AES_256 256", None));
    assert_eq!(outcome(&first(fails.chain(works)), Dimension::Cipher), Outcome::Separates);
}
