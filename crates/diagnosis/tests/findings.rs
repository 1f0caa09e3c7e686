//! Findings over mixes of attempts made up here: one cause, two at once, noise, and healthy traffic.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{
    Attempt, Dimension, Evidence, Failed, Finding, Place, Sign, Signs, Source, diagnose, explain,
};
use jiff::{Timestamp, ToSpan};
use protocol::smtp::{EnhancedCode, Phase};

/// Numbers that look drawn at random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.next() as usize % of.len()]
    }
}

/// One attempt; what is left out is the same for all.
#[derive(Clone, Copy)]
struct Try<'a> {
    number: usize,
    policy: &'a str,
    node: &'a str,
    domain: &'a str,
    bytes: u64,
    failure: Option<(Phase, Signs, Option<u16>, Option<EnhancedCode>)>,
}

impl Default for Try<'_> {
    fn default() -> Self {
        Self { number: 0, policy: "modern", node: "mx1", domain: "onprem.test", bytes: 2000, failure: None }
    }
}

fn start() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn add(evidence: &mut Evidence, attempt: Try<'_>) {
    let message = format!("message {}", attempt.number);
    let failure = attempt.failure.map(|(phase, signs, code, enhanced)| Failed {
        phase: Some(phase),
        signs,
        code,
        enhanced,
        text: "it failed".into(),
    });
    let attempt = Attempt {
        at: Some(start() + (attempt.number as i64).seconds()),
        message: Some(message.into()),
        recipient: Some("user@onprem.test".into()),
        connector: Some("onprem".into()),
        node: Some(attempt.node.into()),
        destination: Some(("mail.onprem.test".into(), Some(25))),
        tls_policy: Some(attempt.policy.into()),
        tls: (attempt.failure.is_none() && attempt.policy == "legacy").then(|| ("TLSv1".into(), "RC4-SHA".into())),
        message_bytes: Some(attempt.bytes),
        recipient_domain: Some(attempt.domain.into()),
        failure,
        ..Attempt::by(Source::History)
    };
    evidence.add(&attempt, || Some(Place::Session { id: "08DF".to_owned(), file: None }));
}

fn signs(all: &[Sign]) -> Signs {
    all.iter().fold(Signs::default(), |signs, sign| signs.and(*sign))
}

type Failure = (Phase, Signs, Option<u16>, Option<EnhancedCode>);

fn no_cipher() -> Failure {
    let signs = signs(&[Sign::HandshakeFailed, Sign::NoServerHello, Sign::AlertHandshakeFailure]);
    (Phase::Handshake, signs, None, None)
}

fn stall() -> Failure {
    (Phase::EndOfData, signs(&[Sign::TimedOut]), None, None)
}

fn refused() -> Failure {
    (Phase::Connect, signs(&[Sign::ConnectionRefused]), None, None)
}

fn unknown_user() -> Failure {
    (Phase::Rcpt, signs(&[Sign::RecipientUnknown]), Some(550), Some(EnhancedCode::new(5, 1, 1)))
}

fn greylisted() -> Failure {
    (Phase::Rcpt, signs(&[Sign::Greylisted]), Some(451), Some(EnhancedCode::new(4, 7, 1)))
}

fn busy() -> Failure {
    (Phase::Data, signs(&[Sign::Overloaded]), Some(452), Some(EnhancedCode::new(4, 3, 1)))
}

fn first(evidence: &Evidence) -> Finding {
    diagnose(evidence).into_iter().next().unwrap()
}

fn dimension(finding: &Finding) -> Vec<Dimension> {
    finding.scope.split.as_ref().map(|split| split.dimension.clone()).unwrap_or_default()
}

#[test]
fn the_story_is_named_with_its_scope() {
    let mut evidence = Evidence::default();
    let mut numbers = Numbers(1);
    for number in 0..200 {
        let node = numbers.pick(&["mx1", "mx2", "mx3", "mx4"]);
        let policy = if matches!(node, "mx1" | "mx2") { "modern" } else { "legacy" };
        let failure = (policy == "modern").then(no_cipher);
        add(&mut evidence, Try { number, policy, node, failure, ..Try::default() });
    }
    let finding = first(&evidence);
    assert_eq!(finding.cause.as_str(), "no-shared-cipher");
    assert!(finding.confidence > 0.9, "{finding:#?}");
    let split = finding.scope.split.as_ref().unwrap();
    // Nodes part it as well: fewer ways to look make the policy the surer name.
    assert_eq!(split.dimension, [Dimension::TlsPolicy]);
    assert_eq!((&split.fails[..], &split.works[..]), (&["modern".to_owned()][..], &["legacy".to_owned()][..]));
    assert!(split.p_value < 1e-50 && split.failed == split.of && split.worked == split.of_works);
    assert_eq!(finding.scope.works_with.as_deref(), Some("TLSv1 RC4-SHA"));
    assert_eq!(finding.messages_pending, split.failed);
    assert!(finding.summary.contains("always with TLSv1 RC4-SHA"), "{}", finding.summary);
}

#[test]
fn a_finding_shows_its_attempts_and_counts_them_by_what_parts_them() {
    let mut evidence = Evidence::keeping(3);
    // The newest come first, as from a history that is read backwards.
    for number in (0..40).rev() {
        let policy = if number % 2 == 0 { "modern" } else { "legacy" };
        let failure = (policy == "modern").then(no_cipher);
        add(&mut evidence, Try { number, policy, failure, ..Try::default() });
    }
    let explained = explain(&evidence).into_iter().next().unwrap();
    let lanes = explained.lanes();
    let counts: Vec<_> = lanes.lanes.iter().map(|lane| (lane.value.as_str(), lane.failed, lane.worked)).collect();
    assert_eq!((lanes.dimension, counts), (vec![Dimension::TlsPolicy], vec![("modern", 20, 0), ("legacy", 0, 20)]));
    let seconds = |attempts: Vec<&Attempt<'_>>| -> Vec<i64> {
        attempts.iter().map(|attempt| attempt.at.unwrap().as_second() - start().as_second()).collect()
    };
    assert_eq!((seconds(explained.failing()), seconds(explained.working())), (vec![38, 36, 34], vec![39, 37, 35]));
    assert!(
        explained
            .failing()
            .iter()
            .all(|attempt| attempt.failure.as_ref().is_some_and(|failed| failed.text == "it failed"))
    );
    let (failed, worked) = explained.pair().unwrap();
    assert_eq!((seconds(vec![failed]), seconds(vec![worked]), explained.worked()), (vec![38], vec![39], 20));
    assert_eq!(vec![explained.finding.clone()], diagnose(&evidence));
}

#[test]
fn twenty_attempts_suffice_for_a_clean_split_and_noise_does_not_hide_it() {
    for (attempts, noise, seed) in [(20, 0, 1), (200, 5, 2), (200, 5, 3), (400, 8, 4)] {
        let mut evidence = Evidence::default();
        let mut numbers = Numbers(seed);
        for number in 0..attempts {
            let policy = if number % 2 == 0 { "modern" } else { "legacy" };
            let fails = (policy == "modern") != numbers.chance(noise);
            add(&mut evidence, Try { number, policy, failure: fails.then(no_cipher), ..Try::default() });
        }
        let finding = first(&evidence);
        assert_eq!(dimension(&finding), [Dimension::TlsPolicy], "{attempts} {noise}: {finding:#?}");
    }
}

#[test]
fn every_kind_of_dimension_is_found() {
    let mut numbers = Numbers(7);
    let mut evidence = Evidence::default();
    for number in 0..60 {
        let bytes =
            if numbers.chance(30) { 3_000_000 + numbers.next() % 1_000_000 } else { 1000 + numbers.next() % 20_000 };
        add(&mut evidence, Try { number, bytes, failure: (bytes > 1_000_000).then(stall), ..Try::default() });
    }
    let finding = first(&evidence);
    assert_eq!((finding.cause.as_str(), dimension(&finding)), ("size-dependent-stall", vec![Dimension::MessageSize]));
    assert!(finding.confidence > 0.8);

    let mut evidence = Evidence::default();
    for number in 0..60 {
        add(&mut evidence, Try { number, failure: (number >= 40).then(refused), ..Try::default() });
    }
    let finding = first(&evidence);
    assert_eq!((finding.cause.as_str(), dimension(&finding)), ("connection-refused", vec![Dimension::Time]));
    assert_eq!(finding.scope.split.unwrap().fails, ["since 2026-11-25T12:00:40Z"]);

    // Only this node for only this domain: neither alone explains it.
    let mut evidence = Evidence::default();
    for number in 0..300 {
        let (node, domain) = (numbers.pick(&["mx1", "mx2", "mx3"]), numbers.pick(&["a.test", "b.test", "c.test"]));
        let failure = (node == "mx1" && domain == "a.test").then(busy);
        add(&mut evidence, Try { number, node, domain, failure, ..Try::default() });
    }
    let finding = first(&evidence);
    assert_eq!(dimension(&finding), [Dimension::Node, Dimension::RecipientDomain], "{finding:#?}");
}

#[test]
fn two_causes_at_once_are_told_apart() {
    let mut evidence = Evidence::default();
    let mut numbers = Numbers(11);
    for number in 0..200 {
        let policy = numbers.pick(&["modern", "legacy"]);
        let bytes = if numbers.chance(25) { 5_000_000 } else { 2000 };
        let failure = match (policy, bytes) {
            ("modern", _) => Some(no_cipher()),
            (_, 5_000_000) => Some(stall()),
            _ => None,
        };
        add(&mut evidence, Try { number, policy, bytes, failure, ..Try::default() });
    }
    let findings = diagnose(&evidence);
    assert_eq!((findings[0].cause.as_str(), dimension(&findings[0])), ("no-shared-cipher", vec![Dimension::TlsPolicy]));
    assert_eq!(
        (findings[1].cause.as_str(), dimension(&findings[1])),
        ("size-dependent-stall", vec![Dimension::MessageSize])
    );
    assert!(findings[1].confidence > 0.5);
}

#[test]
fn healthy_traffic_raises_no_alarm() {
    for seed in 0..50 {
        let mut numbers = Numbers(seed);
        let mut evidence = Evidence::default();
        let (unknown, grey, other) = (numbers.next() % 6, numbers.next() % 20, numbers.next() % 6);
        for number in 0..(100 + numbers.next() as usize % 400) {
            let attempt = Try {
                number,
                node: numbers.pick(&["mx1", "mx2", "mx3"]),
                domain: numbers.pick(&["a.test", "b.test"]),
                bytes: 500 + numbers.next() % 200_000,
                policy: numbers.pick(&["modern", "legacy"]),
                ..Try::default()
            };
            if numbers.chance(unknown) {
                add(&mut evidence, Try { failure: Some(unknown_user()), ..attempt });
                continue;
            }
            if numbers.chance(grey) {
                add(&mut evidence, Try { failure: Some(greylisted()), ..attempt });
            } else if numbers.chance(other) {
                add(&mut evidence, Try { failure: Some(busy()), ..attempt });
            }
            add(&mut evidence, attempt);
        }
        let findings = diagnose(&evidence);
        let alarms: Vec<_> = findings.iter().filter(|finding| finding.confidence > 0.5).collect();
        assert!(alarms.is_empty(), "seed {seed}: {alarms:#?}");
    }
}

#[test]
fn an_outage_that_is_over_is_no_finding_since_then() {
    // Refused for a while, and each message came through afterwards.
    let mut evidence = Evidence::default();
    for number in 0..200 {
        if (100..120).contains(&number) {
            add(&mut evidence, Try { number, failure: Some(refused()), ..Try::default() });
        }
    }
    for number in 0..200 {
        let late = number + if (100..120).contains(&number) { 300 } else { 0 };
        let message = format!("message {number}");
        let attempt = Attempt {
            at: Some(start() + (late as i64).seconds()),
            message: Some(message.into()),
            recipient: Some("user@onprem.test".into()),
            connector: Some("onprem".into()),
            destination: Some(("mail.onprem.test".into(), Some(25))),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, || None);
    }
    let finding = first(&evidence);
    assert!(finding.scope.split.is_none() && finding.confidence < 0.5, "{finding:#?}");
}

#[test]
fn what_is_not_observed_takes_no_part() {
    // The policy is known of the attempts that worked only: it must not be taken for what parts them.
    let mut evidence = Evidence::default();
    for number in 0..40 {
        let failure = (number % 2 == 0).then(no_cipher);
        let message = format!("{number}");
        let attempt = Attempt {
            message: Some(message.into()),
            recipient: Some("user".into()),
            connector: Some("c".into()),
            tls_policy: failure.is_none().then(|| "legacy".into()),
            failure: failure.map(|(phase, signs, ..)| Failed {
                phase: Some(phase),
                signs,
                code: None,
                enhanced: None,
                text: "".into(),
            }),
            ..Attempt::by(Source::ProtocolLog)
        };
        evidence.add(&attempt, || None);
    }
    assert_eq!(first(&evidence).scope.split, None);
    assert!(diagnose(&Evidence::default()).is_empty());
}
