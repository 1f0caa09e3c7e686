//! The store's contract as checks on the trait alone, so that every implementation passes the same.

mod fold;
mod incidents;

use std::collections::HashSet;

use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use protocol::smtp::{
    Address, BodyType, Destination, EnhancedCode, Envelope, Failure, FailureKind, Notify, Phase, Reply, Ret,
    ReversePath, TlsSummary,
};
use trace::{Attempt, Event, EventKind, Received, event::NoticeAction};
use uuid::Uuid;

use crate::*;

/// Runs every check, each on a fresh store that `make` gives.
pub async fn run<S: Store>(make: impl AsyncFn() -> S) {
    accepted_mail_is_there(&make().await).await;
    born_leased_is_not_claimed(&make().await).await;
    claims_take_what_is_due_in_order(&make().await).await;
    claims_exclude_each_other(&make().await).await;
    a_message_is_claimed_with_its_recipients(&make().await).await;
    claims_are_limited_in_messages(&make().await).await;
    domains_are_left_for_a_while(&make().await).await;
    what_is_postponed_was_not_tried(&make().await).await;
    results_are_recorded(&make().await).await;
    a_lost_lease_settles_nothing(&make().await).await;
    leases_are_renewed_and_end(&make().await).await;
    a_clock_that_was_set_back_leaves_nothing_waiting(&make().await).await;
    a_node_recovers_its_own(&make().await).await;
    bodies_live_as_long_as_they_are_needed(&make().await).await;
    large_bodies_come_back_piece_by_piece(&make().await).await;
    one_notice_tells_of_all_that_failed(&make().await).await;
    notices_to_one_address_are_limited(&make().await).await;
    a_body_is_kept_until_the_sender_is_told(&make().await).await;
    reviews_come_when_due(&make().await).await;
    commands_do_what_they_say(&make().await).await;
    suspended_while_leased_stays_suspended(&make().await).await;
    lists_come_in_pages(&make().await).await;
    fold::one_pass_meets_what_waits(&make().await).await;
    fold::ids_are_found_by_their_beginning(&make().await).await;
    traces_are_found(&make().await).await;
    traces_are_found_by_their_last_attempt(&make().await).await;
    traces_come_in_pages(&make().await).await;
    history_ends_where_mail_has_come_to_rest(&make().await).await;
    addresses_are_withheld_at_rest(&make().await).await;
    what_comes_late_brings_no_address_back(&make().await).await;
    reports_replace_each_other(&make().await).await;
    plans_replace_each_other_in_order(&make().await).await;
    weak_deliveries_are_counted_by_destination(&make().await).await;
    incidents::pending_is_what_failed_or_has_waited(&make().await).await;
    incidents::what_was_tried_last_is_read_first(&make().await).await;
    incidents::the_watch_is_one_node_s_at_a_time(&make().await).await;
    incidents::an_incident_is_open_once(&make().await).await;
    incidents::calls_are_made_in_order_until_they_are_taken(&make().await).await;
    inquiries_are_taken_once_and_answered(&make().await).await;
}

async fn inquiries_are_taken_once_and_answered<S: Store>(store: &S) {
    let ask = |node: &str, second| Inquiry {
        id: Uuid::now_v7(),
        node: node.to_owned(),
        at: at(second),
        question: "{}".to_owned(),
    };
    let asked = [ask("a", 1), ask("a", 100), ask("b", 100), ask("a", 101)];
    store.ask(asked.to_vec(), at(101)).await.expect("asked");
    let take = async |limit| store.take_inquiries("a", at(90), limit).await.expect("taken");
    assert_eq!(take(1).await, [asked[1].clone()]);
    assert_eq!(take(9).await, [asked[3].clone()]);
    assert_eq!(take(9).await, []);
    store.answer(asked[1].id, "{\"works\": true}".to_owned()).await.expect("answered");
    let ids = vec![asked[3].id, asked[1].id];
    let expected = [(asked[1].id, "{\"works\": true}".to_owned())];
    assert_eq!(store.answers(ids.clone()).await.expect("read"), expected);
    // Hours later nobody waits any more.
    store.ask(Vec::new(), at(90_000)).await.expect("asked");
    assert_eq!(store.answers(ids).await.expect("read"), []);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time in range")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn lease(node: &str, until: i64) -> Lease {
    Lease { node: node.to_owned(), until: at(until) }
}

fn new_message(recipients: &[&str], due: i64) -> NewMessage {
    let delivery = |recipient: &&str| NewDelivery {
        recipient: address(recipient),
        notify: Some(Notify::On { success: true, failure: false, delay: true }),
        orcpt: Some("rfc822;x@y".to_owned()),
        connector: "c".to_owned(),
        due: at(due),
        review: at(10_000),
    };
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: at(0),
        envelope: Envelope {
            sender: ReversePath::Address(address("sender@out.test")),
            body_type: BodyType::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("envid".to_owned()),
        },
        message_id: Some("id@out.test".to_owned()),
        subject: Some("Grüße".to_owned()),
        size_bytes: 4,
        client: Some([192, 0, 2, 1].into()),
        body: Body::Inline(Bytes::from_static(b"body")),
        withhold_addresses: false,
        deliveries: recipients.iter().map(delivery).collect(),
    }
}

fn received(message: &NewMessage) -> Event {
    let kind = EventKind::Received(Received {
        sender: message.envelope.sender.clone(),
        recipients: 1,
        size_bytes: 4,
        from: None,
        ehlo_name: "client.test".to_owned(),
        tls: None,
        handshake: None,
        session: "00".to_owned(),
    });
    Event { at: message.received, node: "n".to_owned(), message: message.network_message_id, recipient: None, kind }
}

async fn accept<S: Store>(store: &S, message: &NewMessage, lease: Option<Lease>) -> Accepted {
    store.accept(message.clone(), lease, vec![received(message)]).await.expect("accepted")
}

fn claim(node: &str, now: i64, limit: u32) -> Claim {
    Claim {
        connector: "c".to_owned(),
        due_by: at(now),
        limit,
        messages: u32::MAX,
        leave: Leave::default(),
        lease: lease(node, now + 100),
    }
}

async fn claim_keys<S: Store>(store: &S, node: &str, now: i64, limit: u32) -> Vec<DeliveryKey> {
    let claimed = store.claim(claim(node, now, limit)).await.expect("claimed");
    claimed.iter().flat_map(|claimed| claimed.deliveries.iter().map(|delivery| delivery.key)).collect()
}

fn failure() -> Failure {
    Failure::new(Phase::Connect, FailureKind::ConnectionRefused)
}

fn settlement(accepted: &Accepted, index: usize, outcome: Outcome) -> Settlement {
    Settlement {
        delivery: accepted.deliveries[index],
        message: accepted.message,
        outcome,
        events: vec![],
        notice: None,
        weak: None,
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { reply: Reply::new(250, None, "ok"), at: at(50) }
}

fn deferred(due: i64) -> Outcome {
    Outcome::Deferred { failure: failure(), due: at(due), review: at(20_000), delay_notified: true }
}

fn failed() -> Outcome {
    Outcome::Failed { failure: failure(), at: at(50) }
}

async fn record<S: Store>(store: &S, message: &NewMessage) -> MessageRecord {
    store.message(message.network_message_id).await.expect("read").expect("the message is there")
}

async fn settle_one<S: Store>(store: &S, settlement: Settlement) -> Vec<DeliveryKey> {
    store.settle("n", vec![settlement]).await.expect("settled")
}

async fn accepted_mail_is_there<S: Store>(store: &S) {
    let new = new_message(&["a@x.test", "b@x.test"], 10);
    let accepted = accept(store, &new, None).await;
    let record = record(store, &new).await;
    let message = &record.message;
    assert_eq!(message.key, accepted.message);
    assert_eq!((message.received, &message.envelope.sender), (new.received, &new.envelope.sender));
    assert_eq!(message.envelope, new.envelope);
    assert_eq!((&message.message_id, &message.subject), (&new.message_id, &new.subject));
    assert_eq!((message.size_bytes, message.client), (4, new.client));
    let keys: Vec<_> = record.deliveries.iter().map(|delivery| delivery.delivery.key).collect();
    assert_eq!(keys, accepted.deliveries);
    let first = &record.deliveries[0];
    assert_eq!((first.state, first.due, first.review), (State::Queued, at(10), at(10_000)));
    assert_eq!((&first.delivery.notify, &first.delivery.orcpt), (&new.deliveries[0].notify, &new.deliveries[0].orcpt));
    assert_eq!(store.events(new.network_message_id).await.expect("read"), vec![received(&new)]);
    assert_eq!(store.message(Uuid::nil()).await.expect("read"), None);
}

async fn born_leased_is_not_claimed<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 0);
    accept(store, &new, Some(lease("n", 100))).await;
    assert_eq!(claim_keys(store, "m", 50, 10).await, vec![]);
    let record = record(store, &new).await;
    assert_eq!((record.deliveries[0].state, &record.deliveries[0].lease), (State::Leased, &Some(lease("n", 100))));
}

async fn claims_take_what_is_due_in_order<S: Store>(store: &S) {
    let late = accept(store, &new_message(&["a@x.test"], 30), None).await;
    let early = accept(store, &new_message(&["a@x.test"], 10), None).await;
    let future = accept(store, &new_message(&["a@x.test"], 60), None).await;
    let mut other = new_message(&["a@x.test"], 0);
    other.deliveries[0].connector = "other".to_owned();
    accept(store, &other, None).await;
    assert_eq!(claim_keys(store, "n", 50, 1).await, early.deliveries);
    assert_eq!(claim_keys(store, "n", 50, 10).await, late.deliveries);
    assert_eq!(claim_keys(store, "n", 60, 10).await, future.deliveries);
}

async fn claims_exclude_each_other<S: Store>(store: &S) {
    for _ in 0..40 {
        accept(store, &new_message(&["a@x.test"], 0), None).await;
    }
    let claims = (0..8).map(|node| {
        let store = store.clone();
        tokio::spawn(async move { claim_keys(&store, &format!("n{node}"), 1, 7).await })
    });
    let mut seen = HashSet::new();
    for claim in claims.collect::<Vec<_>>() {
        for key in claim.await.expect("joined") {
            assert!(seen.insert(key), "{key:?} was claimed twice");
        }
    }
    assert_eq!(seen.len(), 40);
}

async fn a_message_is_claimed_with_its_recipients<S: Store>(store: &S) {
    let accepted = accept(store, &new_message(&["a@x.test", "b@x.test", "c@x.test"], 0), None).await;
    accept(store, &new_message(&["d@x.test"], 0), None).await;
    let claimed = store.claim(claim("n", 1, 10)).await.expect("claimed");
    assert_eq!(claimed.len(), 2);
    let keys: Vec<_> = claimed[0].deliveries.iter().map(|delivery| delivery.key).collect();
    assert_eq!((claimed[0].message.key, keys), (accepted.message, accepted.deliveries));
}

async fn claims_are_limited_in_messages<S: Store>(store: &S) {
    for _ in 0..3 {
        accept(store, &new_message(&["a@x.test", "b@x.test"], 0), None).await;
    }
    let claimed = store.claim(Claim { messages: 2, ..claim("n", 1, 10) }).await.expect("claimed");
    assert_eq!(claimed.iter().map(|claimed| claimed.deliveries.len()).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(claim_keys(store, "n", 1, 1).await.len(), 1);
}

/// Deliveries to domains that are left do not hide what is due after them.
async fn domains_are_left_for_a_while<S: Store>(store: &S) {
    let left = accept(store, &new_message(&["a@Left.test", "b@left.test"], 10), None).await;
    let other = accept(store, &new_message(&["c@other.test"], 20), None).await;
    let leave = |due_by| Leave { domains: vec!["left.test".to_owned()], due_by: at(due_by) };
    let keys = async |due_by, limit| {
        let claimed = store.claim(Claim { leave: leave(due_by), ..claim("n", 30, limit) }).await.expect("claimed");
        claimed.iter().flat_map(|claimed| claimed.deliveries.iter().map(|delivery| delivery.key)).collect::<Vec<_>>()
    };
    assert_eq!(keys(9, 1).await, other.deliveries);
    assert_eq!(keys(9, 10).await, []);
    assert_eq!(keys(10, 10).await, left.deliveries);
}

async fn what_is_postponed_was_not_tried<S: Store>(store: &S) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    let postponed = |failure| Outcome::Postponed { due: at(60), failure };
    let settlements = [(0, postponed(Some(failure()))), (1, postponed(None))]
        .map(|(index, outcome)| Settlement { events: vec![], ..settlement(&accepted, index, outcome) });
    assert_eq!(store.settle("n", settlements.to_vec()).await.expect("settled"), vec![]);
    let deliveries = record(store, &new).await.deliveries;
    for delivery in &deliveries {
        assert_eq!((delivery.state, delivery.due, delivery.delivery.attempts), (State::Queued, at(60), 0));
    }
    assert_eq!((&deliveries[0].delivery.failure, &deliveries[1].delivery.failure), (&Some(failure()), &None));
    assert_eq!(claim_keys(store, "n", 59, 10).await.len(), 0);
    assert_eq!(claim_keys(store, "n", 60, 10).await.len(), 2);
}

async fn results_are_recorded<S: Store>(store: &S) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test", "d@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    let returned = Outcome::Returned { review: None, delay_notified: false };
    let outcomes = [delivered(), failed(), deferred(77), returned];
    let settlements = outcomes.into_iter().enumerate().map(|(index, outcome)| settlement(&accepted, index, outcome));
    assert_eq!(store.settle("n", settlements.collect()).await.expect("settled"), vec![]);
    let deliveries = record(store, &new).await.deliveries;
    assert_eq!(deliveries[0].state, State::Delivered);
    assert_eq!((&deliveries[0].reply, deliveries[0].settled), (&Some(Reply::new(250, None, "ok")), Some(at(50))));
    assert_eq!((deliveries[1].state, &deliveries[1].delivery.failure), (State::Failed, &Some(failure())));
    let waiting = &deliveries[2];
    assert_eq!((waiting.state, waiting.due, waiting.review), (State::Queued, at(77), at(20_000)));
    assert_eq!((waiting.delivery.attempts, waiting.delivery.delay_notified), (1, true));
    assert_eq!(waiting.delivery.failure, Some(failure()));
    let back = &deliveries[3];
    assert_eq!((back.state, back.due, back.delivery.attempts), (State::Queued, at(0), 0));
    assert!(deliveries.iter().all(|delivery| delivery.lease.is_none()));
}

async fn a_lost_lease_settles_nothing<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("other", 100))).await;
    let mut late = settlement(&accepted, 0, delivered());
    let kind = EventKind::Interrupted { leased_by: "n".to_owned() };
    late.events = vec![Event { kind, ..received(&new) }];
    // Settling again changes nothing.
    for _ in 0..2 {
        assert_eq!(settle_one(store, late.clone()).await, accepted.deliveries);
    }
    let record = record(store, &new).await;
    assert_eq!((record.deliveries[0].state, record.body_present), (State::Leased, true));
    assert_eq!(store.events(new.network_message_id).await.expect("read").len(), 2, "what was seen is kept");
}

async fn leases_are_renewed_and_end<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    let renewed = store.renew(lease("n", 200), accepted.deliveries.clone()).await.expect("renewed");
    assert_eq!(renewed, vec![]);
    let stolen = store.renew(lease("m", 900), accepted.deliveries.clone()).await.expect("renewed");
    assert_eq!(stolen, accepted.deliveries);
    assert_eq!(store.expire_leases(at(150)).await.expect("expired"), 0);
    assert_eq!(store.expire_leases(at(201)).await.expect("expired"), 1);
    assert_eq!(claim_keys(store, "m", 202, 1).await, accepted.deliveries);
    let events = store.events(new.network_message_id).await.expect("read");
    let interrupted = EventKind::Interrupted { leased_by: "n".to_owned() };
    assert!(events.iter().any(|event| event.kind == interrupted), "{events:?}");
}

async fn a_clock_that_was_set_back_leaves_nothing_waiting<S: Store>(store: &S) {
    let minutes = |count: i64| at(10_000 + 60 * count);
    let (new, tried) = (new_message(&["a@x.test"], 10_000 + 40 * 60), new_message(&["a@x.test", "b@x.test"], 0));
    accept(store, &new, None).await;
    let accepted = accept(store, &tried, Some(lease("n", 100))).await;
    // After one attempt 15 minutes are allowed: the one waits for the clock, the other waits rightly.
    let waits = [55, 14].into_iter().enumerate().map(|(index, minute)| {
        let Outcome::Deferred { failure, review, delay_notified, .. } = deferred(0) else { unreachable!() };
        settlement(&accepted, index, Outcome::Deferred { failure, due: minutes(minute), review, delay_notified })
    });
    store.settle("n", waits.collect()).await.expect("settled");
    let leased = new_message(&["c@x.test"], 0);
    accept(store, &leased, Some(lease("dead", 10_000 + 45 * 60))).await;
    let schedule = vec![Duration::from_secs(15 * 60), Duration::from_secs(3600)];
    assert_eq!(store.follow_clock(minutes(0), schedule, minutes(5)).await.expect("followed"), 2);
    assert_eq!(record(store, &new).await.deliveries[0].due, minutes(0));
    let due: Vec<_> = record(store, &tried).await.deliveries.iter().map(|delivery| delivery.due).collect();
    assert_eq!(due, [minutes(0), minutes(14)]);
    assert_eq!(store.expire_leases(minutes(6)).await.expect("expired"), 1, "a dead node's lease ends in time");
}

async fn a_node_recovers_its_own<S: Store>(store: &S) {
    let own = new_message(&["a@x.test"], 0);
    accept(store, &own, Some(lease("n", 100))).await;
    let foreign = new_message(&["a@x.test"], 0);
    accept(store, &foreign, Some(lease("m", 100))).await;
    assert_eq!(store.recover("n", at(5)).await.expect("recovered"), 1);
    assert_eq!(record(store, &own).await.deliveries[0].state, State::Queued);
    assert_eq!(record(store, &foreign).await.deliveries[0].state, State::Leased);
}

async fn bodies_live_as_long_as_they_are_needed<S: Store>(store: &S) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    assert_eq!(store.read_body(accepted.message, 0).await.expect("read"), Some(Bytes::from_static(b"body")));
    assert_eq!(store.read_body(accepted.message, 1).await.expect("read"), None);
    settle_one(store, settlement(&accepted, 0, delivered())).await;
    assert!(record(store, &new).await.body_present, "one delivery still needs it");
    settle_one(store, settlement(&accepted, 1, failed())).await;
    assert!(!record(store, &new).await.body_present);
}

async fn large_bodies_come_back_piece_by_piece<S: Store>(store: &S) {
    let body = store.new_body();
    for (sequence, piece) in [b"one".as_slice(), b"two", b"three"].into_iter().enumerate() {
        store.append_body(body, sequence as u32, Bytes::from_static(piece)).await.expect("appended");
    }
    let mut new = new_message(&["a@x.test"], 0);
    new.body = Body::Stored(body);
    let accepted = accept(store, &new, None).await;
    assert_eq!(accepted.message, MessageKey(body.0));
    for (sequence, piece) in [Some("one"), Some("two"), Some("three"), None].into_iter().enumerate() {
        let read = store.read_body(accepted.message, sequence as u32).await.expect("read");
        assert_eq!(read, piece.map(|piece| Bytes::from_static(piece.as_bytes())));
    }
    let unwanted = store.new_body();
    store.append_body(unwanted, 0, Bytes::from_static(b"x")).await.expect("appended");
    store.discard_body(unwanted).await.expect("discarded");
    assert_eq!(store.read_body(MessageKey(unwanted.0), 0).await.expect("read"), None);
}

fn owed(settlement: Settlement, action: NoticeAction, since: i64) -> Settlement {
    Settlement { notice: Some(Owed { action, since: at(since) }), ..settlement }
}

/// A notice about the failure of deliveries, of which one address gets two after second 1,000.
fn notice_of(message: MessageKey, deliveries: Vec<DeliveryKey>, to: &str) -> Telling {
    let notice = NewMessage { envelope: Envelope::from(ReversePath::Null), ..new_message(&[to], 0) };
    Telling { message, action: NoticeAction::Failed, deliveries, notice, sent_max: 2, sent_after: at(1_000) }
}

async fn events_of<S: Store>(store: &S, message: &NewMessage) -> Vec<&'static str> {
    let events = store.events(message.network_message_id).await.expect("read");
    events.iter().map(|event| event.kind.name()).collect()
}

async fn one_notice_tells_of_all_that_failed<S: Store>(store: &S) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test", "d@x.test"], 500);
    let accepted = accept(store, &new, None).await;
    assert_eq!(claim_keys(store, "n", 500, 3).await, accepted.deliveries[..3]);
    let untold = async |now, waited_since| store.untold(at(now), at(waited_since), 10).await.expect("read");
    settle_one(store, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed, 600)).await;
    assert_eq!(untold(600, 0).await, vec![], "two are being sent, one is due");
    assert_eq!(untold(600, 600).await.len(), 1, "it has waited for the others long enough");
    settle_one(store, settlement(&accepted, 1, delivered())).await;
    settle_one(store, owed(settlement(&accepted, 2, deferred(9_000)), NoticeAction::Delayed, 601)).await;
    assert_eq!(untold(601, 0).await, vec![], "one is due for its first attempt");
    let found = untold(499, 0).await;
    let deliveries: Vec<_> =
        found[0].deliveries.iter().map(|(action, record)| (*action, record.delivery.key)).collect();
    let [first, _, third, _] = accepted.deliveries[..] else { panic!("four deliveries") };
    assert_eq!(deliveries, [(NoticeAction::Failed, first), (NoticeAction::Delayed, third)]);
    assert_eq!(found[0].message, record(store, &new).await.message);

    let telling = notice_of(accepted.message, vec![first, third], "s@out.test");
    assert_eq!(store.tell("n", telling.clone(), at(2_000)).await.expect("told"), Told::Queued);
    assert_eq!(store.tell("m", telling.clone(), at(2_000)).await.expect("told"), Told::Nothing, "it was told already");
    let notice = record(store, &telling.notice).await;
    assert_eq!((&notice.message.envelope.sender, notice.deliveries[0].state), (&ReversePath::Null, State::Queued));
    assert!(notice.body_present);
    assert_eq!(events_of(store, &new).await, ["received", "notified"], "the third is owed another notice");
    let left: Vec<_> = untold(499, 0).await[0].deliveries.iter().map(|(action, _)| *action).collect();
    assert_eq!(left, [NoticeAction::Delayed]);
}

async fn notices_to_one_address_are_limited<S: Store>(store: &S) {
    let tell = async |to: &str, now: i64| {
        let new = new_message(&["a@x.test"], 0);
        let accepted = accept(store, &new, Some(lease("n", 100))).await;
        settle_one(store, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed, 50)).await;
        let told = notice_of(accepted.message, accepted.deliveries, to);
        let told = Telling { sent_after: at(now - 1_000), ..told };
        (store.tell("n", told, at(now)).await.expect("told"), events_of(store, &new).await)
    };
    assert_eq!(tell("s@out.test", 2_000).await.0, Told::Queued);
    assert_eq!(tell("S@Out.Test", 2_500).await.0, Told::Queued);
    assert_eq!(tell("s@out.test", 2_999).await, (Told::Withheld, vec!["received", "notice-withheld"]));
    assert_eq!(tell("another@out.test", 2_999).await.0, Told::Queued);
    assert_eq!(tell("s@out.test", 3_001).await.0, Told::Queued, "the first was sent long enough ago");
    assert_eq!(tell("s@out.test", 3_002).await.0, Told::Withheld);
}

async fn a_body_is_kept_until_the_sender_is_told<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    settle_one(store, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed, 50)).await;
    assert!(record(store, &new).await.body_present, "the notice quotes its header");
    assert_eq!(store.forget(at(1_000_000), 10).await.expect("forgotten"), 0);
    let telling = notice_of(accepted.message, accepted.deliveries, "s@out.test");
    store.tell("n", telling, at(60)).await.expect("told");
    assert!(!record(store, &new).await.body_present);
}

async fn reviews_come_when_due<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 99_999);
    let accepted = accept(store, &new, None).await;
    let review = |now| store.claim_for_review(lease("n", 100_000), at(now), 10);
    assert_eq!(review(9_999).await.expect("claimed"), vec![]);
    let claimed = review(10_000).await.expect("claimed");
    assert_eq!(claimed[0].deliveries[0].key, accepted.deliveries[0]);
    let returned = Outcome::Returned { review: Some(at(30_000)), delay_notified: true };
    settle_one(store, settlement(&accepted, 0, returned)).await;
    let delivery = &record(store, &new).await.deliveries[0];
    assert_eq!((delivery.review, delivery.delivery.delay_notified), (at(30_000), true));
    assert_eq!((delivery.due, delivery.delivery.attempts), (at(99_999), 0), "a review is no attempt");
}

async fn commands_do_what_they_say<S: Store>(store: &S) {
    let new = new_message(&["a@x.test"], 5_000);
    accept(store, &new, None).await;
    let leased = accept(store, &new_message(&["b@x.test"], 0), Some(lease("n", 100))).await;
    let all = Selection::default;
    let run = |command, selection| store.command(command, selection, "eve", at(7));
    let state = async || record(store, &new).await.deliveries[0].clone();

    let done = run(Command::Retry, all()).await.expect("done");
    assert_eq!(done, Commanded { changed: 1, leased: 1 });
    assert_eq!(state().await.due, at(7));
    let connector = &state().await.delivery.connector;
    assert_eq!(store.retry_requested(connector).await.expect("read"), Some(at(7)));
    assert_eq!(store.retry_requested("another").await.expect("read"), None);

    let one = Selection { recipient: Some("A@X.test".to_owned()), ..all() };
    assert_eq!(run(Command::Suspend, one.clone()).await.expect("done").changed, 1);
    assert_eq!((state().await.state, state().await.suspended_by), (State::Suspended, Some("eve".to_owned())));
    assert_eq!(claim_keys(store, "n", 50, 10).await, vec![]);
    assert_eq!(run(Command::Resume, one).await.expect("done").changed, 1);
    assert_eq!((state().await.state, state().await.suspended_by), (State::Queued, None));

    let domain = Selection { recipient: Some("@x.test".to_owned()), ..all() };
    let done = run(Command::Remove, domain).await.expect("done");
    assert_eq!(done, Commanded { changed: 1, leased: 1 });
    assert_eq!(state().await.state, State::Removed);
    assert!(!record(store, &new).await.body_present);
    assert!(store.read_body(leased.message, 0).await.expect("read").is_some());
    let events = store.events(new.network_message_id).await.expect("read");
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["received", "retried", "suspended", "resumed", "removed"]);
    let nobody = Selection { sender: Some("nobody@x.test".to_owned()), ..all() };
    assert_eq!(run(Command::Remove, nobody).await.expect("done"), Commanded::default());
}

async fn suspended_while_leased_stays_suspended<S: Store>(store: &S) {
    for outcome in [deferred(0), Outcome::Returned { review: None, delay_notified: false }] {
        let new = new_message(&["a@x.test"], 0);
        let accepted = accept(store, &new, Some(lease("n", 100))).await;
        let this = Selection { message: Some(new.network_message_id), ..Selection::default() };
        store.command(Command::Suspend, this, "eve", at(7)).await.expect("done");
        assert_eq!(record(store, &new).await.deliveries[0].state, State::Leased, "the attempt is not cut");
        settle_one(store, settlement(&accepted, 0, outcome)).await;
        assert_eq!(record(store, &new).await.deliveries[0].state, State::Suspended);
    }
}

async fn lists_come_in_pages<S: Store>(store: &S) {
    for due in [30, 10, 20, 10, 40] {
        accept(store, &new_message(&["a@x.test"], due), None).await;
    }
    let mut query = QueueQuery { limit: 2, ..QueueQuery::default() };
    let mut due = Vec::new();
    loop {
        let page = store.list(query.clone()).await.expect("listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        query.after = Some((last.due, last.delivery.key));
        due.extend(page.iter().map(|row| row.due));
    }
    assert_eq!(due, [10, 10, 20, 30, 40].map(at));
    let counts = store.counts().await.expect("counted");
    let expected = QueueCount { connector: "c".to_owned(), state: State::Queued, deliveries: 5, due: Some(at(10)) };
    assert_eq!(counts, vec![expected]);
}

async fn traces_are_found<S: Store>(store: &S) {
    let first = new_message(&["a@x.test", "b@x.test"], 0);
    accept(store, &first, None).await;
    let mut second = new_message(&["c@y.test"], 0);
    second.envelope.sender = ReversePath::Null;
    second.received = at(0) + 10.seconds();
    second.message_id = Some("other@out.test".to_owned());
    accept(store, &second, None).await;
    let base = TraceQuery { limit: 10, ..TraceQuery::default() };
    let subject = |wanted| TraceQuery { subject: Some(wanted), ..base.clone() };
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
    ];
    for (query, expected) in table {
        let rows = store.trace(query.clone()).await.expect("traced");
        let found: Vec<_> = rows.iter().map(|row| row.delivery.recipient.as_str()).collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

fn attempt_to(last_octet: u8, tls: Option<&str>) -> Attempt {
    Attempt {
        connector: "c".to_owned(),
        destination: Some(Destination {
            host: "mail.x.test".to_owned(),
            port: 25,
            address: Some(([192, 0, 2, last_octet], 25).into()),
        }),
        local: None,
        tls_policy: "legacy".to_owned(),
        plan_version: None,
        tls: tls.map(|cipher| TlsSummary { version: "TLSv1".to_owned(), cipher: cipher.to_owned() }),
        handshake: None,
        phases: vec![],
        plaintext_because: None,
        session: "00".to_owned(),
        duration_ms: 1,
    }
}

async fn traces_are_found_by_their_last_attempt<S: Store>(store: &S) {
    let one = accept(store, &new_message(&["a@x.test"], 0), Some(lease("n", 100))).await;
    let two = accept(store, &new_message(&["b@x.test"], 0), Some(lease("n", 100))).await;
    accept(store, &new_message(&["c@x.test"], 0), None).await;
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
            Outcome::Deferred { failure: failure.clone(), due: at(60), review: at(20_000), delay_notified: false };
        let events = vec![tried(attempt, failure)];
        settle_one(store, Settlement { events, ..settlement(accepted, 0, outcome) }).await;
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
        let rows = store.trace(query.clone()).await.expect("traced");
        let found: Vec<_> = rows.iter().map(|row| row.delivery.recipient.as_str()).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    let rows = store.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    let last = LastAttempt {
        node: "mx1".to_owned(),
        tls_policy: "legacy".to_owned(),
        tls: Some(("TLSv1".to_owned(), "RC4-SHA".to_owned())),
        to_ip: Some([192, 0, 2, 2].into()),
    };
    assert_eq!(rows[1].last_attempt, Some(last));
    assert_eq!(rows[2].last_attempt, None);
}

async fn traces_come_in_pages<S: Store>(store: &S) {
    for (second, recipients) in [(3, &["d@x.test", "e@x.test"][..]), (1, &["a@x.test"]), (3, &["f@x.test"])] {
        let mut message = new_message(recipients, 0);
        message.received = at(second);
        accept(store, &message, None).await;
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let rows = store.trace(TraceQuery { limit: 1, after, ..TraceQuery::default() }).await.expect("traced");
        let Some(last) = rows.last() else { break };
        after = Some(TraceCursor::from(last));
        found.extend(rows.iter().map(|row| row.delivery.recipient.as_str().to_owned()));
        // What comes in meanwhile is newer, and disturbs no page.
        let mut late = new_message(&["late@x.test"], 0);
        late.received = at(9);
        accept(store, &late, None).await;
    }
    assert_eq!(found, ["d@x.test", "e@x.test", "f@x.test", "a@x.test"]);
}

async fn history_ends_where_mail_has_come_to_rest<S: Store>(store: &S) {
    let mut kept = Vec::new();
    // Delivered long ago twice, queued long ago, delivered lately; and one that has come to rest for one recipient only.
    for (second, recipients, delivered_to) in [
        (0, &["a@x.test"][..], 1),
        (1, &["b@x.test"], 1),
        (2, &["c@x.test"], 0),
        (3, &["d@x.test", "e@x.test"], 1),
        (500, &["f@x.test"], 1),
    ] {
        let mut new = new_message(recipients, 0);
        new.received = at(second);
        let accepted = accept(store, &new, Some(lease("n", 1000))).await;
        for index in 0..delivered_to {
            settle_one(store, settlement(&accepted, index, delivered())).await;
        }
        kept.push(new.network_message_id);
    }
    assert_eq!(store.forget(at(400), 1).await.expect("forgotten"), 1);
    assert!(store.message(kept[0]).await.expect("read").is_none());
    assert_eq!(store.forget(at(400), 10).await.expect("forgotten"), 1);
    assert_eq!(store.forget(at(400), 10).await.expect("forgotten"), 0);
    assert!(store.events(kept[1]).await.expect("read").is_empty());
    let rows = store.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    let keys: Vec<MessageKey> = rows.iter().map(|row| row.message.key).collect();
    let histories = store.histories(keys).await.expect("read");
    for (row, history) in rows.iter().zip(&histories) {
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].message, row.message.network_message_id);
    }
    for id in &kept[2..] {
        assert!(store.message(*id).await.expect("read").is_some());
        assert_eq!(store.events(*id).await.expect("read").len(), 1);
    }
    let rows = store.trace(TraceQuery { limit: 10, ..TraceQuery::default() }).await.expect("traced");
    assert_eq!(rows.len(), 4);
}

fn withholding(recipients: &[&str]) -> NewMessage {
    NewMessage { withhold_addresses: true, ..new_message(recipients, 0) }
}

/// A result in words that have both addresses in them, as servers like to answer.
fn telling(new: &NewMessage, accepted: &Accepted, index: usize, is_delivered: bool) -> Settlement {
    let recipient = new.deliveries[index].recipient.clone();
    let words = format!("<{}> from sender@out.test", recipient.as_str().to_uppercase());
    let reply = Reply::new(if is_delivered { 250 } else { 550 }, None, words);
    let failure = Failure::rejected(Phase::Rcpt, reply.clone());
    let attempt = attempt_to(1, None);
    let (outcome, kind) = if is_delivered {
        (Outcome::Delivered { reply: reply.clone(), at: at(50) }, EventKind::Delivered { attempt, reply })
    } else {
        let outcome = Outcome::Failed { failure: failure.clone(), at: at(50) };
        (outcome, EventKind::Failed { attempt: Some(attempt), failure })
    };
    let event =
        Event { at: at(50), node: "n".to_owned(), message: new.network_message_id, recipient: Some(recipient), kind };
    Settlement { events: vec![event], ..settlement(accepted, index, outcome) }
}

/// All that the store tells of a message.
async fn told<S: Store>(store: &S, new: &NewMessage) -> String {
    let events = store.events(new.network_message_id).await.expect("read");
    format!("{:#?} {events:#?}", record(store, new).await)
}

fn names_nobody(told: &str) -> bool {
    let told = told.to_lowercase();
    !["sender@", "kim@", "lee@", "x@y", "envid\""].iter().any(|name| told.contains(name))
}

async fn addresses_are_withheld_at_rest<S: Store>(store: &S) {
    let new = withholding(&["kim@x.test", "lee@x.test", "kim@y.test"]);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    settle_one(store, telling(&new, &accepted, 0, true)).await;
    settle_one(store, telling(&new, &accepted, 1, false)).await;
    let before = record(store, &new).await;
    assert_eq!(before.deliveries[0].delivery.recipient, address("kim@x.test"), "one delivery is still on its way");
    settle_one(store, settlement(&accepted, 2, deferred(60))).await;
    let selection = Selection { message: Some(new.network_message_id), ..Selection::default() };
    store.command(Command::Remove, selection, "operator", at(60)).await.expect("removed");

    let record = record(store, &new).await;
    assert_eq!(record.message.envelope.sender.as_str(), "withheld@out.test");
    let recipients: Vec<&str> = record.deliveries.iter().map(|row| row.delivery.recipient.as_str()).collect();
    assert_eq!(recipients, ["withheld-1@x.test", "withheld-2@x.test", "withheld-3@y.test"]);
    let words = |number| format!("<withheld-{number}@X.TEST> from withheld@out.test");
    assert_eq!(record.deliveries[0].reply.as_ref().map(|reply| reply.text.clone()), Some(words(1)));
    let failure = record.deliveries[1].delivery.failure.as_ref();
    assert_eq!(failure.and_then(|failure| failure.reply.as_ref()).map(|reply| reply.text.clone()), Some(words(2)));
    let told = told(store, &new).await;
    assert!(names_nobody(&told), "{told}");
    let events = store.events(new.network_message_id).await.expect("read");
    let of: Vec<Option<&str>> = events.iter().map(|event| event.recipient.as_ref().map(Address::as_str)).collect();
    assert_eq!(of, [None, Some(recipients[0]), Some(recipients[1]), Some(recipients[2])]);

    let query =
        |recipient: &str| TraceQuery { recipient: Some(recipient.to_owned()), limit: 9, ..TraceQuery::default() };
    assert_eq!(store.trace(query("@x.test")).await.expect("traced").len(), 2);
    assert_eq!(store.trace(query("kim@x.test")).await.expect("traced").len(), 0);

    let mut notice = withholding(&["lee@x.test"]);
    notice.envelope.sender = ReversePath::Null;
    let accepted = accept(store, &notice, Some(lease("n", 100))).await;
    settle_one(store, settlement(&accepted, 0, delivered())).await;
    let notice = store.message(notice.network_message_id).await.expect("read").expect("the notice is there");
    assert_eq!(notice.message.envelope.sender, ReversePath::Null);
}

async fn what_comes_late_brings_no_address_back<S: Store>(store: &S) {
    let new = withholding(&["kim@x.test"]);
    let accepted = accept(store, &new, Some(lease("n", 100))).await;
    let late = telling(&new, &accepted, 0, false);
    settle_one(store, telling(&new, &accepted, 0, true)).await;
    assert_eq!(settle_one(store, late).await, accepted.deliveries);
    let events = store.events(new.network_message_id).await.expect("read");
    assert_eq!(events.len(), 3, "what was seen is kept");
    assert_eq!(events[2].recipient, Some(address("withheld-1@x.test")));
    let told = told(store, &new).await;
    assert!(names_nobody(&told), "{told}");
}

async fn reports_replace_each_other<S: Store>(store: &S) {
    let report = |node: &str, second| NodeReport {
        node: node.to_owned(),
        at: at(second),
        connectors: vec![],
        plan_version: Some(second as u64),
    };
    for (node, second) in [("b", 1), ("a", 2), ("b", 3)] {
        store.report(report(node, second)).await.expect("reported");
    }
    assert_eq!(store.reports().await.expect("read"), vec![report("a", 2), report("b", 3)]);
}

async fn plans_replace_each_other_in_order<S: Store>(store: &S) {
    assert_eq!(store.plan().await.expect("read"), None);
    let set =
        async |before, plan: &str| store.replace_plan(before, plan.to_owned(), "who", at(1)).await.expect("asked");
    assert_eq!(set(None, "one").await, Some(1));
    // Somebody else was first.
    assert_eq!(set(None, "other").await, None);
    assert_eq!(set(Some(2), "other").await, None);
    assert_eq!(set(Some(1), "two").await, Some(2));
    let stored = |version, plan: &str| StoredPlan { version, at: at(1), by: "who".to_owned(), plan: plan.to_owned() };
    assert_eq!(store.plan().await.expect("read"), Some(stored(2, "two")));
    assert_eq!(store.plans().await.expect("read"), [stored(2, "two"), stored(1, "one")]);
}

async fn weak_deliveries_are_counted_by_destination<S: Store>(store: &S) {
    let tls = TlsSummary { version: "TLSv1".to_owned(), cipher: "RC4-SHA".to_owned() };
    let weak = |address: [u8; 4], tls: Option<TlsSummary>, why, second| WeakDelivery {
        destination: Destination { host: "mail.x.test".to_owned(), port: 25, address: Some((address, 25).into()) },
        connector: "c".to_owned(),
        tls_policy: "legacy".to_owned(),
        tls,
        why,
        at: at(second),
    };
    let deliveries = [
        weak([192, 0, 2, 1], Some(tls.clone()), Weakness::OldVersion, 10),
        // Another address of the same host.
        weak([192, 0, 2, 2], Some(tls.clone()), Weakness::OldVersion, 30),
        weak([192, 0, 2, 1], None, Weakness::StartTlsNotOffered, 20),
    ];
    for weak in deliveries {
        let new = new_message(&["a@x.test"], 1);
        let accepted = accept(store, &new, Some(lease("n", 100))).await;
        settle_one(store, Settlement { weak: Some(weak), ..settlement(&accepted, 0, delivered()) }).await;
    }
    // A lease that was lost says nothing.
    let accepted = accept(store, &new_message(&["a@x.test"], 1), None).await;
    let unheard = weak([192, 0, 2, 1], None, Weakness::StartTlsNotOffered, 90);
    settle_one(store, Settlement { weak: Some(unheard), ..settlement(&accepted, 0, delivered()) }).await;
    let entry = |tls, why, deliveries, first, last| LedgerEntry {
        host: "mail.x.test".to_owned(),
        port: 25,
        connector: "c".to_owned(),
        tls_policy: "legacy".to_owned(),
        tls,
        why,
        deliveries,
        first: at(first),
        last: at(last),
    };
    let expected =
        [entry(Some(tls), Weakness::OldVersion, 2, 10, 30), entry(None, Weakness::StartTlsNotOffered, 1, 20, 20)];
    assert_eq!(store.ledger().await.expect("read"), expected);
}
