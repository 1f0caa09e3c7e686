//! What holds of one pass over the queue, and of ids by their beginning.

use super::*;

/// A row as this check remembers it.
type Met = Vec<(MessageKey, State, Option<Failure>)>;

pub(super) async fn met<S: Store>(stores: &Stores<S>, selection: Selection) -> Met {
    let add = |met: &mut Met, row: &QueueRow<'_>| met.push((row.message, row.state, row.failure.cloned()));
    stores.other.fold_queue(selection, Met::new(), add).await.expect("folded")
}

pub(super) async fn one_pass_meets_what_waits<S: Store>(stores: &Stores<S>) {
    let lease = || Some("n");
    let done = accept(stores, &new_message(&["a@x.test"], 0), lease()).await;
    let first = accept(stores, &new_message(&["a@x.test", "b@x.test"], 0), lease()).await;
    let second = accept(stores, &new_message(&["c@y.test"], 30), None).await;
    settle_one(stores, settlement(&done, 0, delivered())).await;
    settle_one(stores, settlement(&first, 1, deferred(60))).await;
    let expected = [
        (first.message, State::Leased, None),
        (first.message, State::Queued, Some(failure())),
        (second.message, State::Queued, None),
    ];
    assert_eq!(met(stores, Selection::default()).await, expected, "the deliveries of a message follow each other");
    let selection = Selection { recipient: Some("@y.test".to_owned()), ..Selection::default() };
    assert_eq!(met(stores, selection).await, expected[2..]);
}

pub(super) async fn ids_are_found_by_their_beginning<S: Store>(stores: &Stores<S>) {
    let mut ids = Vec::new();
    for number in [0x10, 0x11, 0x20u8] {
        let mut new = new_message(&["a@x.test"], 0);
        new.network_message_id = Uuid::from_bytes([number; 16]);
        ids.push(new.network_message_id);
        accept(stores, &new, None).await;
    }
    let found = async |first: u8, last: u8, limit| {
        let (first, last) = (Uuid::from_bytes([first; 16]), Uuid::from_bytes([last; 16]));
        stores.other.ids_between(first, last, limit).await.expect("read")
    };
    assert_eq!(found(0x10, 0x1f, 9).await, ids[..2]);
    assert_eq!(found(0x11, 0x11, 9).await, ids[1..2]);
    assert_eq!(found(0, 0xff, 2).await, ids[..2]);
    assert!(found(0x30, 0xff, 9).await.is_empty());
}
