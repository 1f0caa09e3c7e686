//! Findings end: when, through which change, and at what price.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::borrow::Cow;

use gatepost_diagnosis::{
    Attempt, CauseId, Change, Evidence, Failed, Finding, Over, Sign, Signs, Source, State, diagnose, overview,
};
use jiff::{Timestamp, ToSpan};
use protocol::{
    smtp::Phase,
    tls::{CipherSuite, ClientHello, HandshakeFacts, WireVersion},
};

fn at(second: i64) -> Timestamp {
    "2026-11-25T12:00:00Z".parse::<Timestamp>().unwrap() + second.seconds()
}

fn hello() -> Cow<'static, HandshakeFacts> {
    let hello = ClientHello {
        versions: vec![WireVersion::TLS12],
        cipher_suites: vec![CipherSuite(0xc02f)],
        extensions: Vec::new(),
        server_name: None,
        groups: Vec::new(),
        signature_algorithms: Vec::new(),
        length_bytes: 200,
    };
    Cow::Owned(HandshakeFacts { client_hello: Some(hello), ..HandshakeFacts::default() })
}

/// The attempt at this second for message `number`.
fn attempt(second: i64, number: i64, sign: Option<Sign>) -> Attempt<'static> {
    let signs = sign.map(|sign| Signs::default().and(Sign::HandshakeFailed).and(Sign::NoServerHello).and(sign));
    let tls = ("TLSv1.2".into(), "ECDHE-RSA-AES128-GCM-SHA256".into());
    Attempt {
        at: Some(at(second)),
        message: Some(number.to_string().into()),
        recipient: Some("user@onprem.test".into()),
        connector: Some("onprem".into()),
        node: Some("mx1".into()),
        destination: Some(("mail.onprem.test".into(), Some(25))),
        tls_policy: Some("intermediate".into()),
        tls: sign.is_none().then_some(tls),
        handshake: sign.map(|_| hello()),
        failure: signs.map(|signs| Failed {
            phase: Some(Phase::Handshake),
            signs,
            code: None,
            enhanced: None,
            text: "it failed".into(),
        }),
        ..Attempt::by(Source::History)
    }
}

const FAILS: Option<Sign> = Some(Sign::AlertHandshakeFailure);

fn first(attempts: impl IntoIterator<Item = Attempt<'static>>) -> Finding {
    let mut evidence = Evidence::default();
    attempts.into_iter().for_each(|attempt| evidence.add(&attempt, || None));
    diagnose(&evidence).into_iter().next().unwrap()
}

fn over(finding: &Finding) -> &Over {
    match &finding.state {
        State::Over(over) => over,
        State::Ongoing => panic!("{finding:#?}"),
    }
}

#[test]
fn failures_until_now_are_ongoing_and_so_is_too_little_success() {
    assert!(first((0..20).map(|number| attempt(number, number, FAILS))).is_ongoing());
    // One of ten fails: a dozen that work may be luck.
    let some = |count: i64| {
        (0..count).map(|number| attempt(number, number, FAILS.filter(|_| number % 10 == 0 && number < 50)))
    };
    assert!(first(some(53)).is_ongoing());
    assert_eq!(over(&first(some(100))).since, at(41));
    // Another destination of the connector ends nothing.
    let elsewhere = |number: i64| {
        let destination = if number < 20 { "mx1.onprem.test" } else { "mx2.onprem.test" };
        let sign = FAILS.filter(|_| number < 20);
        Attempt { destination: Some((destination.into(), Some(25))), ..attempt(number, number, sign) }
    };
    assert!(first((0..22).map(elsewhere)).is_ongoing());
}

#[test]
fn plaintext_is_what_ended_it_and_the_price() {
    // 61 messages fail; the server gives up STARTTLS, and 29 of them leave in plaintext; 32 still wait.
    let failed = (0..61).map(|number| attempt(number, number, FAILS));
    let before = (0..10).map(|number| attempt(number - 100, 1000 + number, None));
    let plaintext = (0..29).map(|number| Attempt { tls: None, ..attempt(100 + number, number, None) });
    let finding = first(before.chain(failed).chain(plaintext));
    let over = over(&finding);
    assert_eq!((over.since, over.worked, over.plaintext, over.messages), (at(100), 29, 29, 61));
    assert_eq!(over.changes, [Change::Plaintext]);
    assert_eq!((finding.messages_pending, finding.messages_bounced), (32, 0));
    assert!(finding.is_root_cause(), "{finding:#?}");
}

#[test]
fn nodes_that_leave_the_failing_policy_end_it_but_other_nodes_do_not() {
    let on = |second: i64, node: &'static str, policy: &'static str| {
        let sign = FAILS.filter(|_| policy == "intermediate");
        Attempt { node: Some(node.into()), tls_policy: Some(policy.into()), ..attempt(second, second, sign) }
    };
    let before = || {
        (0..40).map(
            move |second| if second % 2 == 0 { on(second, "mx1", "intermediate") } else { on(second, "mx2", "legacy") },
        )
    };
    let other = first(before().chain((40..60).map(|second| on(second, "mx2", "legacy"))));
    assert!(other.is_ongoing(), "{other:#?}");
    let moved = first(before().chain((40..60).map(|second| on(second, "mx1", "legacy"))));
    let change = Change::TlsPolicy { from: "intermediate".to_owned(), to: "legacy".to_owned() };
    assert_eq!(over(&moved).changes, [change]);
    assert!(moved.summary.contains("with nodes under the policy intermediate"), "{}", moved.summary);
}

#[test]
fn a_restart_of_a_node_that_failed_is_among_the_changes() {
    let on = |node: &'static str| {
        let mut evidence = Evidence::default();
        for second in 0..40 {
            let sign = FAILS.filter(|_| second < 20);
            evidence.add(&Attempt { node: Some("mx1".into()), ..attempt(second, second, sign) }, || None);
        }
        evidence.add_restart(node, at(19));
        over(&diagnose(&evidence)[0]).changes.clone()
    };
    let restarts = |node| on(node).into_iter().filter(|change| change.name() == "restart").collect::<Vec<_>>();
    assert_eq!(restarts("mx1"), [Change::Restart { node: "mx1".to_owned() }]);
    // Another node's restart changed nothing for this one.
    assert_eq!(restarts("mx2"), []);
}

#[test]
fn another_reply_ends_what_was_refused_before() {
    let refused = |number: i64, phase: Phase, code: u16, sign: Sign| {
        let signs = Signs::default().and(sign);
        let failed = Failed { phase: Some(phase), signs, code: Some(code), enhanced: None, text: "no".into() };
        Attempt { failure: Some(failed), ..attempt(number, number, None) }
    };
    let findings = |later: i64, phase: Phase| {
        let mut evidence = Evidence::default();
        let before = (0..20).map(|number| refused(number, Phase::Rcpt, 452, Sign::TooManyConnections));
        let after = (20..20 + later).map(|number| refused(number, phase, 550, Sign::PolicyRejection));
        before.chain(after).for_each(|attempt| evidence.add(&attempt, || None));
        let found = diagnose(&evidence);
        found.into_iter().find(|finding| finding.cause == CauseId::RateLimited).unwrap()
    };
    let ended = findings(20, Phase::Rcpt);
    assert_eq!(over(&ended).changes, [Change::Reply { from: "452".to_owned(), to: "550".to_owned() }]);
    assert_eq!((over(&ended).since, over(&ended).worked), (at(20), 0));
    // Too few, and refusals that come before the point where it failed, show nothing.
    assert!(findings(2, Phase::Rcpt).is_ongoing());
    assert!(findings(20, Phase::Mail).is_ongoing());
}

#[test]
fn every_delivery_that_failed_was_delivered_since() {
    let greylisted = |number: i64| {
        let failed = Failed {
            phase: Some(Phase::Rcpt),
            signs: Signs::default().and(Sign::Greylisted),
            code: Some(451),
            enhanced: None,
            text: "greylisted".into(),
        };
        Attempt { failure: Some(failed), handshake: None, ..attempt(number, number, None) }
    };
    let all = (0..2).map(greylisted).chain((0..2).map(|number| attempt(600 + number, number, None)));
    assert_eq!(over(&first(all)).since, at(600));
    // One still waits.
    assert!(first((0..3).map(greylisted).chain((0..2).map(|number| attempt(600 + number, number, None)))).is_ongoing());
}

#[test]
fn messages_are_counted_not_deliveries_and_removed_ones_apart() {
    let mut evidence = Evidence::default();
    for (message, recipient, given_up) in
        [(1, "a", false), (1, "b", false), (2, "a", true), (2, "b", false), (3, "a", false)]
    {
        let mut attempt = attempt(message, message, FAILS);
        attempt.recipient = Some(recipient.into());
        if let Some(failed) = attempt.failure.as_mut().filter(|_| given_up) {
            failed.signs.add(Sign::GivenUp);
        }
        evidence.add(&attempt, || None);
    }
    evidence.remove("3", "a");
    let finding = &diagnose(&evidence)[0];
    assert_eq!((finding.messages_pending, finding.messages_bounced, finding.messages_removed), (2, 1, 1));
    assert!(
        finding.summary.ends_with("2 messages waiting, 1 message bounced, 1 message removed"),
        "{}",
        finding.summary
    );
}

#[test]
fn mail_of_a_paused_connector_waits_for_its_last_failure() {
    let untried = ["7", "8"].map(|message| (message, "user@onprem.test", at(5)));
    let last = Attempt { message: None, recipient: None, ..attempt(0, 0, FAILS) };
    // With the attempt that failed in the history, and without it.
    for tried in [true, false] {
        let mut evidence = Evidence::default();
        if tried {
            evidence.add(&attempt(0, 0, FAILS), || None);
        }
        evidence.add_untried(&last, untried.into_iter());
        let findings = diagnose(&evidence);
        assert_eq!(
            (findings.len(), findings[0].cause.as_str(), findings[0].scope.attempts),
            (1, "no-shared-cipher", 1)
        );
        assert_eq!((findings[0].messages_pending, findings[0].is_ongoing()), (2 + u64::from(tried), true));
        assert!(findings[0].summary.contains("2 without an attempt"), "{}", findings[0].summary);
    }
}

#[test]
fn the_overview_has_a_row_for_each_cause_and_those_that_pass_last() {
    let mut evidence = Evidence::default();
    for number in 0..30 {
        let (sign, phase, code) = match number % 3 {
            0 => (Sign::ConnectionRefused, Phase::Connect, None),
            _ => (Sign::Greylisted, Phase::Rcpt, Some(451)),
        };
        let host = format!("mx{number}.test");
        let signs = Signs::default().and(sign);
        let failed = Failed { phase: Some(phase), signs, code, enhanced: None, text: "it failed".into() };
        let destination = Some((host.into(), Some(25)));
        let failed = Some(failed);
        let connector = None;
        evidence.add(&Attempt { connector, destination, failure: failed, ..attempt(number, number, None) }, || None);
    }
    let findings = diagnose(&evidence);
    let rows = overview(&findings);
    let told: Vec<_> =
        rows.iter().map(|row| (row.cause.as_str(), row.destinations, row.attempts, row.messages_pending)).collect();
    assert_eq!(told, [("connection-refused", 10, 10, 10), ("greylisted", 20, 20, 20)]);
    assert!(rows[1].cause.passes_by_itself() && rows[0].is_ongoing);
}

#[test]
fn mail_without_tls_is_over_when_mail_to_the_same_hosts_is_encrypted_again() {
    let plaintext = |number: i64| {
        let failed = attempt(number, number, FAILS).failure.map(Box::new);
        Attempt { plaintext_after: failed, tls: None, ..attempt(number, number, None) }
    };
    let warning = |encrypted: i64| {
        let mut evidence = Evidence::default();
        (0..5).map(plaintext).for_each(|attempt| evidence.add(&attempt, || None));
        (0..encrypted)
            .map(|number| attempt(60 + number, 60 + number, None))
            .for_each(|attempt| evidence.add(&attempt, || None));
        diagnose(&evidence).into_iter().find(|finding| finding.cause.as_str() == "delivered-without-tls").unwrap()
    };
    assert!(warning(2).is_ongoing());
    let finding = warning(4);
    assert_eq!((over(&finding).worked, over(&finding).plaintext), (4, 5));
}
