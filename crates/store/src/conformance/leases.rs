//! What holds of leases, also where two act at the same moment.

use super::*;

pub(super) async fn a_lost_lease_settles_nothing<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(stores, &new, Some("other")).await;
    let mut late = settlement(&accepted, 0, delivered());
    late.lease = stores.member("n").await.next_lease();
    let kind = EventKind::Interrupted { leased_by: "n".to_owned() };
    late.events = vec![Event { kind, ..received(&new) }.into()];
    // Settling again changes nothing.
    for _ in 0..2 {
        assert_eq!(settle_one(stores, late.clone()).await, accepted.deliveries);
    }
    let record = record(stores, &new).await;
    assert_eq!((record.deliveries[0].state, record.body_present), (State::Leased, true));
    assert_eq!(stores.other.events(new.network_message_id).await.expect("read").len(), 2, "what was seen is kept");
}

fn holdings(accepted: &Accepted) -> Vec<Holding> {
    let lease = accepted.lease.expect("leased");
    accepted.deliveries.iter().map(|delivery| Holding { delivery: *delivery, lease }).collect()
}

pub(super) async fn leases_are_renewed_and_end<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let held = holdings(&accepted);
    let term = stores.term();
    stores.set_clock(term / 2);
    assert_eq!(stores.one.renew(&stores.member("n").await, held.clone()).await.expect("renewed"), vec![]);
    let other = stores.member("m").await;
    let not_held = vec![Holding { lease: other.next_lease(), ..held[0] }];
    assert_eq!(stores.one.renew(&other, not_held.clone()).await.expect("renewed"), not_held);
    stores.set_clock(term + 1);
    assert_eq!(stores.other.expire_leases().await.expect("expired"), 0);
    stores.set_clock(term / 2 + term + 1);
    assert_eq!(stores.other.expire_leases().await.expect("expired"), 1);
    assert_eq!(claim_keys(stores, "m", term / 2 + term + 2, 1).await, accepted.deliveries);
    let events = stores.other.events(new.network_message_id).await.expect("read");
    let interrupted = EventKind::Interrupted { leased_by: "n".to_owned() };
    assert!(events.iter().any(|event| event.kind == interrupted), "{events:?}");
}

/// A caller that does not know whether its first call was recorded repeats the call.
pub(super) async fn a_retried_accept_adds_nothing<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let event = NewEvent::from(received(&new));
    let again = async |store: &S, holder: Option<&str>| {
        let holder = match holder {
            Some(name) => Some(stores.holder(name).await),
            None => None,
        };
        // Content that was kept in memory has no key yet.
        store.accept(new.clone(), holder, vec![event.clone()]).await.expect("accepted")
    };
    let first = again(&stores.one, Some("n")).await;
    let second = again(&stores.other, Some("n")).await;
    assert_eq!((second.message, &second.deliveries), (first.message, &first.deliveries));
    assert!(second.lease.is_some() && second.lease != first.lease, "the first lease is not known to the caller");
    assert_eq!(again(&stores.one, Some("m")).await.lease, None, "another node holds it");
    assert_eq!(again(&stores.one, None).await.lease, None);
    assert_eq!(events_of(stores, &new).await, ["received"]);
    let old = settlement(&first, 0, delivered());
    assert_eq!(settle_one(stores, old).await, first.deliveries[..1]);
    assert_eq!(settle_one(stores, settlement(&second, 0, delivered())).await, []);
    assert_eq!(states(stores, &new).await, [State::Delivered, State::Leased]);
    assert_eq!(again(&stores.one, Some("n")).await.lease, None, "it is under way, and partly done");
}

pub(super) async fn accepting_twice_at_once_accepts_once<S: Store>(stores: &Stores<S>) {
    for _ in 0..20 {
        let new = new_message(&["a@x.test"], 0);
        let (one, other) = (stores.one.clone(), stores.other.clone());
        let (mine, theirs) = (new.clone(), new.clone());
        let one = tokio::spawn(async move { one.accept(mine, None, vec![]).await.expect("accepted") });
        let other = tokio::spawn(async move { other.accept(theirs, None, vec![]).await.expect("accepted") });
        let (one, other) = (one.await.expect("joined"), other.await.expect("joined"));
        assert_eq!(one, other);
        assert_eq!(record(stores, &new).await.deliveries.len(), 1);
    }
    // Keys of different messages differ, whichever handle gives them.
    let mut tasks = Vec::new();
    for index in 0..40 {
        let store = if index % 2 == 0 { stores.one.clone() } else { stores.other.clone() };
        let accept = async move { store.accept(new_message(&["a@x.test", "b@x.test"], 0), None, vec![]).await };
        tasks.push(tokio::spawn(accept));
    }
    let mut keys = HashSet::new();
    for task in tasks {
        let accepted = task.await.expect("joined").expect("accepted");
        assert!(accepted.deliveries.into_iter().all(|key| keys.insert(key)), "a key was given out twice");
    }
}

pub(super) async fn a_retried_settlement_changes_nothing<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let event = Event {
        kind: EventKind::Deferred { attempt: attempt_to(1, None), failure: failure(), due: at(60) },
        ..received(&new)
    };
    let settlement = Settlement { events: vec![event.into()], ..settlement(&accepted, 0, deferred(60)) };
    assert_eq!(settle_one(stores, settlement.clone()).await, []);
    assert_eq!(settle_one(stores, settlement.clone()).await, accepted.deliveries);
    assert_eq!(stores.other.settle(vec![settlement]).await.expect("settled"), accepted.deliveries);
    let delivery = &record(stores, &new).await.deliveries[0];
    assert_eq!((delivery.state, delivery.delivery.attempts), (State::Queued, 1));
    assert_eq!(events_of(stores, &new).await, ["received", "deferred"]);
}

/// The delivery was taken up again by the same node before the first result was sent a second time.
pub(super) async fn an_old_settlement_does_not_end_a_new_lease<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let first = settlement(&accepted, 0, deferred(0));
    assert_eq!(settle_one(stores, first.clone()).await, []);
    let again = claimed(stores, "n", 1, 10).await;
    assert_eq!(settle_one(stores, first).await, accepted.deliveries);
    let late = stores.one.renew(&stores.member("n").await, holdings(&accepted)).await.expect("renewed");
    assert_eq!(late, holdings(&accepted));
    let delivery = &record(stores, &new).await.deliveries[0];
    assert_eq!((delivery.state, delivery.delivery.attempts), (State::Leased, 1));
    let second = Settlement { lease: again[0].lease, ..settlement(&accepted, 0, delivered()) };
    assert_eq!(settle_one(stores, second).await, []);
    assert_eq!(states(stores, &new).await, [State::Delivered]);
}

pub(super) async fn a_settlement_and_the_end_of_its_lease_exclude_each_other<S: Store>(stores: &Stores<S>) {
    for round in 0..20 {
        stores.set_clock(0);
        let new = new_message(&["a@x.test"], 0);
        let accepted = accept(stores, &new, Some("n")).await;
        stores.set_clock(stores.term() + 1);
        let (one, other) = (stores.one.clone(), stores.other.clone());
        let result = settlement(&accepted, 0, delivered());
        let settled = tokio::spawn(async move { one.settle(vec![result]).await.expect("settled") });
        let expired = tokio::spawn(async move { other.expire_leases().await.expect("expired") });
        let is_settled = settled.await.expect("joined").is_empty();
        assert_eq!(expired.await.expect("joined"), u64::from(!is_settled), "round {round}");
        let (state, events) = match is_settled {
            true => (State::Delivered, vec!["received"]),
            false => (State::Queued, vec!["received", "interrupted"]),
        };
        assert_eq!(states(stores, &new).await, [state]);
        assert_eq!(events_of(stores, &new).await, events);
    }
}

/// Each sees only its own recipient come to its end, and one of them must see that it was the last.
pub(super) async fn the_last_of_two_settlements_finishes_the_message<S: Store>(stores: &Stores<S>) {
    for round in 0..20 {
        let new = NewMessage { withhold_addresses: true, ..new_message(&["a@x.test", "b@x.test"], 0) };
        let accepted = accept(stores, &new, None).await;
        let mut tasks = Vec::new();
        for (index, store) in [stores.one.clone(), stores.other.clone()].into_iter().enumerate() {
            let claimed = claimed(stores, &format!("n{index}"), 0, 1).await;
            let result = Settlement { lease: claimed[0].lease, ..settlement(&accepted, index, delivered()) };
            tasks.push(tokio::spawn(async move { store.settle(vec![result]).await.expect("settled") }));
        }
        for task in tasks {
            assert_eq!(task.await.expect("joined"), []);
        }
        let record = record(stores, &new).await;
        assert!(!record.body_present, "round {round}");
        assert_eq!(record.message.envelope.sender.as_str(), "withheld@out.test", "round {round}");
    }
}

pub(super) async fn a_storm_of_claims_takes_each_delivery_once<S: Store>(stores: &Stores<S>) {
    let mut expected = HashSet::new();
    for _ in 0..60 {
        expected.extend(accept(stores, &new_message(&["a@x.test", "b@x.test"], 0), None).await.deliveries);
    }
    let mut nodes = Vec::new();
    for node in 0..6 {
        let store = if node % 2 == 0 { stores.one.clone() } else { stores.other.clone() };
        let claim = claim(stores, &format!("n{node}"), 5).await;
        nodes.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let claimed = store.claim(claim.clone()).await.expect("claimed");
                if claimed.is_empty() {
                    return taken;
                }
                let held: Vec<_> = claimed
                    .iter()
                    .flat_map(|claimed| {
                        let lease = claimed.lease;
                        claimed.deliveries.iter().map(move |delivery| Holding { delivery: delivery.key, lease })
                    })
                    .collect();
                assert_eq!(store.renew(&claim.holder, held).await.expect("renewed"), []);
                taken.extend(keys_of(&claimed));
            }
        }));
    }
    let mut seen = HashSet::new();
    for node in nodes {
        for key in node.await.expect("joined") {
            assert!(seen.insert(key), "{key:?} was claimed twice");
        }
    }
    assert_eq!(seen, expected);
}

pub(super) async fn a_member_that_was_cut_off_has_lost_its_leases<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let accepted = accept(stores, &new, Some("cut-off")).await;
    let after = stores.term() + 1;
    stores.set_clock(after);
    assert_eq!(stores.other.expire_leases().await.expect("expired"), 2);
    let taken = claimed(stores, "n", after, 1).await;
    // It comes back, and has sent both meanwhile.
    let held = holdings(&accepted);
    let member = stores.member("cut-off").await;
    assert_eq!(stores.one.renew(&member, held.clone()).await.expect("renewed"), held);
    let event = |index: usize| Event {
        recipient: Some(new.deliveries[index].recipient.clone()),
        kind: EventKind::Delivered { attempt: attempt_to(1, None), reply: Reply::new(250, None, "ok") },
        ..received(&new)
    };
    let results = [0, 1]
        .map(|index| Settlement { events: vec![event(index).into()], ..settlement(&accepted, index, delivered()) });
    assert_eq!(stores.one.settle(results.to_vec()).await.expect("settled"), accepted.deliveries);
    assert_eq!(states(stores, &new).await, [State::Leased, State::Queued]);
    let events = events_of(stores, &new).await;
    assert_eq!(events, ["received", "interrupted", "interrupted", "delivered", "delivered"], "what was seen is kept");
    let last = Settlement { lease: taken[0].lease, ..settlement(&accepted, 0, delivered()) };
    assert_eq!(settle_one(stores, last).await, []);
}
