//! What holds of bodies.

use super::*;

pub(super) async fn bodies_live_as_long_as_they_are_needed<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    assert_eq!(stores.other.read_body(accepted.message, 0).await.expect("read"), Some(Bytes::from_static(b"body")));
    assert_eq!(stores.other.read_body(accepted.message, 1).await.expect("read"), None);
    settle_one(stores, settlement(&accepted, 0, delivered())).await;
    assert!(record(stores, &new).await.body_present, "one delivery still needs it");
    settle_one(stores, settlement(&accepted, 1, failed())).await;
    assert!(!record(stores, &new).await.body_present);
    assert!(!is_there(&stores.other, accepted.message).await);
}

/// The end of a message is told only if the message is there.
async fn is_there<S: Store>(store: &S, message: MessageKey) -> bool {
    match store.read_body(message, 0).await {
        Ok(piece) => piece.is_some(),
        Err(StoreError::NotQueued) => false,
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn large_bodies_come_back_piece_by_piece<S: Store>(stores: &Stores<S>) {
    let member = stores.member("n").await;
    let body = stores.one.new_body(&member).await.expect("a key");
    for (sequence, piece) in [b"one".as_slice(), b"two", b"three"].into_iter().enumerate() {
        stores.one.append_body(body, sequence as u32, Bytes::from_static(piece)).await.expect("appended");
    }
    let mut new = new_message(&["a@x.test"], 0);
    new.content = Content::Stored(body);
    let accepted = accept(stores, &new, None).await;
    assert_eq!(accepted.message, body.message);
    for (sequence, piece) in [Some("one"), Some("two"), Some("three"), None].into_iter().enumerate() {
        let read = stores.other.read_body(accepted.message, sequence as u32).await.expect("read");
        assert_eq!(read, piece.map(|piece| Bytes::from_static(piece.as_bytes())));
    }
    let unwanted = stores.one.new_body(&member).await.expect("a key");
    stores.one.append_body(unwanted, 0, Bytes::from_static(b"x")).await.expect("appended");
    stores.one.discard_body(unwanted).await.expect("discarded");
    assert!(!is_there(&stores.other, unwanted.message).await);
}

pub(super) async fn what_dead_members_left_is_swept<S: Store>(stores: &Stores<S>) {
    let (dead, living) = (stores.member("dead").await, stores.member("living").await);
    let piece = || Bytes::from_static(b"x");
    let mut bodies = Vec::new();
    for member in [&dead, &living] {
        let body = stores.one.new_body(member).await.expect("a key");
        stores.one.append_body(body, 0, piece()).await.expect("appended");
        bodies.push(body);
    }
    stores.set_clock(40);
    stores.other.report(&living, NodeState::default()).await.expect("reported");
    stores.other.join("another").await.expect("joined");
    let there = async |body: BodyKey| is_there(&stores.other, body.message).await;
    assert!(!there(bodies[0]).await, "its member is taken for dead");
    assert!(there(bodies[1]).await, "another node's upload is under way");
    // The member was cut off only: it must not go on with half a body.
    assert!(stores.one.append_body(bodies[0], 1, piece()).await.is_err());
    let message = |body| NewMessage { content: Content::Stored(body), ..new_message(&["a@x.test"], 0) };
    let half = message(bodies[0]);
    assert!(stores.one.accept(half.clone(), None, vec![]).await.is_err());
    assert_eq!(stores.other.message(half.network_message_id).await.expect("read"), None);
    stores.one.append_body(bodies[1], 1, piece()).await.expect("appended");
    stores.one.accept(message(bodies[1]), None, vec![]).await.expect("accepted");
    assert!(there(bodies[1]).await);
}

pub(super) async fn cleaning_leaves_what_is_needed<S: Store>(stores: &Stores<S>) {
    let (kept, done) = (new_message(&["a@x.test"], 0), new_message(&["a@x.test", "b@x.test"], 0));
    let accepted = [accept(stores, &kept, None).await, accept(stores, &done, Some("n")).await];
    let upload = stores.one.new_body(&stores.member("n").await).await.expect("a key");
    stores.one.append_body(upload, 0, Bytes::from_static(b"x")).await.expect("appended");
    settle_one(stores, settlement(&accepted[1], 0, delivered())).await;
    let there = async |message: MessageKey| is_there(&stores.one, message).await;
    stores.other.clean_bodies().await.expect("cleaned");
    assert!(there(accepted[0].message).await && there(accepted[1].message).await && there(upload.message).await);
    settle_one(stores, settlement(&accepted[1], 1, delivered())).await;
    assert!(!there(accepted[1].message).await, "nothing needs it");
    stores.other.clean_bodies().await.expect("cleaned");
    assert!(there(accepted[0].message).await && there(upload.message).await);
    stores.one.discard_body(upload).await.expect("discarded");
    stores.other.clean_bodies().await.expect("cleaned");
    assert!(there(accepted[0].message).await && !there(upload.message).await);
}
