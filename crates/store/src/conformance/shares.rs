//! What holds of limits: nodes together never have more than the limit, and all of it is used.

use super::*;

fn demand(connector: &str, wanted: u32, bound: u32) -> Demand {
    Demand { connector: connector.to_owned(), concurrency: 8, wanted, bound, interval: None, messages: 0 }
}

async fn share<S: Store>(store: &S, member: &Member, demand: Demand) -> Share {
    store.share(member, vec![demand]).await.expect("shared").remove(0)
}

/// Where the other node has its store. The embedded store has its shares in the process that has the folder.
fn other<S: Store>(stores: &Stores<S>) -> &S {
    if stores.one.lease_term() > MEMBER_VALID { &stores.one } else { &stores.other }
}

pub(super) async fn limits_hold_for_all_nodes<S: Store>(stores: &Stores<S>) {
    let (a, b) = (stores.member("a").await, stores.member("b").await);
    assert_eq!(share(&stores.one, &a, demand("c", 8, 0)).await.connections, 8);
    assert_eq!(share(other(stores), &b, demand("c", 8, 0)).await.connections, 0);
    // Another connector has limits of its own.
    assert_eq!(share(other(stores), &b, demand("d", 8, 0)).await.connections, 8);
    assert_eq!(share(&stores.one, &a, demand("c", 8, 8)).await.connections, 4);
    assert_eq!(share(&stores.one, &a, demand("c", 8, 4)).await.connections, 4);
    assert_eq!(share(other(stores), &b, demand("c", 8, 0)).await.connections, 4);
    // One that is silent may still have connections open.
    stores.set_clock(29);
    assert_eq!(share(other(stores), &b, demand("c", 8, 4)).await.connections, 4);
    stores.set_clock(30);
    assert_eq!(share(other(stores), &b, demand("c", 8, 4)).await.connections, 8);
    stores.one.leave(&b).await.expect("left");
    assert_eq!(share(&stores.one, &a, demand("c", 8, 0)).await.connections, 8);
    let both = stores.one.share(&a, vec![demand("d", 1, 1), demand("c", 0, 8)]).await.expect("shared");
    let given: Vec<_> = both.iter().map(|share| (share.connector.as_str(), share.connections)).collect();
    assert_eq!(given, [("d", 8), ("c", 0)], "what b had of d is free, and what nobody wants of it is for all");
}

pub(super) async fn slots_of_a_rate_are_for_one_node_each<S: Store>(stores: &Stores<S>) {
    let (a, b) = (stores.member("a").await, stores.member("b").await);
    let under_rate = |messages| Demand { interval: Some(s(60)), messages, ..demand("c", 1, 1) };
    let given = async |store: &S, member: &Member| {
        let Share { slots, first_in, next_in, .. } = share(store, member, under_rate(3)).await;
        (slots, first_in, next_in)
    };
    assert_eq!(given(&stores.one, &a).await, (1, s(0), s(60)));
    assert_eq!(given(other(stores), &b).await, (0, s(60), s(60)));
    stores.set_clock(59);
    assert_eq!(given(other(stores), &b).await, (1, s(1), s(61)));
    assert_eq!(given(&stores.one, &a).await, (0, s(61), s(61)));
}

/// The sum of what many nodes hold is asked for at once.
pub(super) async fn a_storm_of_demands_stays_within_the_limit<S: Store>(stores: &Stores<S>) {
    let mut members = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        members.push(stores.member(name).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (index, member) in members.into_iter().enumerate() {
        let store = if index % 2 == 0 { stores.one.clone() } else { other(stores).clone() };
        tasks.spawn(async move {
            let mut has = 0;
            for _ in 0..20 {
                has = share(&store, &member, demand("c", 8, has)).await.connections;
            }
            has
        });
    }
    let held: u32 = tasks.join_all().await.into_iter().sum();
    assert!(held <= 8, "{held}");
}
