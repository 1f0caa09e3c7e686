//! What holds of addresses that are not to be kept.

use super::*;

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
    Settlement { events: vec![event.into()], ..settlement(accepted, index, outcome) }
}

/// Everything that the store returns about a message.
pub(super) async fn told<S: Store>(stores: &Stores<S>, new: &NewMessage) -> String {
    let events = stores.other.events(new.network_message_id).await.expect("read");
    format!("{:#?} {events:#?}", record(stores, new).await)
}

fn names_nobody(told: &str) -> bool {
    let told = told.to_lowercase();
    !["sender@", "kim@", "lee@", "x@y", "envid\""].iter().any(|name| told.contains(name))
}

pub(super) async fn addresses_are_withheld_at_rest<S: Store>(stores: &Stores<S>) {
    let new = withholding(&["kim@x.test", "lee@x.test", "kim@y.test"]);
    let accepted = accept(stores, &new, Some("n")).await;
    settle_one(stores, telling(&new, &accepted, 0, true)).await;
    settle_one(stores, telling(&new, &accepted, 1, false)).await;
    let before = record(stores, &new).await;
    assert_eq!(before.deliveries[0].delivery.recipient, address("kim@x.test"), "one delivery is still on its way");
    settle_one(stores, settlement(&accepted, 2, deferred(60))).await;
    let selection = Selection { message: Some(new.network_message_id), ..Selection::default() };
    stores.one.command(Command::Remove, selection, "operator").await.expect("removed");

    let record = record(stores, &new).await;
    assert_eq!(record.message.envelope.sender.as_str(), "withheld@out.test");
    let recipients: Vec<&str> = record.deliveries.iter().map(|row| row.delivery.recipient.as_str()).collect();
    assert_eq!(recipients, ["withheld-1@x.test", "withheld-2@x.test", "withheld-3@y.test"]);
    let words = |number| format!("<withheld-{number}@X.TEST> from withheld@out.test");
    assert_eq!(record.deliveries[0].reply.as_ref().map(|reply| reply.text.clone()), Some(words(1)));
    let failure = record.deliveries[1].delivery.failure.as_ref();
    assert_eq!(failure.and_then(|failure| failure.reply.as_ref()).map(|reply| reply.text.clone()), Some(words(2)));
    let told = told(stores, &new).await;
    assert!(names_nobody(&told), "{told}");
    let events = stores.other.events(new.network_message_id).await.expect("read");
    let of: Vec<Option<&str>> = events.iter().map(|event| event.recipient.as_ref().map(Address::as_str)).collect();
    assert_eq!(of, [None, Some(recipients[0]), Some(recipients[1]), Some(recipients[2])]);

    let query =
        |recipient: &str| TraceQuery { recipient: Some(recipient.to_owned()), limit: 9, ..TraceQuery::default() };
    assert_eq!(stores.other.trace(query("@x.test")).await.expect("traced").len(), 2);
    assert_eq!(stores.other.trace(query("kim@x.test")).await.expect("traced").len(), 0);

    let mut notice = withholding(&["lee@x.test"]);
    notice.envelope.sender = ReversePath::Null;
    let accepted = accept(stores, &notice, Some("n")).await;
    settle_one(stores, settlement(&accepted, 0, delivered())).await;
    let notice = stores.other.message(notice.network_message_id).await.expect("read").expect("the notice is there");
    assert_eq!(notice.message.envelope.sender, ReversePath::Null);
}

pub(super) async fn what_comes_late_brings_no_address_back<S: Store>(stores: &Stores<S>) {
    let new = withholding(&["kim@x.test"]);
    let accepted = accept(stores, &new, Some("n")).await;
    let late = telling(&new, &accepted, 0, false);
    settle_one(stores, telling(&new, &accepted, 0, true)).await;
    assert_eq!(settle_one(stores, late).await, accepted.deliveries);
    let events = stores.other.events(new.network_message_id).await.expect("read");
    assert_eq!(events.len(), 3, "what was seen is kept");
    assert_eq!(events[2].recipient, Some(address("withheld-1@x.test")));
    let told = told(stores, &new).await;
    assert!(names_nobody(&told), "{told}");
}
