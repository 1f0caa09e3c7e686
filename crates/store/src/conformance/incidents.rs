//! What holds of what is pending, of incidents, and of the webhook's calls.

use super::*;
use crate::incidents::NOTES_MAX;

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

fn call(incident: &Incident) -> WebhookCall {
    WebhookCall { id: Uuid::now_v7(), incident: incident.id, body: "{}".to_owned(), attempts: 0 }
}

pub(super) async fn take<S: Store>(stores: &Stores<S>, node: &str, now: i64) -> Option<u64> {
    let member = stores.member(node).await;
    stores.set_clock(now);
    stores.other.take_watch(&member, INTERVAL).await.expect("asked")
}

pub(super) async fn pending_is_what_failed_or_has_waited<S: Store>(stores: &Stores<S>) {
    stores.set_clock(1000);
    let put = async |received: i64, recipients: &[&str], holder: Option<&str>| {
        let mut new = new_message(recipients, 0);
        new.received = at(received);
        accept(stores, &new, holder).await
    };
    let pending = async |before: u64| stores.other.pending(s(1000 - before)).await.expect("read");
    assert_eq!(pending(1000).await, []);
    // Tried for one of two recipients; under way and never tried; waiting; delivered.
    let tried = put(10, &["a@x.test", "b@x.test"], Some("n")).await;
    settle_one(stores, settlement(&tried, 0, deferred(300))).await;
    put(20, &["c@x.test"], Some("n")).await;
    put(30, &["d@x.test"], None).await;
    let done = put(1, &["e@x.test"], Some("n")).await;
    settle_one(stores, settlement(&done, 0, delivered())).await;
    let expected = |messages, oldest_untried: Option<i64>| {
        let oldest_untried = oldest_untried.map(at);
        [Pending { connector: "c".to_owned(), messages, tried: 1, oldest: at(10), oldest_untried }]
    };
    assert_eq!(pending(5).await, expected(1, None));
    assert_eq!(pending(25).await, expected(2, Some(10)));
    assert_eq!(pending(1000).await, expected(3, Some(10)));
    // An operator's pause does not end what was failing before.
    let selection = Selection { state: Some(State::Queued), ..Selection::default() };
    stores.one.command(Command::Suspend, selection, "who").await.expect("suspended");
    assert_eq!(pending(5).await, expected(1, None));
    assert_eq!(pending(1000).await[0].messages, 2);
}

pub(super) async fn what_was_tried_last_is_read_first<S: Store>(stores: &Stores<S>) {
    let mut keys = Vec::new();
    for due in [300, 500, 400] {
        let accepted = accept(stores, &new_message(&["a@x.test", "b@x.test"], 1), Some("n")).await;
        settle_one(stores, settlement(&accepted, 0, deferred(due))).await;
        settle_one(stores, settlement(&accepted, 1, deferred(due))).await;
        keys.push(accepted.message);
    }
    accept(stores, &new_message(&["untried@x.test"], 600), None).await;
    let deferred = async |connector: &str, limit| stores.other.deferred(connector, limit).await.expect("read");
    assert_eq!(deferred("c", 10).await, [keys[1], keys[2], keys[0]]);
    assert_eq!(deferred("c", 1).await, [keys[1]]);
    assert_eq!(deferred("other", 10).await, []);
    // One that is being tried again waits still.
    assert_eq!(claim_keys(stores, "m", 350, 10).await.len(), 2);
    assert_eq!(deferred("c", 10).await.len(), 3);
}

pub(super) async fn the_watch_is_one_node_s_at_a_time<S: Store>(stores: &Stores<S>) {
    assert_eq!(take(stores, "a", 100).await, Some(1));
    assert_eq!(take(stores, "b", 100).await, None);
    assert_eq!(take(stores, "a", 109).await, None);
    assert_eq!(take(stores, "b", 110).await, Some(2));
    // What was begun before is not stored any more.
    let one = incident("c", "greylisted", 100);
    assert!(!stores.one.note_incidents(1, vec![one.clone()], vec![call(&one)]).await.expect("noted"));
    assert_eq!(stores.other.incidents(10).await.expect("read"), []);
    assert_eq!(stores.one.claim_calls(s(99), 10).await.expect("claimed"), []);
    assert!(stores.one.note_incidents(2, vec![one.clone()], vec![]).await.expect("noted"));
    assert_eq!(stores.other.incidents(10).await.expect("read"), [one]);
    // A clock that was set back does not end the watch.
    assert_eq!(take(stores, "a", 50).await, Some(3));
}

pub(super) async fn an_incident_is_open_once<S: Store>(stores: &Stores<S>) {
    let turn = take(stores, "n", 100).await.expect("the first turn");
    let note = async |incidents: &[&Incident]| {
        let incidents = incidents.iter().map(|incident| (*incident).clone()).collect();
        stores.one.note_incidents(turn, incidents, vec![]).await
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
    assert_eq!(stores.other.incident(first.id).await.expect("read"), Some(seen));
    assert!(note(&[&late, &early, &again]).await.expect("noted"));
    let listed = stores.other.incidents(10).await.expect("read");
    assert_eq!(listed, [again.clone(), elsewhere.clone(), late, early.clone()]);
    assert_eq!(stores.other.incidents(2).await.expect("read"), [again, elsewhere]);
    assert_eq!(stores.other.incident(Uuid::now_v7()).await.expect("read"), None);
    // Closed ones end with the rest of history.
    stores.set_clock(100);
    stores.one.forget(s(15), 10).await.expect("forgotten");
    assert_eq!(stores.other.incident(early.id).await.expect("read"), None);
    assert_eq!(stores.other.incidents(10).await.expect("read").len(), 3);
}

pub(super) async fn an_incident_keeps_its_picture_and_notes<S: Store>(stores: &Stores<S>) {
    let turn = take(stores, "n", 10).await.expect("the first turn");
    let one = incident("c", "greylisted", 10);
    assert!(stores.one.note_incidents(turn, vec![one.clone()], vec![]).await.expect("noted"));
    let picture = async || stores.other.picture(one.id).await.expect("read");
    assert_eq!(picture().await, None);
    for kept in ["{}", "{\"lanes\": \"ä\"}"] {
        stores.one.keep_picture(one.id, kept.to_owned()).await.expect("kept");
        assert_eq!(picture().await.as_deref(), Some(kept));
    }
    // What a later review notes leaves the picture as it is.
    assert!(stores.one.note_incidents(turn, vec![one.clone()], vec![]).await.expect("noted"));
    assert!(picture().await.is_some());
    assert_eq!(stores.one.add_note(Uuid::now_v7(), "ann", "x").await.expect("asked"), NoteAdded::NoIncident);
    for (second, text) in [(20, "first\nline"), (30, "<script>\0")] {
        stores.set_clock(second);
        assert_eq!(stores.one.add_note(one.id, "ann", text).await.expect("added"), NoteAdded::Added);
    }
    let notes = stores.other.notes(one.id).await.expect("read");
    let seen: Vec<_> = notes.iter().map(|note| (note.at, note.who.as_str(), note.text.get(..8))).collect();
    assert_eq!(seen, [(at(20), "ann", Some("first\nli")), (at(30), "ann", Some("<script>"))]);
    for _ in notes.len()..NOTES_MAX as usize {
        stores.one.add_note(one.id, "ann", "x").await.expect("added");
    }
    assert_eq!(stores.one.add_note(one.id, "ann", "x").await.expect("asked"), NoteAdded::Full);
    // They end with it.
    let closed = Incident { closed: Some((at(40), Closed::MailFlows)), ..one.clone() };
    assert!(stores.one.note_incidents(turn, vec![closed], vec![]).await.expect("noted"));
    stores.set_clock(100);
    stores.one.forget(s(15), 10).await.expect("forgotten");
    assert_eq!(stores.other.notes(one.id).await.expect("read"), []);
    assert_eq!(picture().await, None);
}

pub(super) async fn calls_are_made_in_order_until_they_are_taken<S: Store>(stores: &Stores<S>) {
    let turn = take(stores, "n", 10).await.expect("the first turn");
    let (one, two) = (incident("c", "greylisted", 10), incident("c", "dns-failure", 10));
    let calls = [call(&one), call(&one), call(&two)];
    let note = async |incidents: Vec<Incident>, calls: &[WebhookCall]| {
        assert!(stores.one.note_incidents(turn, incidents, calls.to_vec()).await.expect("noted"));
    };
    note(vec![one, two], &calls[..2]).await;
    let claim = async |now, again| {
        stores.set_clock(now);
        let claimed = stores.other.claim_calls(s(again), 10).await.expect("claimed");
        claimed.into_iter().map(|call| (call.id, call.attempts)).collect::<Vec<_>>()
    };
    assert_eq!(claim(9, 90).await, []);
    assert_eq!(claim(10, 20).await, [(calls[0].id, 0)]);
    // The second of the same incident waits for the first.
    stores.set_clock(20);
    note(vec![], &calls[2..]).await;
    assert_eq!(claim(20, 30).await, [(calls[2].id, 0)]);
    // A node that died has settled nothing.
    assert_eq!(claim(30, 20).await, [(calls[0].id, 0)]);
    stores.one.settle_call(calls[0].id, Some(s(10))).await.expect("settled");
    assert_eq!(claim(39, 60).await, []);
    assert_eq!(claim(40, 5).await, [(calls[0].id, 1)]);
    stores.one.settle_call(calls[0].id, None).await.expect("settled");
    assert_eq!(claim(45, 15).await, [(calls[1].id, 0)]);
    stores.one.settle_call(calls[1].id, None).await.expect("settled");
    stores.one.settle_call(calls[2].id, None).await.expect("settled");
    assert_eq!(claim(10_000, 1).await, []);
}
