//! What holds of the change log: each change is recorded once, with who made it, by what made it.

use trace::{
    Change, ChangeKind,
    change::{DestinationFacts, Difference, QueueAction, StartTlsOffer},
};

use super::*;

async fn changes<S: Store>(stores: &Stores<S>, query: ChangeQuery) -> Vec<Change> {
    stores.other.changes(ChangeQuery { limit: 100, ..query }).await.expect("read")
}

async fn all<S: Store>(stores: &Stores<S>) -> Vec<Change> {
    changes(stores, ChangeQuery::default()).await
}

fn names(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.kind.name()).collect()
}

pub(super) async fn an_operator_s_commands_are_recorded<S: Store>(stores: &Stores<S>) {
    accept(stores, &new_message(&["a@x.test", "b@x.test"], 100), None).await;
    accept(stores, &new_message(&["c@x.test"], 100), Some("n")).await;
    let run = async |command, recipient: Option<&str>| {
        let selection = Selection { recipient: recipient.map(str::to_owned), ..Selection::default() };
        stores.one.command(command, selection, "eve").await.expect("done");
    };
    stores.set_clock(1);
    run(Command::Retry, None).await;
    stores.set_clock(2);
    run(Command::Remove, Some("a@x.test")).await;
    // It meets nothing.
    run(Command::Remove, Some("a@x.test")).await;
    stores.set_clock(3);
    assert!(stores.one.drain("n", true, "ann").await.expect("drained"));
    assert!(stores.one.drain("n", true, "bob").await.expect("drained"));
    stores.set_clock(4);
    assert!(stores.one.drain("n", false, "bob").await.expect("resumed"));
    stores.set_clock(5);
    let plan = r#"{"from": "legacy", "to": "modern", "percent": 50, "nodes": ["n"]}"#;
    assert_eq!(stores.one.replace_plan(None, plan.to_owned(), "ann").await.expect("asked"), Some(1));
    assert_eq!(stores.one.replace_plan(None, plan.to_owned(), "bob").await.expect("asked"), None);
    let recorded = all(stores).await;
    let told = |change: &Change| (change.at, change.node.clone(), change.who.clone(), change.kind.to_string());
    let about = |second, node: Option<&str>, who: &str, text: &str| {
        (at(second), node.map(str::to_owned), who.to_owned(), text.to_owned())
    };
    assert_eq!(
        recorded.iter().map(told).collect::<Vec<_>>(),
        [
            about(5, None, "ann", "rollout from legacy to modern: 50%, moved: n"),
            about(4, Some("n"), "bob", "node resumed"),
            about(3, Some("n"), "ann", "node drained"),
            about(2, None, "eve", "queue remove (recipient withheld@x.test): 1 delivery"),
            about(1, None, "eve", "queue retry (all): 2 deliveries, 1 not changed because a node was sending them"),
        ]
    );
    let ChangeKind::QueueCommand(command) = &recorded[4].kind else { panic!("{recorded:?}") };
    assert_eq!((command.command, command.deliveries, command.leased), (QueueAction::Retry, 2, 1));
}

pub(super) async fn incidents_are_recorded_when_they_open_and_close<S: Store>(stores: &Stores<S>) {
    let turn = incidents::take(stores, "n", 10).await.expect("the first turn");
    let open = Incident {
        id: Uuid::now_v7(),
        connector: "c".to_owned(),
        destination: "mail.x.test:25".to_owned(),
        cause: "greylisted".to_owned(),
        node: "n".to_owned(),
        opened: at(10),
        last_seen: at(10),
        closed: None,
        pending: 1,
        pending_peak: 1,
        oldest: None,
        finding: "{}".to_owned(),
    };
    let closed = Incident { closed: Some((at(20), Closed::MailFlows)), ..open.clone() };
    // Each is seen twice, and recorded once.
    for incident in [&open, &open, &closed, &closed] {
        assert!(stores.one.note_incidents(turn, vec![incident.clone()], vec![]).await.expect("noted"));
    }
    // The turn is over.
    let late = Incident { id: Uuid::now_v7(), connector: "d".to_owned(), ..open };
    assert!(!stores.one.note_incidents(turn + 1, vec![late], vec![]).await.expect("asked"));
    let recorded = all(stores).await;
    assert_eq!(names(&recorded), ["incident-closed", "incident-opened"]);
    assert!(recorded.iter().all(|change| change.who == "node n" && change.node.as_deref() == Some("n")));
}

pub(super) async fn changes_are_read_in_pages_and_forgotten<S: Store>(stores: &Stores<S>) {
    let kinds = [
        ("a", ChangeKind::Started { version: "1".to_owned() }),
        ("b", ChangeKind::Started { version: "1".to_owned() }),
        ("a", ChangeKind::Stopped { unfinished: true }),
    ];
    // Two at a time.
    for (second, (node, kind)) in [(0, &kinds[0]), (5, &kinds[1]), (5, &kinds[2])] {
        stores.set_clock(second);
        stores.one.record_change(NewChange::of_node(node, kind.clone())).await.expect("recorded");
    }
    let recorded = all(stores).await;
    assert_eq!(names(&recorded), ["stopped", "started", "started"]);
    assert_eq!(recorded[0].kind, kinds[2].1);
    let mut paged = Vec::new();
    let mut after = None;
    while let [change] =
        &*stores.other.changes(ChangeQuery { limit: 1, after, ..ChangeQuery::default() }).await.expect("read")
    {
        after = Some(ChangeCursor::from(change));
        paged.push(change.clone());
    }
    assert_eq!(paged, recorded);
    let count = async |query| changes(stores, query).await.len();
    assert_eq!(count(ChangeQuery { since: Some(at(5)), ..ChangeQuery::default() }).await, 2);
    assert_eq!(count(ChangeQuery { until: Some(at(5)), ..ChangeQuery::default() }).await, 1);
    assert_eq!(count(ChangeQuery { node: Some("a".to_owned()), ..ChangeQuery::default() }).await, 2);
    let kinds = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(count(ChangeQuery { kinds: kinds(&["started"]), ..ChangeQuery::default() }).await, 2);
    assert_eq!(count(ChangeQuery { kinds: kinds(&["started", "stopped"]), ..ChangeQuery::default() }).await, 3);
    stores.set_clock(10);
    assert_eq!(stores.one.forget_changes(s(6)).await.expect("forgotten"), 1);
    assert_eq!(all(stores).await.len(), 2);
}

fn seen(starttls: StartTlsOffer, greeting: &str, last_octet: u8) -> SeenDestination {
    let facts = DestinationFacts {
        greeting: greeting.to_owned(),
        starttls,
        size: None,
        extensions: vec!["PIPELINING".to_owned()],
        certificate: None,
    };
    SeenDestination { host: "mail.x.test".to_owned(), address: ([192, 0, 2, last_octet], 25).into(), facts }
}

pub(super) async fn a_change_of_a_destination_is_recorded_once<S: Store>(stores: &Stores<S>) {
    use StartTlsOffer::{NotOffered, Offered};
    let note = async |node: &str, seen: SeenDestination| {
        stores.one.note_destinations(node, vec![seen]).await.expect("noted");
    };
    // The first sight is no change, and neither is the same once more, or another address.
    for node in ["n", "m"] {
        note(node, seen(Offered, "a", 1)).await;
        note(node, seen(Offered, "a", 1)).await;
    }
    note("n", seen(NotOffered, "a", 2)).await;
    assert_eq!(all(stores).await, []);
    stores.set_clock(60);
    // Both nodes see it.
    note("n", seen(NotOffered, "a", 1)).await;
    stores.set_clock(90);
    note("m", seen(NotOffered, "a", 1)).await;
    let recorded = all(stores).await;
    assert_eq!((names(&recorded), recorded[0].who.as_str()), (vec!["destination-changed"], "node n"));
    let ChangeKind::DestinationChanged(change) = &recorded[0].kind else { panic!("{recorded:?}") };
    assert_eq!(change.differences, [Difference::StartTls { old: Offered, new: NotOffered }]);
    // It comes back, and goes once more.
    stores.set_clock(3600);
    note("n", seen(Offered, "a", 1)).await;
    stores.set_clock(7200);
    note("n", seen(NotOffered, "a", 1)).await;
    assert_eq!(all(stores).await.len(), 3);
    // Servers that differ answer in turn: that is told a few times.
    for minute in 0..60 {
        stores.set_clock(10_000 + 60 * minute);
        note("n", seen(NotOffered, if minute % 2 == 0 { "b" } else { "a" }, 1)).await;
    }
    assert_eq!(all(stores).await.len(), 10);
    // On the next day, too.
    stores.set_clock(200_000);
    note("n", seen(NotOffered, "c", 1)).await;
    assert_eq!(all(stores).await.len(), 11);
    // What was seen last is there, by address and node.
    let known = stores.other.destinations(Some("mail.x.test"), 9).await.expect("read");
    let told = known.iter().map(|known| (known.node.as_str(), known.seen.address.ip().to_string(), known.at));
    let told: Vec<_> = told.collect();
    let about = |node, address: &str, second| (node, address.to_owned(), at(second));
    assert_eq!(told, [about("m", "192.0.2.1", 90), about("n", "192.0.2.1", 200_000), about("n", "192.0.2.2", 0)]);
    assert_eq!(known[1].seen, seen(NotOffered, "c", 1));
    assert_eq!(stores.other.destinations(None, 2).await.expect("read").len(), 2);
    assert_eq!(stores.other.destinations(Some("other.test"), 9).await.expect("read"), []);
}
