//! Every kind of difference between failed and working attempts, each with a near miss: the same values without a
//! difference, which must not be named.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Attempt, Dimension, Evidence, Failed, Finding, Outcome, Sign, Signs, Source, diagnose};
use jiff::{Timestamp, ToSpan};
use protocol::smtp::Phase;

/// What an attempt is like on the failing side (true) and on the working side; the number tells attempts of a side apart.
type Make = fn(Attempt<'static>, bool, i64) -> Attempt<'static>;

/// Name of the kind, its dimensions, and values of both sides.
type Row = (&'static str, Make, &'static [Dimension], &'static str, &'static str);

fn pick(fails: bool, bad: &'static str, good: &'static str) -> &'static str {
    if fails { bad } else { good }
}

const ROWS: [Row; 17] = [
    ("node", |a, f, _| Attempt { node: Some(pick(f, "mx1", "mx2").into()), ..a }, &[Dimension::Node], "mx1", "mx2"),
    (
        "several nodes",
        |a, f, n| Attempt { node: Some(format!("{}{}", pick(f, "old", "new"), n % 3).into()), ..a },
        &[Dimension::Node],
        "old1",
        "new1",
    ),
    (
        "TLS policy",
        |a, f, n| Attempt {
            tls_policy: Some(pick(f, "modern", "legacy").into()),
            node: Some(format!("mx{}", n % 4).into()),
            ..a
        },
        &[Dimension::TlsPolicy],
        "modern",
        "legacy",
    ),
    (
        "TLS version",
        |a, f, _| Attempt { tls: Some((pick(f, "TLSv1.3", "TLSv1.2").into(), "AES256-GCM-SHA384".into())), ..a },
        &[Dimension::TlsVersion],
        "TLSv1.3",
        "TLSv1.2",
    ),
    (
        "cipher suite",
        |a, f, _| Attempt { tls: Some(("TLSv1.2".into(), pick(f, "AES256-SHA", "AES128-SHA").into())), ..a },
        &[Dimension::Cipher],
        "AES256-SHA",
        "AES128-SHA",
    ),
    (
        "source address",
        |a, f, _| Attempt { source_address: Some(pick(f, "192.0.2.92", "192.0.2.91").parse().unwrap()), ..a },
        &[Dimension::SourceAddress],
        "192.0.2.92",
        "192.0.2.91",
    ),
    (
        "destination address",
        |a, f, _| Attempt { destination_address: Some(pick(f, "203.0.113.2", "203.0.113.1").parse().unwrap()), ..a },
        &[Dimension::DestinationAddress],
        "203.0.113.2",
        "203.0.113.1",
    ),
    (
        "address family",
        |a, f, n| {
            let address = if f { format!("2001:db8::{}", n % 3 + 1) } else { format!("203.0.113.{}", n % 3 + 1) };
            Attempt { destination_address: Some(address.parse().unwrap()), ..a }
        },
        &[Dimension::DestinationAddress],
        "2001:db8::1",
        "203.0.113.1",
    ),
    (
        "host of a connector",
        |a, f, _| Attempt { destination: Some((pick(f, "b.test", "a.test").into(), Some(25))), ..a },
        &[Dimension::DestinationHost],
        "b.test:25",
        "a.test:25",
    ),
    (
        "MX of a domain",
        |a, f, _| Attempt {
            connector: None,
            destination: Some((pick(f, "mx2.x.test", "mx1.x.test").into(), Some(25))),
            recipient_domain: Some("x.test".into()),
            ..a
        },
        &[Dimension::DestinationHost],
        "mx2.x.test:25",
        "mx1.x.test:25",
    ),
    (
        "port",
        |a, f, _| Attempt { destination: Some(("a.test".into(), Some(if f { 465 } else { 587 }))), ..a },
        &[Dimension::DestinationHost],
        "a.test:465",
        "a.test:587",
    ),
    (
        "message size",
        |a, f, n| Attempt { message_bytes: Some((if f { 2_000_000 } else { 1000 }) + 50 * n.unsigned_abs()), ..a },
        &[Dimension::MessageSize],
        "",
        "",
    ),
    (
        "concurrency",
        |a, f, n| Attempt { connections: Some((if f { 11 } else { 1 }) + (n % 5) as u32), ..a },
        &[Dimension::Concurrency],
        "11 or more connections open",
        "up to 5",
    ),
    (
        "sender domain",
        |a, f, n| {
            let domain = if f { "news.test".to_owned() } else { format!("s{}.test", n % 5) };
            Attempt { sender_domain: Some(domain.into()), ..a }
        },
        &[Dimension::SenderDomain],
        "news.test",
        "s1.test",
    ),
    (
        "recipient domain",
        |a, f, n| {
            let domain = if f { "old.test".to_owned() } else { format!("r{}.test", n % 5) };
            Attempt { recipient_domain: Some(domain.into()), ..a }
        },
        &[Dimension::RecipientDomain],
        "old.test",
        "r1.test",
    ),
    (
        "time",
        |a, f, n| Attempt { at: Some(start() + (n + if f { 10_000 } else { 0 }).seconds()), ..a },
        &[Dimension::Time],
        "",
        "",
    ),
    (
        "node with recipient domain",
        |a, f, n| {
            let node = if f { 0 } else { n % 4 };
            let domain = if f || node != 0 { n % 2 } else { 0 };
            let domain = if f { 1 } else { domain };
            Attempt {
                node: Some(format!("mx{node}").into()),
                recipient_domain: Some(format!("r{domain}.test").into()),
                ..a
            }
        },
        &[Dimension::Node, Dimension::RecipientDomain],
        "mx0 with r1.test",
        "",
    ),
];

fn start() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn attempt(number: i64, fails: bool) -> Attempt<'static> {
    let signs = Signs::default().and(Sign::ConnectionRefused);
    let text = "Connection refused".into();
    Attempt {
        at: Some(start() + number.seconds()),
        message: Some(number.to_string().into()),
        recipient: Some("user@x.test".into()),
        connector: Some("out".into()),
        destination: Some(("a.test".into(), Some(25))),
        failure: fails.then_some(Failed { phase: Some(Phase::Connect), signs, code: None, enhanced: None, text }),
        ..Attempt::by(Source::History)
    }
}

/// `is_side` says which side's values an attempt has, and `fails` whether it failed.
fn finding(make: Make, count: i64, is_side: fn(i64) -> bool, fails: fn(i64) -> bool) -> Finding {
    let mut evidence = Evidence::default();
    for number in 0..count {
        evidence.add(&make(attempt(number, fails(number)), is_side(number), number / 3), || None);
    }
    diagnose(&evidence).into_iter().next().unwrap()
}

fn every_third(number: i64) -> bool {
    number % 3 == 0
}

#[test]
fn every_kind_of_difference_is_found_with_its_values() {
    let mut wrong = Vec::new();
    for (kind, make, dimensions, fails, works) in ROWS {
        let finding = finding(make, 120, every_third, every_third);
        let is_right = finding.scope.split.as_ref().is_some_and(|split| {
            let has = |values: &[String], value: &str| value.is_empty() || values.iter().any(|known| known == value);
            split.dimension == dimensions && has(&split.fails, fails) && has(&split.works, works)
        });
        if !is_right {
            wrong.push(format!("{kind}: {:?}", finding.scope.split));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_same_values_without_a_difference_are_not_named() {
    let mut wrong = Vec::new();
    for (kind, make, dimensions, ..) in ROWS {
        // One of five fails on either side.
        let finding = finding(make, 120, every_third, |number| number % 5 == 0);
        let is_named = |outcome| matches!(outcome, Outcome::Separates | Outcome::AlsoSeparates | Outcome::SoFar);
        let named = finding.scope.compared.iter().filter(|compared| is_named(compared.outcome));
        let named: Vec<String> = named.map(|compared| compared.dimension_name()).collect();
        if !named.is_empty() || finding.scope.split.is_some() {
            wrong.push(format!("{kind}: {named:?} for {dimensions:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn small_samples_are_worded_as_such() {
    let mut worded = 0;
    for (kind, make, dimensions, ..) in ROWS {
        let finding = finding(make, 8, |number| number % 2 == 0, |number| number % 2 == 0);
        // With so few, no difference is certain, except one of a kind that few others compete with.
        let is_certain = finding.scope.split.is_some();
        let says_so = finding.summary.contains("not enough attempts to be sure");
        assert!(!(is_certain && says_so), "{kind}: {}", finding.summary);
        assert!(!is_certain, "{kind}: {:?}", finding.scope.split);
        if says_so {
            worded += 1;
            let so_far = finding.scope.so_far().unwrap();
            assert!(dimensions.len() > 1 || so_far.dimension == dimensions, "{kind}: {so_far:?}");
        }
    }
    // Of times, so few say nothing.
    assert!(worded >= 14, "{worded} of {}", ROWS.len());
}
