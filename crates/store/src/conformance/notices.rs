//! What holds of notices to senders.

use super::*;

fn owed(settlement: Settlement, action: NoticeAction) -> Settlement {
    Settlement { notice: Some(action), ..settlement }
}

/// A notice about the failure of deliveries, of which one address gets two within 1,000 seconds.
fn notice_of(message: MessageKey, deliveries: Vec<DeliveryKey>, to: &str) -> Telling {
    let notice = NewMessage { envelope: Envelope::from(ReversePath::Null), ..new_message(&[to], 0) };
    Telling { message, action: NoticeAction::Failed, deliveries, notice, sent_max: 2, sent_within: s(1_000) }
}

pub(super) async fn one_notice_tells_of_all_that_failed<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test", "b@x.test", "c@x.test", "d@x.test"], 500);
    let accepted = accept(stores, &new, None).await;
    let claimed = claimed(stores, "n", 500, 3).await;
    assert_eq!(keys_of(&claimed), accepted.deliveries[..3]);
    let accepted = Accepted { lease: Some(claimed[0].lease), ..accepted };
    let untold = async |now, waited| {
        stores.set_clock(now);
        stores.other.untold(s(waited), 10).await.expect("read")
    };
    stores.set_clock(600);
    settle_one(stores, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed)).await;
    assert_eq!(untold(600, 600).await, vec![], "two are being sent, one is due");
    assert_eq!(untold(600, 0).await.len(), 1, "it has waited for the others long enough");
    settle_one(stores, settlement(&accepted, 1, delivered())).await;
    stores.set_clock(601);
    settle_one(stores, owed(settlement(&accepted, 2, deferred(9_000)), NoticeAction::Delayed)).await;
    assert_eq!(untold(601, 600).await, vec![], "one is due for its first attempt");
    let found = untold(499, 600).await;
    let deliveries: Vec<_> =
        found[0].deliveries.iter().map(|(action, record)| (*action, record.delivery.key)).collect();
    let [first, _, third, _] = accepted.deliveries[..] else { panic!("four deliveries") };
    assert_eq!(deliveries, [(NoticeAction::Failed, first), (NoticeAction::Delayed, third)]);
    assert_eq!(found[0].message, record(stores, &new).await.message);

    let telling = notice_of(accepted.message, vec![first, third], "s@out.test");
    let (n, m) = (stores.member("n").await, stores.member("m").await);
    stores.set_clock(2_000);
    assert_eq!(stores.one.tell(&n, telling.clone()).await.expect("told"), Told::Queued);
    assert_eq!(stores.other.tell(&m, telling.clone()).await.expect("told"), Told::Nothing, "it was told already");
    let notice = record(stores, &telling.notice).await;
    assert_eq!((&notice.message.envelope.sender, notice.deliveries[0].state), (&ReversePath::Null, State::Queued));
    assert!(notice.body_present);
    assert_eq!(events_of(stores, &new).await, ["received", "notified"], "the third is owed another notice");
    let left: Vec<_> = untold(499, 600).await[0].deliveries.iter().map(|(action, _)| *action).collect();
    assert_eq!(left, [NoticeAction::Delayed]);
}

pub(super) async fn notices_to_one_address_are_limited<S: Store>(stores: &Stores<S>) {
    let member = stores.member("n").await;
    let tell = async |to: &str, now: i64| {
        stores.set_clock(now);
        let new = new_message(&["a@x.test"], 0);
        let accepted = accept(stores, &new, Some("n")).await;
        settle_one(stores, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed)).await;
        let told = notice_of(accepted.message, accepted.deliveries, to);
        (stores.one.tell(&member, told).await.expect("told"), events_of(stores, &new).await)
    };
    assert_eq!(tell("s@out.test", 2_000).await.0, Told::Queued);
    assert_eq!(tell("S@Out.Test", 2_500).await.0, Told::Queued);
    assert_eq!(tell("s@out.test", 2_999).await, (Told::Withheld, vec!["received", "notice-withheld"]));
    assert_eq!(tell("another@out.test", 2_999).await.0, Told::Queued);
    assert_eq!(tell("s@out.test", 3_001).await.0, Told::Queued, "the first was sent long enough ago");
    assert_eq!(tell("s@out.test", 3_002).await.0, Told::Withheld);
}

pub(super) async fn a_body_is_kept_until_the_sender_is_told<S: Store>(stores: &Stores<S>) {
    let new = new_message(&["a@x.test"], 0);
    let accepted = accept(stores, &new, Some("n")).await;
    settle_one(stores, owed(settlement(&accepted, 0, failed()), NoticeAction::Failed)).await;
    assert!(record(stores, &new).await.body_present, "the notice quotes its header");
    stores.set_clock(1_000_000);
    assert_eq!(stores.one.forget(Duration::ZERO, 10).await.expect("forgotten"), 0);
    let telling = notice_of(accepted.message, accepted.deliveries, "s@out.test");
    stores.one.tell(&stores.member("n").await, telling).await.expect("told");
    assert!(!record(stores, &new).await.body_present);
}
