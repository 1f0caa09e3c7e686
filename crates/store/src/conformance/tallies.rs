//! What holds of tallies.

use std::sync::Arc;

use protocol::tls::{Alert, HandshakeFacts, Side};

use super::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The start of the minute and of the hour in which clocks of these checks begin.
const THIS_MINUTE: i64 = -40;
const THIS_HOUR: i64 = -2800;

async fn read<S: Store>(stores: &Stores<S>, step: TallyStep, by: &[TallyBy]) -> Vec<Tally> {
    let query = TallyQuery { since: at(THIS_HOUR), until: at(40 * DAY), step, by: by.to_vec(), limit: None };
    stores.other.tallies(query).await.expect("read")
}

/// Time, deliveries and bytes.
async fn sums<S: Store>(stores: &Stores<S>, step: TallyStep) -> Vec<(i64, u64, u64)> {
    let second = |tally: &Tally| tally.at.as_second() - at(0).as_second();
    read(stores, step, &[]).await.iter().map(|tally| (second(tally), tally.deliveries, tally.bytes)).collect()
}

/// Each row as a line: outcome, connector, node, TLS policy, TLS, cause, deliveries, bytes.
async fn lines<S: Store>(stores: &Stores<S>) -> Vec<String> {
    let line = |tally: Tally| {
        let text = |value: Option<String>| value.expect("asked for");
        let Tally { outcome, connector, node, tls_policy, tls, cause, deliveries, bytes, .. } = tally;
        let outcome = outcome.expect("asked for").name();
        let (connector, node, cause) = (text(connector), text(node), text(cause));
        let (policy, tls) = (text(tls_policy), text(tls));
        format!("{outcome} {connector} {node:?} {policy:?} {tls:?} {cause:?} {deliveries} {bytes}")
    };
    read(stores, TallyStep::Hour, &TallyBy::ALL).await.into_iter().map(line).collect()
}

fn event_of(message: &NewMessage, kind: EventKind) -> Vec<NewEvent> {
    vec![Event { node: "mx1".to_owned(), kind, ..received(message) }.into()]
}

fn handshake_failure() -> Failure {
    Failure::new(Phase::Handshake, FailureKind::HandshakeFailed { detail: "of mail.x.test".to_owned() })
}

fn attempt_with_alert() -> Attempt {
    let alert = Alert { by: Side::Server, description: Some(40), fatal: true };
    let facts = HandshakeFacts { alerts: vec![alert], ..HandshakeFacts::default() };
    Attempt { handshake: Some(Arc::new(facts)), ..attempt_to(1, None) }
}

pub(super) async fn each_delivery_is_counted_once<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test", "d@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let deferral = handshake_failure();
    let reply = Reply::new(550, Some(EnhancedCode::new(5, 1, 1)), "no <a@x.test> here");
    let rejection = Failure::rejected(Phase::Rcpt, reply);
    let attempt = attempt_to(1, Some("RC4-SHA"));
    let expired = Failure::new(Phase::Resolve, FailureKind::Expired { cause: None });
    let (due_in, review_in) = (s(60), s(20_000));
    let results = [
        (delivered(), EventKind::Delivered { attempt: attempt.clone(), reply: Reply::new(250, None, "ok") }),
        (
            Outcome::Deferred { failure: deferral.clone(), due_in, review_in, delay_notified: false },
            EventKind::Deferred { attempt: attempt_with_alert(), failure: deferral, due: at(60) },
        ),
        (
            Outcome::Failed { failure: rejection.clone(), at: at(1) },
            EventKind::Failed { attempt: Some(attempt), failure: rejection },
        ),
        (
            Outcome::Failed { failure: expired.clone(), at: at(1) },
            EventKind::Failed { attempt: None, failure: expired },
        ),
    ];
    let settlements = results.into_iter().enumerate().map(|(index, (outcome, kind))| Settlement {
        events: event_of(&new, kind),
        ..settlement(&accepted, index, outcome)
    });
    assert_eq!(stores.one.settle(settlements.collect()).await.expect("settled"), []);
    let expected = [
        r#"accepted c "n" "" "" "" 4 16"#,
        r#"delivered c "mx1" "legacy" "TLSv1 RC4-SHA" "" 1 4"#,
        r#"deferred c "mx1" "legacy" "" "handshake handshake-failed alert 40" 1 4"#,
        r#"failed c "mx1" "" "" "resolve expired" 1 4"#,
        r#"failed c "mx1" "legacy" "TLSv1 RC4-SHA" "rcpt rejected 550 5.1.1" 1 4"#,
    ];
    assert_eq!(lines(stores).await, expected);
}

pub(super) async fn what_changes_nothing_is_not_counted<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let again = accept(stores, &new, Some("n")).await;
    let accepted = Accepted { lease: again.lease, ..accepted };
    // By who does not hold it any more; by who holds it, twice; and where no attempt was made.
    let lost = Settlement { lease: stores.member("m").await.next_lease(), ..settlement(&accepted, 0, delivered()) };
    let first = settlement(&accepted, 0, delivered());
    for settlement in [lost.clone(), first.clone(), first.clone(), lost] {
        settle_one(stores, settlement).await;
    }
    let returned = Outcome::Returned { review_in: None, delay_notified: false };
    settle_one(stores, settlement(&accepted, 1, returned)).await;
    let postponed = Outcome::Postponed { due_in: s(60), failure: Some(failure()) };
    settle_one(stores, settlement(&accepted, 2, postponed)).await;
    assert_eq!(stores.other.settle(vec![first]).await.expect("settled"), accepted.deliveries[..1]);
    assert_eq!(lines(stores).await, [r#"accepted c "n" "" "" "" 3 12"#, r#"delivered c "" "" "" "" 1 4"#]);
}

pub(super) async fn notices_and_removals_are_counted<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 5_000);
    let accepted = accept(stores, &new, None).await;
    let one = Selection { recipient: Some("b@x.test".to_owned()), ..Selection::default() };
    for command in [Command::Suspend, Command::Resume, Command::Remove, Command::Remove] {
        stores.one.command(command, one.clone(), "eve").await.expect("done");
    }
    let claimed = claimed(stores, "n", 5_000, 1).await;
    let bounced = Settlement {
        lease: claimed[0].lease,
        notice: Some(NoticeAction::Failed),
        ..settlement(&accepted, 0, failed())
    };
    assert_eq!(settle_one(stores, bounced).await, []);
    let telling = Telling {
        message: accepted.message,
        action: NoticeAction::Failed,
        deliveries: accepted.deliveries[..1].to_vec(),
        notice: NewMessage { envelope: Envelope::from(ReversePath::Null), ..new_message(&["s@out.test"], 0) },
        sent_max: 2,
        sent_within: s(1_000),
    };
    let member = stores.member("m").await;
    for told in [Told::Queued, Told::Nothing] {
        assert_eq!(stores.one.tell(&member, telling.clone()).await.expect("told"), told);
    }
    let expected = [
        // By the node that saw it come, and by the one that made the notice.
        r#"accepted c "n" "" "" "" 2 8"#,
        r#"removed c "" "" "" "" 1 4"#,
        r#"accepted c "m" "" "" "" 1 4"#,
        r#"failed c "" "" "" "connect connection-refused" 1 4"#,
    ];
    assert_eq!(lines(stores).await, expected);
}

/// Accepts at these seconds, one delivery for each node named.
async fn accept_at<S: Store>(stores: &Stores<S>, seconds: &[i64], nodes: &[&str]) {
    for second in seconds {
        for node in nodes {
            stores.set_clock(*second);
            accept(stores, &new_message(&["a@x.test"], 90_000_000), Some(node)).await;
        }
    }
}

pub(super) async fn rows_differ_in_what_was_asked_for<S: Store>(stores: &Stores<S>) {
    let next_minute = THIS_MINUTE + MINUTE;
    let next_hour = THIS_HOUR + HOUR;
    accept_at(stores, &[0, next_minute - 1, next_minute, next_hour], &["m", "n"]).await;
    let minutes = [(THIS_MINUTE, 4, 16), (next_minute, 2, 8), (next_hour, 2, 8)];
    assert_eq!(sums(stores, TallyStep::Minute).await, minutes);
    assert_eq!(sums(stores, TallyStep::Hour).await, [(THIS_HOUR, 6, 24), (next_hour, 2, 8)]);
    let by_node = read(stores, TallyStep::Hour, &[TallyBy::Node]).await;
    let node = |tally: &Tally| (tally.node.clone().expect("asked for"), tally.deliveries, tally.outcome);
    let expected = [("m", 3, None), ("n", 3, None), ("m", 1, None), ("n", 1, None)];
    assert_eq!(
        by_node.iter().map(node).collect::<Vec<_>>(),
        expected.map(|(node, count, by)| (node.to_owned(), count, by))
    );
    // From the minute that a time is in, and up to a time.
    let between = |since, until| TallyQuery { since, until, step: TallyStep::Minute, by: vec![], limit: None };
    for (since, until, expected) in [
        (at(next_minute + 7), at(next_hour), 2),
        (at(next_minute - 1), at(next_minute), 4),
        (at(next_minute), at(next_minute), 0),
        (Timestamp::MIN, Timestamp::MAX, 8),
        (Timestamp::MAX, Timestamp::MIN, 0),
    ] {
        let rows = stores.other.tallies(between(since, until)).await.expect("read");
        assert_eq!(rows.iter().map(|tally| tally.deliveries).sum::<u64>(), expected, "{since} {until}");
    }
}

pub(super) async fn minutes_become_hours_and_end_with_the_history<S: Store>(stores: &Stores<S>) {
    let (hour, keep) = (THIS_HOUR + HOUR, s(30 * DAY as u64));
    accept_at(stores, &[hour, hour + MINUTE, hour + 2 * MINUTE, hour + HOUR], &["m", "n"]).await;
    let minutes = sums(stores, TallyStep::Minute).await;
    assert_eq!(minutes.len(), 4);
    let tidy = async |second: i64, limit: u32| {
        stores.set_clock(second);
        stores.one.tidy_tallies(keep, limit).await.expect("tidied")
    };
    // The hour is not two days old as a whole.
    assert_eq!(tidy(hour + HOUR + 2 * DAY - 1, 100).await, 0);
    assert_eq!(sums(stores, TallyStep::Minute).await, minutes);
    // In pieces, each of whole minutes, and nothing is counted twice meanwhile.
    assert_eq!(tidy(hour + HOUR + 2 * DAY, 3).await, 4);
    assert_eq!(sums(stores, TallyStep::Hour).await, [(hour, 6, 24), (hour + HOUR, 2, 8)]);
    assert_eq!(sums(stores, TallyStep::Minute).await, [(hour, 4, 16), (hour + 2 * MINUTE, 2, 8), (hour + HOUR, 2, 8)]);
    assert_eq!(tidy(hour + HOUR + 2 * DAY, 3).await, 2);
    assert_eq!(tidy(hour + HOUR + 2 * DAY, 3).await, 0);
    assert_eq!(sums(stores, TallyStep::Minute).await, [(hour, 6, 24), (hour + HOUR, 2, 8)]);
    let lines = lines(stores).await;
    assert_eq!(
        lines,
        [
            r#"accepted c "m" "" "" "" 3 12"#,
            r#"accepted c "n" "" "" "" 3 12"#,
            r#"accepted c "m" "" "" "" 1 4"#,
            r#"accepted c "n" "" "" "" 1 4"#,
        ]
    );
    // One row of each hour and node is deleted; those of the second hour are merged on the way.
    assert_eq!(tidy(hour + HOUR + 30 * DAY, 100).await, 4);
    assert_eq!(sums(stores, TallyStep::Minute).await, [(hour + HOUR, 2, 8)]);
    assert_eq!(tidy(hour + 2 * HOUR + 30 * DAY, 100).await, 2);
    assert_eq!(sums(stores, TallyStep::Minute).await, []);
}

pub(super) async fn a_storm_is_counted_to_the_last_delivery<S: Store>(stores: &Stores<S>) {
    const TASKS: usize = 8;
    const MESSAGES: usize = 20;
    let holder = stores.holder("n").await;
    let work = |task: usize| {
        let (store, holder) =
            (if task.is_multiple_of(2) { &stores.one } else { &stores.other }.clone(), holder.clone());
        tokio::spawn(async move {
            for number in 0..MESSAGES {
                let new = new_message(&["a@x.test", "b@x.test"], 0);
                let accepted = store.accept(new, Some(holder.clone()), vec![]).await.expect("accepted");
                let outcome = if number.is_multiple_of(2) { delivered() } else { failed() };
                let results = (0..2).map(|index| settlement(&accepted, index, outcome.clone())).collect();
                assert_eq!(store.settle(results).await.expect("settled"), []);
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(work).collect();
    for task in tasks {
        task.await.expect("done");
    }
    let all = 2 * TASKS * MESSAGES;
    let counts: Vec<_> = read(stores, TallyStep::Hour, &[TallyBy::Outcome])
        .await
        .iter()
        .map(|row| (row.outcome, row.deliveries))
        .collect();
    let expected = [
        (Some(TallyOutcome::Accepted), all as u64),
        (Some(TallyOutcome::Delivered), all as u64 / 2),
        (Some(TallyOutcome::Failed), all as u64 / 2),
    ];
    assert_eq!(counts, expected);
}
