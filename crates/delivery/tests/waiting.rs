//! Why a delivery waits: the precedence of all combinations of reasons, and when each begins and ends.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{sync::LazyLock, time::Duration};

use gatepost_delivery::waiting::{Facts, QueueState, waiting};
use jiff::Timestamp;
use protocol::smtp::Phase;
use trace::{Doing, Limit};
use uuid::Uuid;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now() + Duration::from_secs(seconds)
}

fn ago(duration: Duration) -> Timestamp {
    now() - duration
}

/// A delivery that is about to start.
fn due() -> Facts<'static> {
    Facts {
        state: QueueState::Queued,
        due: ago(Duration::from_secs(1)),
        lease: None,
        doing: None,
        suspended_by: None,
        is_held: false,
        connector: "onprem",
        connector_exists: true,
        backed_off_until: None,
        limited: None,
        node_last_seen: Some(ago(Duration::from_secs(1))),
    }
}

/// An attempt that has run for a while. Without one, a node at its limit is not sending everything that it holds.
static DOING: LazyLock<Doing> =
    LazyLock::new(|| Doing { phase: Phase::EndOfData, since: ago(Duration::from_secs(9)), destination: None });

static LIMIT: Limit = Limit::Concurrency(20);

type Hold = fn(&mut Facts<'static>);

/// Reasons with the facts that cause them, the strongest first.
const REASONS: [(&str, Hold); 8] = [
    ("restored", |facts| {
        facts.state = QueueState::Suspended;
        facts.is_held = true;
    }),
    ("suspended", |facts| {
        facts.state = QueueState::Suspended;
        facts.suspended_by = Some("eve");
    }),
    ("leased", |facts| {
        facts.lease = Some(("edge-1", later(60)));
        facts.doing = Some(&DOING);
        if facts.state != QueueState::Suspended {
            facts.state = QueueState::Leased;
        }
    }),
    ("no-route", |facts| facts.connector_exists = false),
    ("timer", |facts| facts.due = later(600)),
    ("no-node", |facts| facts.node_last_seen = None),
    ("connector-backed-off", |facts| facts.backed_off_until = Some(later(30))),
    ("connector-limit", |facts| facts.limited = Some(&LIMIT)),
];

/// The strongest reason is reported. Without a reason, a node is about to start the delivery.
#[test]
fn the_strongest_reason_is_told() {
    for held in 0..1 << REASONS.len() {
        let mut facts = due();
        let reasons = REASONS.iter().enumerate().filter(|(bit, _)| held & (1 << bit) != 0).map(|(_, reason)| reason);
        reasons.clone().for_each(|(_, hold)| hold(&mut facts));
        let expected = reasons.clone().next().map_or("timer", |(name, _)| name);
        assert_eq!(waiting(&facts, now()).name(), expected, "{facts:?}");
    }
}

#[test]
fn where_each_reason_begins_and_ends() {
    let (second, nanosecond) = (Duration::from_secs(1), Duration::from_nanos(1));
    let leased = |until| Facts { state: QueueState::Leased, lease: Some(("edge-1", until)), ..due() };
    let seen = |age| Facts { node_last_seen: Some(ago(age)), limited: Some(&LIMIT), ..due() };
    let backed_off = Facts { backed_off_until: Some(later(30)), ..due() };
    for (facts, expected) in [
        (leased(now() + nanosecond), "leased"),
        // A lease that has ended does not count.
        (leased(now()), "timer"),
        (Facts { backed_off_until: Some(later(30)), ..leased(now()) }, "connector-backed-off"),
        (Facts { state: QueueState::Leased, lease: None, ..due() }, "timer"),
        // An old lease does not hold a queued delivery.
        (Facts { state: QueueState::Queued, ..leased(later(60)) }, "timer"),
        (Facts { due: now(), ..backed_off }, "connector-backed-off"),
        (Facts { due: now() + nanosecond, ..backed_off }, "timer"),
        (seen(30 * second), "connector-limit"),
        (seen(30 * second + nanosecond), "no-node"),
    ] {
        assert_eq!(waiting(&facts, now()).name(), expected, "{facts:?}");
    }
}

/// Each reason says what the delivery waits for, and what ends the wait.
#[test]
fn each_reason_names_what_ends_it() {
    let told = [
        "a backup",
        "eve",
        "edge-1",
        "\"onprem\"",
        "2027-01-15T08:10:00Z",
        "no node",
        "2027-01-15T08:00:30Z",
        "concurrency 20",
    ];
    let ends = [
        "store restored",
        "queue resume",
        "edge-1",
        "\"onprem\"",
        "queue retry",
        "gatepost serve",
        "queue retry",
        "concurrency 20",
    ];
    let message = Uuid::from_u128(7);
    for (((name, hold), told), ends) in REASONS.into_iter().zip(told).zip(ends) {
        let mut facts = due();
        hold(&mut facts);
        let waiting = waiting(&facts, now());
        assert!(waiting.to_string().contains(told), "{name}: {waiting}");
        let next = waiting.next_step(message, "onprem").map(|next| next.to_string()).unwrap_or_default();
        let all = format!("{} {next}", waiting.unblocked_by());
        assert!(all.contains(ends), "{name}: {all}");
    }
}
