//! Simulates deliveries in virtual time. With any schedule, Gatepost tries a delivery until it expires and no longer,
//! and its sender gets exactly the notices that were requested.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::time::Duration;

use gatepost_delivery::{
    schedule::Schedule,
    verdict::{Decision, Review, Situation, after_failure, review, success_notice},
};
use jiff::Timestamp;
use proptest::prelude::*;
use protocol::smtp::{Address, Destination, EnhancedCode, Failure, FailureKind, Notify, Phase, Reply, ReversePath};
use trace::event::NoticeAction;

const RECEIVED_S: i64 = 1_800_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(RECEIVED_S + seconds as i64).unwrap()
}

fn sender() -> ReversePath {
    ReversePath::Address(Address::parse("sender@out.test").unwrap())
}

fn destination() -> Destination {
    Destination { host: "mail.onprem.test".into(), port: 25, address: None }
}

fn greylisted() -> Failure {
    let reply = Reply::new(451, Some(EnhancedCode::new(4, 7, 1)), "greylisted");
    Failure::rejected(Phase::Rcpt, reply).at(&destination())
}

fn schedule(intervals: &[u64], expire: u64, delay_notice: Option<u64>) -> Schedule {
    Schedule {
        intervals: intervals.iter().copied().map(Duration::from_secs).collect(),
        expire: Duration::from_secs(expire),
        delay_notice: delay_notice.map(Duration::from_secs),
    }
}

fn situation<'a>(schedule: &'a Schedule, sender: &'a ReversePath, now: Timestamp) -> Situation<'a> {
    let received = at(0);
    Situation { schedule, received, now, attempts: 0, delay_notified: false, notify: None, sender, jitter: 0.5 }
}

const NOTIFIES: [Option<Notify>; 5] = [
    None,
    Some(Notify::Never),
    Some(Notify::On { success: true, failure: false, delay: false }),
    Some(Notify::On { success: false, failure: true, delay: false }),
    Some(Notify::On { success: false, failure: false, delay: true }),
];

/// Failures that end a delivery at once, and failures after which it waits until it expires.
#[test]
fn permanent_or_not() {
    let (schedule, sender) = (schedule(&[900], 86_400, None), sender());
    let rejected = |phase, code| Failure::rejected(phase, Reply::new(code, None, "x"));
    let table = [
        (rejected(Phase::Rcpt, 550), true),
        (rejected(Phase::Mail, 552), true),
        (rejected(Phase::EndOfData, 554), true),
        (rejected(Phase::Rcpt, 450), false),
        (rejected(Phase::Rcpt, 421), false),
        // These concern the host. An hour later it may be another host, or fixed.
        (rejected(Phase::Banner, 554), false),
        (rejected(Phase::Ehlo, 502), false),
        (rejected(Phase::StartTls, 501), false),
        (Failure::new(Phase::Resolve, FailureKind::NullMx), true),
        (Failure::new(Phase::Resolve, FailureKind::HostNotFound), false),
        (Failure::new(Phase::Handshake, FailureKind::HandshakeFailed { detail: "x".into() }), false),
        (Failure::new(Phase::Mail, FailureKind::ExtensionMissing { extension: "SMTPUTF8".into() }), true),
        (Failure::new(Phase::Mail, FailureKind::TooLarge { size_bytes: 2, size_max_bytes: 1 }), true),
        (Failure::new(Phase::Data, FailureKind::Local { detail: "x".into() }), false),
    ];
    for (failure, permanent) in table {
        match after_failure(&situation(&schedule, &sender, at(1)), failure.clone()) {
            Decision::Fail { failure: told, notice } => {
                assert!(permanent && notice, "{failure}");
                assert_eq!(told, failure, "the cause is kept as it is");
            }
            Decision::Retry { .. } => assert!(!permanent, "{failure}"),
        }
    }
}

/// NOTIFY and the null sender decide who gets a notice of a failure. They never decide whether it is a failure.
#[test]
fn who_hears_of_a_failure() {
    let (schedule, sender) = (schedule(&[900], 86_400, Some(14_400)), sender());
    for (notify, told) in NOTIFIES.into_iter().zip([true, false, false, true, false]) {
        for (sender, told) in [(&sender, told), (&ReversePath::Null, false)] {
            let expired = Situation { notify, ..situation(&schedule, sender, at(86_400)) };
            for decided in [
                after_failure(&expired, Failure::new(Phase::Resolve, FailureKind::NullMx)),
                after_failure(&expired, greylisted()),
            ] {
                assert!(matches!(decided, Decision::Fail { notice, .. } if notice == told), "{notify:?} {decided:?}");
            }
            let reviewed = review(&expired, None);
            assert!(matches!(reviewed, Review::Fail { notice, .. } if notice == told), "{notify:?} {reviewed:?}");
        }
    }
}

/// RFC 3461 section 5.2.2: "relayed" only if a notice of success was requested, there is a sender, and the destination
/// sends no notice.
#[test]
fn who_hears_of_a_success() {
    let sender = sender();
    for notify in NOTIFIES {
        let asked = notify.is_some_and(Notify::on_success);
        for (sender, offers_dsn, told) in
            [(&sender, false, asked), (&sender, true, false), (&ReversePath::Null, false, false)]
        {
            let expected = told.then_some(NoticeAction::Relayed);
            assert_eq!(success_notice(notify, sender, offers_dsn), expected, "{notify:?} {sender} {offers_dsn}");
        }
    }
}

fn expired() -> FailureKind {
    FailureKind::Expired { cause: Some(Box::new(FailureKind::Rejected)) }
}

/// Expiry keeps the last attempt's phase, text and destination, whether an attempt or a review ends the delivery.
#[test]
fn expiry_keeps_the_last_cause() {
    let (schedule, sender) = (schedule(&[900], 86_400, None), sender());
    let late = situation(&schedule, &sender, at(86_400));
    let expected = Failure { kind: expired(), ..greylisted() };
    assert_eq!(after_failure(&late, greylisted()), Decision::Fail { failure: expected.clone(), notice: true });
    assert_eq!(review(&late, Some(&greylisted())), Review::Fail { failure: expected, notice: true });
}

/// How a delivery ended, and its notices with the age of the message in seconds.
#[derive(Debug, Default)]
struct Life {
    attempts: u32,
    delay_notices: Vec<Timestamp>,
    failure_notice: bool,
    end: Option<(Timestamp, FailureKind)>,
}

/// Simulates a delivery whose attempts all fail. `reachable` decides each time whether there is an attempt, or only a
/// review because its connector is paused.
fn live(schedule: &Schedule, sender: &ReversePath, notify: Option<Notify>, jitter: f64, reachable: &[bool]) -> Life {
    let mut life = Life::default();
    let (mut due, mut next_review, mut delay_notified) = (at(0), schedule.first_review(at(0)), false);
    for wake in 0..100_000 {
        let may_try = reachable[wake % reachable.len()];
        let now = if may_try { due.min(next_review) } else { next_review };
        let attempts = life.attempts;
        let facts = Situation { now, attempts, delay_notified, notify, jitter, ..situation(schedule, sender, now) };
        let (told, ended) = if may_try && due <= now {
            life.attempts += 1;
            match after_failure(&facts, greylisted()) {
                Decision::Retry { due: next, review, delay_notice, delay_notified: notified } => {
                    assert!(next > now && next <= schedule.expires_at(at(0)), "due {next} after {now}");
                    (due, next_review, delay_notified) = (next, review, notified);
                    (delay_notice, None)
                }
                Decision::Fail { failure, notice } => (false, Some((failure, notice))),
            }
        } else {
            match review(&facts, Some(&greylisted())) {
                Review::Keep { review, delay_notice, delay_notified: notified } => {
                    assert!(review > now, "the same review again");
                    (next_review, delay_notified) = (review, notified);
                    (delay_notice, None)
                }
                Review::Fail { failure, notice } => (false, Some((failure, notice))),
            }
        };
        life.delay_notices.extend(told.then_some(now));
        if let Some((failure, notice)) = ended {
            life.failure_notice = notice;
            life.end = Some((now, failure.kind));
            return life;
        }
        assert!(next_review > now && next_review <= schedule.expires_at(at(0)), "review {next_review} after {now}");
    }
    panic!("it never ends: {life:?}");
}

#[test]
fn a_day_behind_a_dead_destination() {
    let (schedule, sender) = (schedule(&[300, 900], 86_400, Some(14_400)), sender());
    let life = live(&schedule, &sender, None, 0.5, &[true]);
    assert_eq!(life.delay_notices, [at(14_400)]);
    assert_eq!(life.end, Some((at(86_400), expired())));
    assert!(life.failure_notice);
    // At 0 and 300 s, then every 900 s, and a last time at expiry.
    assert_eq!(life.attempts, 2 + (86_400 - 300) / 900 + 1);
}

/// Mail for a connector that is always paused gets its notices and expires at the same times.
#[test]
fn a_day_behind_a_resting_connector() {
    let (schedule, sender) = (schedule(&[900], 86_400, Some(14_400)), sender());
    let life = live(&schedule, &sender, None, 0.5, &[false]);
    assert_eq!((life.attempts, life.delay_notices), (0, vec![at(14_400)]));
    assert_eq!(life.end, Some((at(86_400), expired())));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_ends_on_time_and_is_told_of_once(
        intervals in prop::collection::vec(60u64..7200, 1..5),
        expire in 60u64..400_000,
        delay_notice in prop::option::of(1u64..500_000),
        notify in prop::sample::select(NOTIFIES.to_vec()),
        null in any::<bool>(),
        jitter in 0.0f64..=1.0,
        reachable in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let schedule = schedule(&intervals, expire, delay_notice);
        let sender = if null { ReversePath::Null } else { sender() };
        let life = live(&schedule, &sender, notify, jitter, &reachable);
        prop_assert_eq!(&life.end, &Some((at(expire), expired())));
        let wants = notify.unwrap_or_default();
        let told_at = delay_notice.filter(|delay| *delay < expire && !null && wants.on_delay()).map(at);
        prop_assert_eq!(life.delay_notices, Vec::from_iter(told_at));
        prop_assert_eq!(life.failure_notice, !null && wants.on_failure());
    }

    /// Waits differ from their interval by at most a tenth, and the last interval repeats.
    #[test]
    fn retries_spread_by_a_tenth(
        intervals in prop::collection::vec(1u64..100_000, 1..6),
        attempts in any::<u32>(),
        jitter in 0.0f64..=1.0,
    ) {
        let plan = schedule(&intervals, 1, None);
        let index = (attempts.max(1) as usize - 1).min(intervals.len() - 1);
        let interval = intervals[index] as f64;
        let wait = plan.next_due(attempts, at(0), jitter).duration_since(at(0)).as_secs_f64();
        prop_assert!((interval * 0.9 - 0.001..=interval * 1.1 + 0.001).contains(&wait), "{} of {}", wait, interval);
        let middle = plan.next_due(attempts, at(0), 0.5);
        prop_assert_eq!(middle, at(intervals[index]));
    }
}

/// Times beyond the end of the calendar become the end of the calendar.
#[test]
fn times_saturate() {
    let schedule = schedule(&[u64::MAX / 2], u64::MAX / 2, Some(u64::MAX / 2));
    assert_eq!(schedule.next_due(1, at(0), 0.5), Timestamp::MAX);
    assert_eq!(schedule.expires_at(at(0)), Timestamp::MAX);
    assert_eq!(schedule.first_review(at(0)), Timestamp::MAX);
}
