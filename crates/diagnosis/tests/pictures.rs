//! What the pictures of a finding are drawn from: lanes by value and node, shares by dimension, and a pair of attempts.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{
    Attempt, Dimension, Evidence, Explained, Failed, Lane, Outcome, Sign, Signs, Source, explain,
};
use jiff::{Timestamp, ToSpan};
use protocol::smtp::Phase;

fn start() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

struct Try<'a> {
    second: i64,
    node: &'a str,
    policy: &'a str,
    bytes: u64,
    fails: bool,
}

fn add(evidence: &mut Evidence, Try { second, node, policy, bytes, fails }: Try<'_>) {
    let signs = Signs::default().and(Sign::HandshakeFailed).and(Sign::AlertHandshakeFailure);
    let failed = Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text: "TLS failed".into() };
    let attempt = Attempt {
        at: Some(start() + second.seconds()),
        message: Some(format!("message {second} {node}").into()),
        recipient: Some("user@onprem.test".into()),
        connector: Some("onprem".into()),
        destination: Some(("mail.onprem.test".into(), Some(25))),
        node: Some(node.to_owned().into()),
        tls_policy: Some(policy.to_owned().into()),
        tls: (!fails).then(|| ("TLSv1".into(), "RC4-SHA".into())),
        message_bytes: Some(bytes),
        failure: fails.then_some(failed),
        ..Attempt::by(Source::History)
    };
    evidence.add(&attempt, || None);
}

/// Two of the nodes have moved to a policy under which all fails. Later, all of them use the old one.
fn rollout() -> Evidence {
    let mut evidence = Evidence::keeping(5);
    for second in 0..40 {
        for (node, policy) in [("mx1", "modern"), ("mx2", "modern"), ("mx3", "legacy"), ("mx4", "legacy")] {
            add(&mut evidence, Try { second, node, policy, bytes: 2000, fails: policy == "modern" });
        }
    }
    evidence
}

fn counts(lanes: &[Lane]) -> Vec<(&str, u64, u64)> {
    lanes.iter().map(|lane| (lane.value.as_str(), lane.failed, lane.worked)).collect()
}

fn first(evidence: &Evidence) -> Explained<'_> {
    explain(evidence).into_iter().next().unwrap()
}

#[test]
fn lanes_are_by_what_separates_with_nodes_below() {
    let evidence = rollout();
    let lanes = first(&evidence).lanes();
    assert_eq!(lanes.dimension, [Dimension::TlsPolicy]);
    assert_eq!(counts(&lanes.lanes), [("modern", 80, 0), ("legacy", 0, 80)]);
    assert_eq!(counts(&lanes.lanes[0].nodes), [("mx1", 40, 0), ("mx2", 40, 0)]);
    assert_eq!(counts(&lanes.lanes[1].nodes), [("mx3", 0, 40), ("mx4", 0, 40)]);
    let first = lanes.lanes[0].failed_at.iter().min().copied();
    assert_eq!((first, lanes.lanes[0].failed_at.len(), lanes.lanes[0].worked_at.len()), (Some(start()), 80, 0));
}

#[test]
fn a_limit_has_a_lane_for_each_side() {
    let mut evidence = Evidence::keeping(5);
    for second in 0..60 {
        let bytes = if second % 2 == 0 { 2000 } else { 900_000 + second as u64 };
        add(&mut evidence, Try { second, node: "mx1", policy: "modern", bytes, fails: bytes > 2000 });
    }
    let explained = first(&evidence);
    let lanes = explained.lanes();
    assert_eq!(lanes.dimension, [Dimension::MessageSize]);
    assert_eq!(counts(&lanes.lanes), [("from 900001 bytes", 30, 0), ("up to 2000 bytes", 0, 30)]);
    assert!(lanes.lanes.iter().all(|lane| counts(&lane.nodes).len() == 1), "{lanes:?}");
}

#[test]
fn without_a_difference_there_is_one_lane_and_many_nodes_share_the_last() {
    let mut evidence = Evidence::keeping(5);
    for second in 0..100 {
        let node = format!("mx{:02}", second % 10);
        add(&mut evidence, Try { second, node: &node, policy: "modern", bytes: 2000, fails: true });
    }
    let explained = first(&evidence);
    let lanes = explained.lanes();
    assert_eq!((lanes.dimension.as_slice(), counts(&lanes.lanes)), (&[][..], vec![("mail.onprem.test:25", 100, 0)]));
    let nodes = counts(&lanes.lanes[0].nodes);
    assert_eq!((nodes.len(), nodes[5]), (6, ("5 more nodes", 50, 0)));
    assert!(explained.pair().is_none() && explained.shares().is_empty());
}

#[test]
fn a_dimension_that_follows_is_told_from_one_that_is_the_same() {
    let evidence = rollout();
    let shares = first(&evidence).shares();
    let of = |dimension: Dimension| shares.iter().find(|shares| shares.compared.dimension == [dimension]).unwrap();
    assert_eq!(shares[0].compared.dimension, [Dimension::TlsPolicy]);
    assert!(!shares[0].follows);
    let node = of(Dimension::Node);
    assert!(node.follows, "{node:?}");
    let names: Vec<_> = node.failed.iter().map(|share| (share.value.as_deref().unwrap(), share.attempts)).collect();
    assert_eq!(names, [("mx1", 40), ("mx2", 40)]);
    let size = of(Dimension::MessageSize);
    assert_eq!((size.compared.outcome, size.follows), (Outcome::OneValue, false));
    assert_eq!(of(Dimension::RecipientDomain).compared.outcome, Outcome::NotObserved);
}

/// The newest attempt that worked came after the fix, and proves nothing.
#[test]
fn a_pair_is_from_opposite_sides_and_close_in_time() {
    let mut evidence = rollout();
    for second in 100..130 {
        for node in ["mx1", "mx2", "mx3", "mx4"] {
            add(&mut evidence, Try { second, node, policy: "modern", bytes: 2000, fails: false });
        }
    }
    let explained = first(&evidence);
    let (failed, worked) = explained.pair().unwrap();
    assert_eq!((failed.tls_policy.as_deref(), worked.tls_policy.as_deref()), (Some("modern"), Some("legacy")));
    assert!(failed.failure.is_some() && worked.failure.is_none());
    assert_eq!((failed.at, worked.at), (Some(start() + 39.seconds()), Some(start() + 39.seconds())));
}
