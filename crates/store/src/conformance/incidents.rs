//! What holds of what is pending, of incidents, and of the webhook's calls.

use std::time::Duration;

use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

fn incident(connector: &str, cause: &str, opened: i64) -> Incident {
    Incident {
        id: Uuid::now_v7(),
        connector: connector.to_owned(),
        destination: "mail.x.test:25".to_owned(),
        cause: cause.to_owned(),
        node: "n".to_owned(),
        opened: at(opened),
        last_seen: at(opened),
        closed: None,
        pending: 3,
        pending_peak: 5,
        oldest: Some(at(1)),
        finding: "{\"cause\": \"c\"}".to_owned(),
    }
}

fn call(incident: &Incident, due: i64) -> WebhookCall {
    WebhookCall { id: Uuid::now_v7(), incident: incident.id, body: "{}".to_owned(), attempts: 0, due: at(due) }
}

async fn take<S: Store>(store: &S, node: &str, now: i64) -> Option<u64> {
    store.take_watch(node, at(now), INTERVAL).await.expect("asked")
}

pub(super) async fn pending_is_what_failed_or_has_waited<S: Store>(store: &S) {
    let put = async |received: i64, recipients: &[&str], lease: Option<Lease>| {
        let mut new = new_message(recipients, received);
        new.received = at(received);
        accept(store, &new, lease).await
    };
    let pending = async |before: i64| store.pending(at(before)).await.expect("read");
    assert_eq!(pending(1000).await, []);
    // Tried for one of two recipients; under way and never tried; waiting; delivered.
    let tried = put(10, &["a@x.test", "b@x.test"], Some(lease("n", 1000))).await;
    settle_one(store, settlement(&tried, 0, deferred(300))).await;
    put(20, &["c@x.test"], Some(lease("n", 1000))).await;
    put(30, &["d@x.test"], None).await;
    let done = put(1, &["e@x.test"], Some(lease("n", 1000))).await;
    settle_one(store, settlement(&done, 0, delivered())).await;
    let expected = |messages, oldest_untried: Option<i64>| {
        let oldest_untried = oldest_untried.map(at);
        [Pending { connector: "c".to_owned(), messages, tried: 1, oldest: at(10), oldest_untried }]
    };
    assert_eq!(pending(5).await, expected(1, None));
    assert_eq!(pending(25).await, expected(2, Some(10)));
    assert_eq!(pending(1000).await, expected(3, Some(10)));
    // An operator's pause does not end what was failing before.
    let selection = Selection { state: Some(State::Queued), ..Selection::default() };
    store.command(Command::Suspend, selection, "who", at(40)).await.expect("suspended");
    assert_eq!(pending(5).await, expected(1, None));
    assert_eq!(pending(1000).await[0].messages, 2);
}

pub(super) async fn what_was_tried_last_is_read_first<S: Store>(store: &S) {
    let mut keys = Vec::new();
    for due in [300, 500, 400] {
        let accepted = accept(store, &new_message(&["a@x.test", "b@x.test"], 1), Some(lease("n", 1000))).await;
        settle_one(store, settlement(&accepted, 0, deferred(due))).await;
        settle_one(store, settlement(&accepted, 1, deferred(due))).await;
        keys.push(accepted.message);
    }
    accept(store, &new_message(&["untried@x.test"], 600), None).await;
    let deferred = async |connector: &str, limit| store.deferred(connector, limit).await.expect("read");
    assert_eq!(deferred("c", 10).await, [keys[1], keys[2], keys[0]]);
    assert_eq!(deferred("c", 1).await, [keys[1]]);
    assert_eq!(deferred("other", 10).await, []);
    // One that is being tried again waits still.
    assert_eq!(claim_keys(store, "m", 350, 10).await.len(), 2);
    assert_eq!(deferred("c", 10).await.len(), 3);
}

pub(super) async fn the_watch_is_one_node_s_at_a_time<S: Store>(store: &S) {
    assert_eq!(take(store, "a", 100).await, Some(1));
    assert_eq!(take(store, "b", 100).await, None);
    assert_eq!(take(store, "a", 109).await, None);
    assert_eq!(take(store, "b", 110).await, Some(2));
    // What was begun before is not stored any more.
    let one = incident("c", "greylisted", 100);
    assert!(!store.note_incidents(1, vec![one.clone()], vec![call(&one, 1)]).await.expect("noted"));
    assert_eq!(store.incidents(10).await.expect("read"), []);
    assert_eq!(store.claim_calls(at(900), at(999), 10).await.expect("claimed"), []);
    assert!(store.note_incidents(2, vec![one.clone()], vec![]).await.expect("noted"));
    assert_eq!(store.incidents(10).await.expect("read"), [one]);
    // A clock that was set back does not end the watch.
    assert_eq!(take(store, "a", 50).await, Some(3));
}

pub(super) async fn an_incident_is_open_once<S: Store>(store: &S) {
    let turn = take(store, "n", 100).await.expect("the first turn");
    let note = async |incidents: &[&Incident]| {
        let incidents = incidents.iter().map(|incident| (*incident).clone()).collect();
        store.note_incidents(turn, incidents, vec![]).await
    };
    let first = incident("c", "greylisted", 10);
    let other = incident("c", "dns-failure", 20);
    let elsewhere = incident("d", "greylisted", 30);
    assert!(note(&[&first, &other, &elsewhere]).await.expect("noted"));
    assert!(note(&[&incident("c", "greylisted", 40)]).await.is_err());
    let seen = Incident {
        last_seen: at(50),
        pending: 9,
        pending_peak: 9,
        destination: "c".to_owned(),
        oldest: None,
        ..first.clone()
    };
    let closed =
        |incident: &Incident, second| Incident { closed: Some((at(second), Closed::MailFlows)), ..incident.clone() };
    let (late, early) = (closed(&seen, 90), closed(&other, 80));
    // In one call: what is closed makes room.
    let again = incident("c", "greylisted", 95);
    assert!(note(&[&seen]).await.expect("noted"));
    assert_eq!(store.incident(first.id).await.expect("read"), Some(seen));
    assert!(note(&[&late, &early, &again]).await.expect("noted"));
    let listed = store.incidents(10).await.expect("read");
    assert_eq!(listed, [again.clone(), elsewhere.clone(), late, early.clone()]);
    assert_eq!(store.incidents(2).await.expect("read"), [again, elsewhere]);
    assert_eq!(store.incident(Uuid::now_v7()).await.expect("read"), None);
    // Closed ones end with the rest of history.
    store.forget(at(85), 10).await.expect("forgotten");
    assert_eq!(store.incident(early.id).await.expect("read"), None);
    assert_eq!(store.incidents(10).await.expect("read").len(), 3);
}

pub(super) async fn calls_are_made_in_order_until_they_are_taken<S: Store>(store: &S) {
    let turn = take(store, "n", 100).await.expect("the first turn");
    let (one, two) = (incident("c", "greylisted", 10), incident("c", "dns-failure", 10));
    let calls = [call(&one, 10), call(&one, 10), call(&two, 20)];
    store.note_incidents(turn, vec![one, two], calls.to_vec()).await.expect("noted");
    let claim = async |now, again| {
        let claimed = store.claim_calls(at(now), at(again), 10).await.expect("claimed");
        claimed.into_iter().map(|call| (call.id, call.attempts)).collect::<Vec<_>>()
    };
    assert_eq!(claim(9, 99).await, []);
    assert_eq!(claim(10, 30).await, [(calls[0].id, 0)]);
    // The second of the same incident waits for the first.
    assert_eq!(claim(20, 50).await, [(calls[2].id, 0)]);
    // A node that died has settled nothing.
    assert_eq!(claim(30, 50).await, [(calls[0].id, 0)]);
    store.settle_call(calls[0].id, Some(at(40))).await.expect("settled");
    assert_eq!(claim(39, 99).await, []);
    assert_eq!(claim(40, 45).await, [(calls[0].id, 1)]);
    store.settle_call(calls[0].id, None).await.expect("settled");
    assert_eq!(claim(45, 60).await, [(calls[1].id, 0)]);
    store.settle_call(calls[1].id, None).await.expect("settled");
    store.settle_call(calls[2].id, None).await.expect("settled");
    assert_eq!(claim(10_000, 10_001).await, []);
}
