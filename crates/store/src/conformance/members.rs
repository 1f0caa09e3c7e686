//! What holds of members: one for each name, and what becomes of those that are gone.

use super::*;

pub(super) async fn a_name_has_one_living_member<S: Store>(stores: &Stores<S>) {
    let first = stores.one.join("n").await.expect("joined").member;
    stores.set_clock(29);
    let refused = stores.other.join("n").await.map(|_| ()).expect_err("refused");
    let StoreError::NameInUse { name, host, process, started } = &refused else { panic!("{refused}") };
    assert_eq!((name.as_str(), *process, *started), ("n", std::process::id(), at(0)));
    assert!(!host.is_empty());
    stores.other.join("another").await.expect("joined");
    // A member that reports is alive.
    stores.one.report(&first, NodeState::default()).await.expect("reported");
    stores.set_clock(58);
    assert!(stores.other.join("n").await.is_err());
    stores.one.leave(&first).await.expect("left");
    let second = stores.other.join("n").await.expect("joined").member;
    assert!(second.epoch() > first.epoch());
    stores.set_clock(90);
    let third = stores.one.join("n").await.expect("it was silent for too long").member;
    assert!(third.epoch() > second.epoch());
}

pub(super) async fn a_node_recovers_its_own<S: Store>(stores: &Stores<S>) {
    let own = new_message(&["a@x.test"], 0);
    accept(stores, &own, Some("n")).await;
    let foreign = new_message(&["a@x.test"], 0);
    accept(stores, &foreign, Some("m")).await;
    stores.one.leave(&stores.member("n").await).await.expect("left");
    assert_eq!(stores.other.join("n").await.expect("joined").taken_back, 1);
    assert_eq!(states(stores, &own).await, [State::Queued]);
    assert_eq!(states(stores, &foreign).await, [State::Leased]);
    assert_eq!(events_of(stores, &own).await, ["received", "interrupted"]);
}

/// It may be cut off only, and go on with what it holds. Where leases last longer than a name, the name is free before.
pub(super) async fn a_silent_member_keeps_its_leases_until_they_end<S: Store>(stores: &Stores<S>) {
    let messages = [new_message(&["a@x.test"], 0), new_message(&["b@x.test"], 0)];
    let held = [accept(stores, &messages[0], Some("n")).await, accept(stores, &messages[1], Some("n")).await];
    stores.set_clock(MEMBER_VALID.as_secs() as i64 - 1);
    assert!(stores.other.join("n").await.is_err());
    assert_eq!(settle_one(stores, settlement(&held[0], 0, delivered())).await, []);
    if stores.one.lease_term() > MEMBER_VALID {
        stores.set_clock(MEMBER_VALID.as_secs() as i64 + 1);
        assert_eq!(stores.other.join("n").await.expect("joined").taken_back, 0);
    }
    stores.set_clock(stores.term() + 1);
    assert_eq!(stores.other.join("n").await.expect("joined").taken_back, 1);
    assert_eq!(states(stores, &messages[1]).await, [State::Queued]);
}

pub(super) async fn a_member_that_was_replaced_reports_no_more<S: Store>(stores: &Stores<S>) {
    let old = stores.one.join("n").await.expect("joined").member;
    stores.set_clock(40);
    let new = stores.other.join("n").await.expect("joined").member;
    let state = |version| NodeState { plan_version: Some(version), ..NodeState::default() };
    stores.other.report(&new, state(2)).await.expect("reported");
    let refused = stores.one.report(&old, state(1)).await.expect_err("refused");
    assert!(matches!(refused, StoreError::NameInUse { started, .. } if started == at(40)), "{refused}");
    assert_eq!(stores.other.reports().await.expect("read")[0].plan_version, Some(2));
    stores.other.leave(&new).await.expect("left");
    assert!(stores.other.report(&new, state(3)).await.is_err());
}

pub(super) async fn a_drained_node_stays_drained<S: Store>(stores: &Stores<S>) {
    assert!(!stores.one.drain("n", true, "who").await.expect("asked"), "nobody has joined under that name");
    let joined = stores.one.join("n").await.expect("joined");
    assert!(!joined.is_drained);
    let report = async |member: &Member| stores.one.report(member, NodeState::default()).await.expect("reported");
    assert!(!report(&joined.member).await);
    stores.set_clock(1);
    assert!(stores.other.drain("n", true, "who").await.expect("drained"));
    stores.set_clock(2);
    // The first one counts.
    assert!(stores.other.drain("n", true, "another").await.expect("drained"));
    assert!(report(&joined.member).await);
    stores.other.join("m").await.expect("joined");
    let members = stores.other.members().await.expect("read");
    let drained: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.drained.clone())).collect();
    assert_eq!(drained, [("m", None), ("n", Some(Drained { at: at(1), by: "who".to_owned() }))]);
    assert!(members.iter().all(|member| member.lives && !member.has_left && member.process == std::process::id()));
    stores.one.leave(&joined.member).await.expect("left");
    let again = stores.one.join("n").await.expect("joined");
    assert!(again.is_drained, "also after a restart");
    assert!(stores.other.drain("n", false, "who").await.expect("resumed"));
    assert!(!report(&again.member).await);
    stores.set_clock(60);
    let members = stores.other.members().await.expect("read");
    assert!(members.iter().all(|member| !member.lives && !member.has_left), "both are silent");
}
