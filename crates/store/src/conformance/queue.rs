//! What holds of accepting, claiming, settling, and of operators' commands.

use super::*;

pub(super) async fn accepted_mail_is_there<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 10);
    let accepted = accept(stores, &new, None).await;
    let record = record(stores, &new).await;
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
    assert_eq!(stores.other.events(new.network_message_id).await.expect("read"), vec![received(&new)]);
    assert_eq!(stores.other.message(Uuid::nil()).await.expect("read"), None);
}

pub(super) async fn born_leased_is_not_claimed<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    accept(stores, &new, Some("n")).await;
    assert_eq!(claim_keys(stores, "m", 50, 10).await, vec![]);
    let record = record(stores, &new).await;
    let lease = Lease { node: "n".to_owned(), until: at(stores.term()) };
    assert_eq!((record.deliveries[0].state, &record.deliveries[0].lease), (State::Leased, &Some(lease)));
}

pub(super) async fn claims_take_what_is_due_in_order<S: Store>(stores: &Stores<S>) {
    let late = accept(stores, &new_message(&["a@x.test"], 30), None).await;
    let early = accept(stores, &new_message(&["a@x.test"], 10), None).await;
    let future = accept(stores, &new_message(&["a@x.test"], 60), None).await;
    let mut other = new_message(&["a@x.test"], 0);
    other.deliveries[0].connector = "other".to_owned();
    accept(stores, &other, None).await;
    assert_eq!(claim_keys(stores, "n", 50, 1).await, early.deliveries);
    assert_eq!(claim_keys(stores, "n", 50, 10).await, late.deliveries);
    assert_eq!(claim_keys(stores, "n", 60, 10).await, future.deliveries);
}

pub(super) async fn claims_exclude_each_other<S: Store>(stores: &Stores<S>) {
    for _ in 0..40 {
        accept(stores, &new_message(&["a@x.test"], 0), None).await;
    }
    let mut claims = Vec::new();
    for node in 0..8 {
        let store = if node % 2 == 0 { stores.one.clone() } else { stores.other.clone() };
        let claim = claim(stores, &format!("n{node}"), 7).await;
        claims.push(tokio::spawn(async move { keys_of(&store.claim(claim).await.expect("claimed")) }));
    }
    let mut seen = HashSet::new();
    for claim in claims {
        for key in claim.await.expect("joined") {
            assert!(seen.insert(key), "{key:?} was claimed twice");
        }
    }
    assert_eq!(seen.len(), 40);
}

pub(super) async fn a_message_is_claimed_with_its_recipients<S: Store>(stores: &Stores<S>) {
    let accepted = accept(stores, &new_message(&["a@x.test", "b@x.test", "c@x.test"], 0), None).await;
    accept(stores, &new_message(&["d@x.test"], 0), None).await;
    let claimed = claimed(stores, "n", 1, 10).await;
    assert_eq!(claimed.len(), 2);
    let keys: Vec<_> = claimed[0].deliveries.iter().map(|delivery| delivery.key).collect();
    assert_eq!((claimed[0].message.key, keys), (accepted.message, accepted.deliveries));
}

pub(super) async fn claims_are_limited_in_messages<S: Store>(stores: &Stores<S>) {
    for _ in 0..3 {
        accept(stores, &new_message(&["a@x.test", "b@x.test"], 0), None).await;
    }
    let claim = Claim { messages: 2, ..claim(stores, "n", 10).await };
    let claimed = stores.one.claim(claim).await.expect("claimed");
    assert_eq!(claimed.iter().map(|claimed| claimed.deliveries.len()).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(claim_keys(stores, "n", 1, 1).await.len(), 1);
}

/// Deliveries to domains that are left do not hide what is due after them.
pub(super) async fn domains_are_left_for_a_while<S: Store>(stores: &Stores<S>) {
    let left = accept(stores, &new_message(&["a@Left.test", "b@left.test"], 10), None).await;
    let other = accept(stores, &new_message(&["c@other.test"], 20), None).await;
    stores.set_clock(30);
    let keys = async |due_for, limit| {
        let leave = Leave { domains: vec!["left.test".to_owned()], due_for: s(due_for) };
        let claim = Claim { leave, ..claim(stores, "n", limit).await };
        keys_of(&stores.one.claim(claim).await.expect("claimed"))
    };
    assert_eq!(keys(21, 1).await, other.deliveries);
    assert_eq!(keys(21, 10).await, []);
    assert_eq!(keys(20, 10).await, left.deliveries);
}

pub(super) async fn what_is_postponed_was_not_tried<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let postponed = |failure| Outcome::Postponed { due_in: s(60), failure };
    let settlements = [(0, postponed(Some(failure()))), (1, postponed(None))]
        .map(|(index, outcome)| Settlement { events: vec![], ..settlement(&accepted, index, outcome) });
    assert_eq!(stores.one.settle(settlements.to_vec()).await.expect("settled"), vec![]);
    let deliveries = record(stores, &new).await.deliveries;
    for delivery in &deliveries {
        assert_eq!((delivery.state, delivery.due, delivery.delivery.attempts), (State::Queued, at(60), 0));
    }
    assert_eq!((&deliveries[0].delivery.failure, &deliveries[1].delivery.failure), (&Some(failure()), &None));
    assert_eq!(claim_keys(stores, "n", 59, 10).await.len(), 0);
    assert_eq!(claim_keys(stores, "n", 60, 10).await.len(), 2);
}

pub(super) async fn results_are_recorded<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test", "d@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    let returned = Outcome::Returned { review_in: None, delay_notified: false };
    let outcomes = [delivered(), failed(), deferred(77), returned];
    let settlements = outcomes.into_iter().enumerate().map(|(index, outcome)| settlement(&accepted, index, outcome));
    assert_eq!(stores.one.settle(settlements.collect()).await.expect("settled"), vec![]);
    let deliveries = record(stores, &new).await.deliveries;
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

pub(super) async fn a_clock_that_was_set_back_leaves_nothing_waiting<S: Store>(stores: &Stores<S>) {
    let minutes = |count: u64| s(60 * count);
    let (new, tried) = (new_message(&["a@x.test"], 40 * 60), new_message(&["a@x.test", "b@x.test"], 0));
    accept(stores, &new, None).await;
    let accepted = accept(stores, &tried, Some("n")).await;
    // After one attempt 15 minutes are allowed: the one waits for the clock, the other waits rightly.
    let waits = [55, 14].into_iter().enumerate().map(|(index, minute)| {
        let Outcome::Deferred { failure, review_in, delay_notified, .. } = deferred(0) else { unreachable!() };
        let due_in = minutes(minute);
        settlement(&accepted, index, Outcome::Deferred { failure, due_in, review_in, delay_notified })
    });
    stores.one.settle(waits.collect()).await.expect("settled");
    let leased = new_message(&["c@x.test"], 0);
    stores.set_clock(45 * 60);
    let holder = stores.holder("dead").await;
    stores.one.accept(leased, Some(holder), vec![]).await.expect("accepted");
    stores.set_clock(0);
    assert_eq!(stores.one.follow_clock(vec![minutes(15), minutes(60)]).await.expect("followed"), 2);
    assert_eq!(record(stores, &new).await.deliveries[0].due, at(0));
    let due: Vec<_> = record(stores, &tried).await.deliveries.iter().map(|delivery| delivery.due).collect();
    assert_eq!(due, [at(0), at(14 * 60)]);
    assert_eq!(stores.one.expire_leases().await.expect("expired"), 0);
    stores.set_clock(stores.term() + 60);
    assert_eq!(stores.one.expire_leases().await.expect("expired"), 1, "a dead node's lease ends in time");
}

pub(super) async fn reviews_come_when_due<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 99_999);
    let accepted = accept(stores, &new, None).await;
    let review = async |now| {
        stores.set_clock(now);
        let holder = stores.holder("n").await;
        stores.one.claim_for_review(holder, 10).await.expect("claimed")
    };
    assert_eq!(review(9_999).await, vec![]);
    let claimed = review(10_000).await;
    assert_eq!(claimed[0].deliveries[0].key, accepted.deliveries[0]);
    let returned = Outcome::Returned { review_in: Some(s(20_000)), delay_notified: true };
    let settlement = Settlement { lease: claimed[0].lease, ..settlement(&accepted, 0, returned) };
    assert_eq!(settle_one(stores, settlement).await, []);
    let delivery = &record(stores, &new).await.deliveries[0];
    assert_eq!((delivery.review, delivery.delivery.delay_notified), (at(30_000), true));
    assert_eq!((delivery.due, delivery.delivery.attempts), (at(99_999), 0), "a review is no attempt");
}

pub(super) async fn commands_do_what_they_say<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 5_000);
    accept(stores, &new, None).await;
    let leased = accept(stores, &new_message(&["b@x.test"], 0), Some("n")).await;
    let all = Selection::default;
    stores.set_clock(7);
    let run = |command, selection| stores.one.command(command, selection, "eve");
    let state = async || record(stores, &new).await.deliveries[0].clone();

    let done = run(Command::Retry, all()).await.expect("done");
    assert_eq!(done, Commanded { changed: 1, leased: 1 });
    assert_eq!(state().await.due, at(7));
    let connector = &state().await.delivery.connector;
    stores.set_clock(9);
    assert_eq!(stores.other.retry_requested(connector).await.expect("read"), Some(s(2)));
    assert_eq!(stores.other.retry_requested("another").await.expect("read"), None);

    let one = Selection { recipient: Some("A@X.test".to_owned()), ..all() };
    assert_eq!(run(Command::Suspend, one.clone()).await.expect("done").changed, 1);
    assert_eq!((state().await.state, state().await.suspended_by), (State::Suspended, Some("eve".to_owned())));
    assert_eq!(claim_keys(stores, "n", 50, 10).await, vec![]);
    assert_eq!(run(Command::Resume, one).await.expect("done").changed, 1);
    assert_eq!((state().await.state, state().await.suspended_by), (State::Queued, None));

    let domain = Selection { recipient: Some("@x.test".to_owned()), ..all() };
    let done = run(Command::Remove, domain).await.expect("done");
    assert_eq!(done, Commanded { changed: 1, leased: 1 });
    assert_eq!(state().await.state, State::Removed);
    assert!(!record(stores, &new).await.body_present);
    assert!(stores.other.read_body(leased.message, 0).await.expect("read").is_some());
    let events = stores.other.events(new.network_message_id).await.expect("read");
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["received", "retried", "suspended", "resumed", "removed"]);
    let nobody = Selection { sender: Some("nobody@x.test".to_owned()), ..all() };
    assert_eq!(run(Command::Remove, nobody).await.expect("done"), Commanded::default());
}

/// A command on chosen deliveries changes no others, and those only if they meet the other conditions.
pub(super) async fn commands_act_on_what_was_chosen<S: Store>(stores: &Stores<S>) {
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.extend(accept(stores, &new_message(&["a@x.test", "b@x.test"], 5_000), None).await.deliveries);
    }
    let chosen_by = ChosenBy { cause: Some("untried".to_owned()), ..ChosenBy::default() };
    let select = |keys: &[DeliveryKey], recipient: Option<&str>| {
        let chosen = Some(Chosen { deliveries: keys.into(), by: chosen_by.clone() });
        Selection { recipient: recipient.map(str::to_owned), chosen, ..Selection::default() }
    };
    let run = |selection| stores.one.command(Command::Suspend, selection, "eve");
    assert_eq!(run(select(&[], None)).await.expect("done"), Commanded::default());
    assert_eq!(run(select(&keys[1..4], Some("a@x.test"))).await.expect("done").changed, 1);
    assert_eq!(run(select(&keys[3..5], None)).await.expect("done").changed, 2);
    let listed = async |selection| {
        let rows = stores.other.list(QueueQuery { selection, limit: 9, after: None }).await.expect("listed");
        rows.iter().map(|row| row.delivery.key).collect::<Vec<_>>()
    };
    let suspended = Selection { state: Some(State::Suspended), ..Selection::default() };
    assert_eq!(listed(suspended).await, [keys[2], keys[3], keys[4]]);
    assert_eq!(listed(select(&keys[..2], Some("b@x.test"))).await, [keys[1]]);
    let add: fn(&mut Vec<DeliveryKey>, &QueueRow<'_>) = |found, row| found.push(row.delivery);
    assert_eq!(stores.other.fold_queue(select(&keys[2..], None), Vec::new(), add).await.expect("read"), keys[2..]);
    let changes = stores.other.changes(ChangeQuery { limit: 9, ..ChangeQuery::default() }).await.expect("read");
    let commands = changes.iter().filter_map(|change| match &change.kind {
        ChangeKind::QueueCommand(command) => Some((command.deliveries, command.selection.chosen.clone())),
        _ => None,
    });
    assert_eq!(commands.collect::<Vec<_>>(), [(2, chosen_by.clone()), (1, chosen_by.clone())]);
}

pub(super) async fn suspended_while_leased_stays_suspended<S: Store>(stores: &Stores<S>) {
    for outcome in [deferred(0), Outcome::Returned { review_in: None, delay_notified: false }] {
        let new = new_message(&["a@x.test"], 0);
        let accepted = accept(stores, &new, Some("n")).await;
        let this = Selection { message: Some(new.network_message_id), ..Selection::default() };
        stores.one.command(Command::Suspend, this, "eve").await.expect("done");
        assert_eq!(record(stores, &new).await.deliveries[0].state, State::Leased, "the attempt is not cut");
        settle_one(stores, settlement(&accepted, 0, outcome)).await;
        assert_eq!(record(stores, &new).await.deliveries[0].state, State::Suspended);
    }
}

/// The queue and the history have one rule for addresses.
pub(super) async fn commands_match_addresses_as_traces_do<S: Store>(stores: &Stores<S>) {
    let mut new = new_message(&["Ärger@x.test", "a@X.test", "a_b@y.test"], 0);
    new.envelope.sender = ReversePath::Null;
    accept(stores, &new, None).await;
    for (text, expected) in [
        ("Ärger@X.TEST", 1),
        ("<Ärger@x.test>", 1),
        // Only the case of ASCII letters does not matter.
        ("ärger@x.test", 0),
        ("A@x.test", 1),
        ("@X.Test", 2),
        ("*@x.test", 2),
        ("a*", 2),
        ("a%b@y.test", 0),
        ("aXb@y.test", 0),
        ("a_b@y.test", 1),
    ] {
        let recipient = Some(text.to_owned());
        let selection = Selection { recipient: recipient.clone(), ..Selection::default() };
        let listed = QueueQuery { selection: selection.clone(), limit: 9, after: None };
        assert_eq!(stores.other.list(listed).await.expect("listed").len(), expected, "{text} in the queue");
        let query = TraceQuery { recipient, limit: 9, ..TraceQuery::default() };
        assert_eq!(stores.other.trace(query).await.expect("traced").len(), expected, "{text} in the history");
        let done = stores.one.command(Command::Retry, selection, "eve").await.expect("done");
        assert_eq!(done.changed as usize, expected, "{text} in a command");
    }
    let null = Selection { sender: Some("<>".to_owned()), ..Selection::default() };
    assert_eq!(stores.one.command(Command::Retry, null, "eve").await.expect("done").changed, 3);
}

pub(super) async fn lists_come_in_pages<S: Store>(stores: &Stores<S>) {
    for due in [30, 10, 20, 10, 40] {
        accept(stores, &new_message(&["a@x.test"], due), None).await;
    }
    let mut query = QueueQuery { limit: 2, ..QueueQuery::default() };
    let mut due = Vec::new();
    loop {
        let page = stores.other.list(query.clone()).await.expect("listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        query.after = Some((last.due, last.delivery.key));
        due.extend(page.iter().map(|row| row.due));
    }
    assert_eq!(due, [10, 10, 20, 30, 40].map(at));
    let counts = stores.other.counts().await.expect("counted");
    let expected = QueueCount { connector: "c".to_owned(), state: State::Queued, deliveries: 5, due: Some(at(10)) };
    assert_eq!(counts, vec![expected]);
}
