//! What holds of reports, plans, the ledger and inquiries.

use super::*;

pub(super) async fn reports_replace_each_other<S: Store>(stores: &Stores<S>) {
    let report = |node: &str, second| NodeReport {
        node: node.to_owned(),
        at: at(second),
        plan_version: Some(second as u64),
        plan_at: Some(at(second)),
        version: "1.2.3".to_owned(),
        addresses: vec![([192, 0, 2, 1], 25).into()],
        is_drained: true,
        held: second as u64,
        configuration: Following {
            id: Some(ConfigurationId { version: 6, at: at(second) }),
            refused: (second == 2).then(|| RefusedConfiguration {
                id: ConfigurationId { version: 7, at: at(second) },
                why: vec!["no file".to_owned()],
            }),
        },
        ..NodeReport::default()
    };
    for (node, second) in [("b", 1), ("a", 2), ("b", 3)] {
        stores.set_clock(second);
        let NodeReport {
            connectors, plan_version, plan_at, version, addresses, is_drained, held, configuration, ..
        } = report(node, second);
        let state =
            NodeState { connectors, plan_version, plan_at, version, addresses, is_drained, held, configuration };
        stores.one.report(&stores.member(node).await, state).await.expect("reported");
    }
    let mut reports = stores.other.reports().await.expect("read");
    // The engine's own.
    reports.iter_mut().for_each(|report| report.schema = None);
    assert_eq!(reports, vec![report("a", 2), report("b", 3)]);
}

pub(super) async fn plans_replace_each_other_in_order<S: Store>(stores: &Stores<S>) {
    assert_eq!(stores.other.plan().await.expect("read"), None);
    stores.set_clock(1);
    let set = async |before, plan: &str| stores.one.replace_plan(before, plan.to_owned(), "who").await.expect("asked");
    assert_eq!(set(None, "one").await, Some(1));
    // Somebody else was first.
    assert_eq!(set(None, "other").await, None);
    assert_eq!(set(Some(2), "other").await, None);
    assert_eq!(set(Some(1), "two").await, Some(2));
    let stored = |version, plan: &str| StoredPlan { version, at: at(1), by: "who".to_owned(), plan: plan.to_owned() };
    assert_eq!(stores.other.plan().await.expect("read"), Some(stored(2, "two")));
    assert_eq!(stores.other.plans().await.expect("read"), [stored(2, "two"), stored(1, "one")]);
}

pub(super) async fn weak_deliveries_are_counted_by_destination<S: Store>(stores: &Stores<S>) {
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
        let accepted = accept(stores, &new, Some("n")).await;
        settle_one(stores, Settlement { weak: Some(weak), ..settlement(&accepted, 0, delivered()) }).await;
    }
    // A lease that was lost says nothing.
    let accepted = accept(stores, &new_message(&["a@x.test"], 1), None).await;
    let unheard = weak([192, 0, 2, 1], None, Weakness::StartTlsNotOffered, 90);
    settle_one(stores, Settlement { weak: Some(unheard), ..settlement(&accepted, 0, delivered()) }).await;
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
    assert_eq!(stores.other.ledger().await.expect("read"), expected);
}

pub(super) async fn inquiries_are_taken_once_and_answered<S: Store>(stores: &Stores<S>) {
    let ask = async |node: &str, second| {
        stores.set_clock(second);
        let inquiry = Inquiry { id: Uuid::now_v7(), node: node.to_owned(), question: "{}".to_owned() };
        stores.one.ask(vec![inquiry.clone()]).await.expect("asked");
        inquiry
    };
    let asked = [ask("a", 1).await, ask("a", 100).await, ask("b", 100).await, ask("a", 101).await];
    let member = stores.member("a").await;
    let take = async |limit| stores.other.take_inquiries(&member, s(11), limit).await.expect("taken");
    assert_eq!(take(1).await, [asked[1].clone()]);
    assert_eq!(take(9).await, [asked[3].clone()]);
    assert_eq!(take(9).await, []);
    stores.one.answer(asked[1].id, "{\"works\": true}".to_owned()).await.expect("answered");
    let ids = vec![asked[3].id, asked[1].id];
    let expected = [(asked[1].id, "{\"works\": true}".to_owned())];
    assert_eq!(stores.other.answers(ids.clone()).await.expect("read"), expected);
    // Hours later nobody waits any more.
    stores.set_clock(90_000);
    stores.one.ask(Vec::new()).await.expect("asked");
    assert_eq!(stores.other.answers(ids).await.expect("read"), []);
}
