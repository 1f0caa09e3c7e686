//! What holds of traces, and of the end of history.

use super::*;

pub(super) async fn traces_are_found<S: Store>(stores: &Stores<S>) {
    let first = new_message(&["a@x.test", "b@x.test"], 0);
    accept(stores, &first, None).await;
    let mut second = new_message(&["c@y.test"], 0);
    second.envelope.sender = ReversePath::Null;
    second.received = at(0) + 10.seconds();
    second.message_id = Some("other@out.test".to_owned());
    accept(stores, &second, None).await;
    let base = TraceQuery { limit: 10, ..TraceQuery::default() };
    let subject = |wanted| TraceQuery { subjects: vec![wanted], ..base.clone() };
    let text = |text: &str| Some(text.to_owned());
    let table = [
        (base.clone(), vec!["c@y.test", "a@x.test", "b@x.test"]),
        (TraceQuery { limit: 1, ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { recipient: text("B@x.test"), ..base.clone() }, vec!["b@x.test"]),
        (TraceQuery { recipient: text("@x.test"), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (TraceQuery { sender: text("<>"), ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { sender: text("@out.test"), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (TraceQuery { message_id: text("<other@out.test>"), ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { network_message_id: Some(second.network_message_id), ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { since: Some(at(10)), ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { until: Some(at(10)), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (TraceQuery { states: Some(vec![]), ..base.clone() }, vec![]),
        (TraceQuery { states: Some(vec![State::Delivered]), ..base.clone() }, vec![]),
        (
            TraceQuery { states: Some(vec![State::Delivered, State::Queued]), ..base.clone() },
            vec!["c@y.test", "a@x.test", "b@x.test"],
        ),
        (TraceQuery { recipient: text("*@X.test"), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (TraceQuery { recipient: text("A@*"), ..base.clone() }, vec!["a@x.test"]),
        (TraceQuery { recipient: text("_@x.test"), ..base.clone() }, vec![]),
        (TraceQuery { recipient: text("%"), ..base.clone() }, vec![]),
        (TraceQuery { from_ip: Some([192, 0, 2, 1].into()), ..base.clone() }, vec!["c@y.test", "a@x.test", "b@x.test"]),
        (TraceQuery { from_ip: Some([192, 0, 2, 2].into()), ..base.clone() }, vec![]),
        (TraceQuery { size_min: Some(5), ..base.clone() }, vec![]),
        (TraceQuery { size_min: Some(4), size_max: Some(4), limit: 1, ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { connector: text("c"), limit: 1, ..base.clone() }, vec!["c@y.test"]),
        (TraceQuery { connector: text("d"), ..base.clone() }, vec![]),
        (subject(SubjectMatch::Contains("r".to_owned())), vec!["c@y.test", "a@x.test", "b@x.test"]),
        (subject(SubjectMatch::StartsWith("gr".to_owned())), vec!["c@y.test", "a@x.test", "b@x.test"]),
        (subject(SubjectMatch::EndsWith("gr".to_owned())), vec![]),
        (subject(SubjectMatch::Contains("%".to_owned())), vec![]),
        (
            TraceQuery {
                subjects: vec![SubjectMatch::StartsWith("gr".to_owned()), SubjectMatch::EndsWith("r".to_owned())],
                ..base.clone()
            },
            vec![],
        ),
    ];
    for (query, expected) in table {
        let rows = stores.other.trace(query.clone()).await.expect("traced");
        let found: Vec<_> = rows.iter().map(|row| row.delivery.recipient.as_str()).collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

pub(super) async fn traces_are_found_by_their_last_attempt<S: Store>(stores: &Stores<S>) {
    let one = accept(stores, &new_message(&["a@x.test"], 0), Some("n")).await;
    let two = accept(stores, &new_message(&["b@x.test"], 0), Some("n")).await;
    accept(stores, &new_message(&["c@x.test"], 0), None).await;
    let tried = |attempt, failure: Failure| Event {
        at: at(40),
        node: "mx1".to_owned(),
        message: Uuid::nil(),
        recipient: None,
        kind: EventKind::Deferred { attempt, failure, due: at(60) },
    };
    let reply = Reply::new(451, Some(EnhancedCode::new(4, 7, 1)), "later");
    let rejected = Failure { reply: Some(reply), ..Failure::new(Phase::Rcpt, FailureKind::Rejected) };
    for (accepted, failure, attempt) in
        [(&one, failure(), attempt_to(1, None)), (&two, rejected, attempt_to(2, Some("RC4-SHA")))]
    {
        let outcome =
            Outcome::Deferred { failure: failure.clone(), due_in: s(60), review_in: s(20_000), delay_notified: false };
        let events = vec![tried(attempt, failure).into()];
        settle_one(stores, Settlement { events, ..settlement(accepted, 0, outcome) }).await;
    }
    let base = AttemptMatch::default();
    let text = |text: &str| Some(text.to_owned());
    let table = [
        (AttemptMatch { to_ip: Some([192, 0, 2, 1].into()), ..base.clone() }, vec!["a@x.test"]),
        (AttemptMatch { node: text("MX1"), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (AttemptMatch { node: text("mx"), ..base.clone() }, vec![]),
        (AttemptMatch { tls_policy: text("legacy"), ..base.clone() }, vec!["a@x.test", "b@x.test"]),
        (AttemptMatch { tls_version: text("TLSv1"), ..base.clone() }, vec!["b@x.test"]),
        (AttemptMatch { tls_version: text("none"), ..base.clone() }, vec!["a@x.test"]),
        (AttemptMatch { cipher: text("rc4-sha"), ..base.clone() }, vec!["b@x.test"]),
        (AttemptMatch { cipher: text("RC4%"), ..base.clone() }, vec![]),
        (AttemptMatch { code: text("451"), ..base.clone() }, vec!["b@x.test"]),
        (AttemptMatch { code: text("4.7.1"), ..base.clone() }, vec!["b@x.test"]),
        (AttemptMatch { code: text("45"), ..base }, vec![]),
    ];
    for (last_attempt, expected) in table {
        let query = TraceQuery { last_attempt, limit: 10, ..TraceQuery::default() };
        let rows = stores.other.trace(query.clone()).await.expect("traced");
        let found: Vec<_> = rows.iter().map(|row| row.delivery.recipient.as_str()).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    let rows = stores.other.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    let last = LastAttempt {
        node: "mx1".to_owned(),
        tls_policy: "legacy".to_owned(),
        tls: Some(("TLSv1".to_owned(), "RC4-SHA".to_owned())),
        to_ip: Some([192, 0, 2, 2].into()),
    };
    assert_eq!(rows[1].last_attempt, Some(last));
    assert_eq!(rows[2].last_attempt, None);
}

pub(super) async fn traces_come_in_pages<S: Store>(stores: &Stores<S>) {
    for (second, recipients) in [(3, &["d@x.test", "e@x.test"][..]), (1, &["a@x.test"]), (3, &["f@x.test"])] {
        let mut message = new_message(recipients, 0);
        message.received = at(second);
        accept(stores, &message, None).await;
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let rows = stores.other.trace(TraceQuery { limit: 1, after, ..TraceQuery::default() }).await.expect("traced");
        let Some(last) = rows.last() else { break };
        after = Some(TraceCursor::from(last));
        found.extend(rows.iter().map(|row| row.delivery.recipient.as_str().to_owned()));
        // What comes in meanwhile is newer, and disturbs no page.
        let mut late = new_message(&["late@x.test"], 0);
        late.received = at(9);
        accept(stores, &late, None).await;
    }
    assert_eq!(found, ["d@x.test", "e@x.test", "f@x.test", "a@x.test"]);
}

/// An engine may keep the history by the day.
const DAY: u64 = 24 * 3600;

pub(super) async fn history_ends_where_mail_has_come_to_rest<S: Store>(stores: &Stores<S>) {
    let mut kept = Vec::new();
    // Delivered long ago twice, queued long ago, delivered lately; and one that is finished for one recipient only.
    for (second, recipients, delivered_to) in [
        (0, &["a@x.test"][..], 1),
        (1, &["b@x.test"], 1),
        (2, &["c@x.test"], 0),
        (3, &["d@x.test", "e@x.test"], 1),
        (3 * DAY as i64, &["f@x.test"], 1),
    ] {
        let mut new = new_message(recipients, 0);
        new.received = at(second);
        let accepted = accept(stores, &new, Some("n")).await;
        for index in 0..delivered_to {
            settle_one(stores, settlement(&accepted, index, delivered())).await;
        }
        kept.push(new.network_message_id);
    }
    stores.set_clock(4 * DAY as i64);
    assert_eq!(stores.one.forget(s(2 * DAY), 1).await.expect("forgotten"), 1);
    assert!(stores.other.message(kept[0]).await.expect("read").is_none());
    assert_eq!(stores.one.forget(s(2 * DAY), 10).await.expect("forgotten"), 1);
    assert_eq!(stores.one.forget(s(2 * DAY), 10).await.expect("forgotten"), 0);
    assert!(stores.other.events(kept[1]).await.expect("read").is_empty());
    let rows = stores.other.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    let keys: Vec<MessageKey> = rows.iter().map(|row| row.message.key).collect();
    let histories = stores.other.histories(keys).await.expect("read");
    for (row, history) in rows.iter().zip(&histories) {
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].message, row.message.network_message_id);
    }
    for id in &kept[2..] {
        assert!(stores.other.message(*id).await.expect("read").is_some());
        assert_eq!(stores.other.events(*id).await.expect("read").len(), 1);
    }
    let rows = stores.other.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    assert_eq!(rows.len(), 4);
}
