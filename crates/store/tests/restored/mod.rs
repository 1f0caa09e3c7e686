//! A server that has gone back in time, or a copy of one, is told from a server that only took over.

use std::path::Path;

use gatepost_store::{
    Accepted, ChangeLog as _, ChangeQuery, Claim, Command, Fleet as _, Leave, Member, NewMessage, PostgresSettings,
    PostgresStore, Queue as _, QueueQuery, RestorationDecision, Selection, State, StoreError,
};
use jiff::{Timestamp, ToSpan};

use crate::server::{Server, delivered, delivery, message, received, settings};

/// A database of a user who may do nothing but use it, and not even ask which server it is on.
fn of_guest(server: &Server) -> PostgresSettings {
    server.cluster.sql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'secret'").unwrap();
    let name = server.make();
    server.cluster.sql(&name, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").unwrap();
    server.cluster.sql("postgres", &format!("ALTER DATABASE {name} OWNER TO guest")).unwrap();
    settings(&server.cluster.url(&name).replace("gatepost@", "guest@"))
}

/// As the node of that folder has it.
fn with_witness(settings: &PostgresSettings, folder: &Path, node: &str) -> PostgresSettings {
    PostgresSettings { witness: Some(folder.join(node)), ..settings.clone() }
}

async fn open(settings: &PostgresSettings) -> PostgresStore {
    PostgresStore::open(settings).await.unwrap()
}

async fn claimed(store: &PostgresStore, holder: &Member) -> usize {
    let connector = "c".to_owned();
    let (limit, messages, due_for) = (100, 100, std::time::Duration::ZERO);
    let leave = Leave::default();
    let claim = Claim { connector, due_for, limit, messages, leave, holder: holder.clone() };
    store.claim(claim).await.unwrap().len()
}

/// Until the server is there again.
async fn renew(store: &PostgresStore, member: &Member) {
    loop {
        match store.renew(member, vec![]).await {
            Ok(_) => return,
            Err(StoreError::Unavailable { .. }) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What waits: by message whether it is held, and who has suspended it.
async fn waiting(store: &PostgresStore) -> Vec<(Timestamp, State, bool, Option<String>)> {
    let rows = store.list(QueueQuery { limit: 100, ..QueueQuery::default() }).await.unwrap();
    let mut rows: Vec<_> =
        rows.into_iter().map(|row| (row.message.received, row.state, row.is_held, row.suspended_by)).collect();
    rows.sort_by_key(|row| row.0);
    rows
}

/// A message that was received so many minutes ago.
fn aged(minutes: i64) -> NewMessage {
    NewMessage { received: Timestamp::now() - minutes.minutes(), ..message(b"body") }
}

async fn accept(store: &PostgresStore, new: &NewMessage, holder: Option<&Member>) -> Accepted {
    store.accept(new.clone(), holder.cloned(), vec![received(new)]).await.unwrap()
}

/// In the backup, one delivery is leased, three are queued, and one was suspended by an operator. All but that one are
/// delivered after it. A user without rights notices the restore, and answers.
async fn goes_back(recovered: bool) {
    let (mut server, folder, backup) = (Server::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plain = of_guest(&server);
    let mine = with_witness(&plain, folder.path(), "n");
    let store = open(&mine).await;
    let member = store.join("n").await.unwrap().member;
    let leased = aged(50);
    let under_way = accept(&store, &leased, Some(&member)).await;
    for minutes in [40, 30, 20] {
        accept(&store, &aged(minutes), None).await;
    }
    let suspended = NewMessage { deliveries: vec![delivery("held@x.test")], ..aged(10) };
    accept(&store, &suspended, None).await;
    let selection = Selection { recipient: Some("held@x.test".to_owned()), ..Selection::default() };
    assert_eq!(store.command(Command::Suspend, selection, "eve").await.unwrap().changed, 1);
    // As if this were another process than the one that comes back.
    let name = plain.url.rsplit('/').next().unwrap();
    server.cluster.sql(name, "UPDATE member SET process = 99999999").unwrap();
    server.cluster.base_backup(backup.path()).unwrap();
    store.settle(vec![delivered(&leased, &under_way)]).await.unwrap();
    assert_eq!(claimed(&store, &member).await, 3);
    renew(&store, &member).await;
    store.close().await;

    server.cluster.put_back(backup.path(), recovered).unwrap();
    let store = open(&mine).await;
    let member = store.join("n").await.unwrap().member;
    assert!(store.holds_restored());
    let restoration = store.restoration().await.unwrap().unwrap();
    assert_eq!((restoration.number, restoration.held, &restoration.answer), (1, 4, &None));
    let (node, until) = restoration.known.clone().unwrap();
    assert!(node == "n" && until > restoration.state_of.unwrap() && restoration.at > until);
    assert_eq!(claimed(&store, &member).await, 0);
    let states: Vec<_> = waiting(&store).await.into_iter().map(|row| (row.1, row.2)).collect();
    let held = (State::Suspended, true);
    assert_eq!(states, [held, held, held, held, (State::Suspended, false)]);
    // New mail is delivered.
    accept(&store, &aged(0), None).await;
    assert_eq!(claimed(&store, &member).await, 1);

    let since = Timestamp::now() - 25.minutes();
    let answer = async |decision, by| store.answer_restoration(decision, by).await.unwrap().unwrap();
    let first = answer(RestorationDecision::DeliverSince(since), "ann").await;
    assert_eq!((first.is_first, first.resumed), (true, 1));
    let second = answer(RestorationDecision::Hold, "bob").await;
    let changes = store.changes(ChangeQuery { limit: 10, ..ChangeQuery::default() }).await.unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.who.as_str(), change.kind.name())).collect();
    let expected = [("ann", "restore-answered"), ("node n", "store-restored"), ("eve", "queue-command")];
    assert_eq!(told, expected);
    assert_eq!((second.is_first, second.resumed), (false, 0));
    assert_eq!(second.restoration.answer.map(|answer| answer.by), Some("ann".to_owned()));
    let by = |name: &str| (State::Suspended, false, Some(name.to_owned()));
    let left: Vec<_> = waiting(&store).await.into_iter().map(|row| (row.1, row.2, row.3)).collect();
    assert_eq!(left[..3], [by("ann"), by("ann"), by("ann")]);
    assert_eq!(left[3].0, State::Queued);
    assert_eq!(left[4], by("eve"));
    renew(&store, &member).await;
    assert!(!store.holds_restored());
    store.leave(&member).await.unwrap();
    store.close().await;
    // Nothing is noticed again.
    let store = open(&mine).await;
    store.join("n").await.unwrap();
    assert_eq!(store.restoration().await.unwrap().unwrap().number, 1);
    assert!(!store.holds_restored());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_notices_that_files_were_put_back() {
    goes_back(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_notices_a_recovery_that_ended_early() {
    goes_back(true).await;
}

/// Nodes that run all the while notice it together, once, though the backup does not know them; and they stay members.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_nodes_that_run_notice_it_once() {
    let (mut server, backup) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = server.database();
    let first = open(&settings).await;
    accept(&first, &aged(1), None).await;
    server.cluster.base_backup(backup.path()).unwrap();
    let mut nodes = Vec::new();
    for number in 0..4 {
        let store = open(&settings).await;
        let member = store.join(&format!("n{number}")).await.unwrap().member;
        nodes.push((store, member));
    }
    let stranded = aged(0);
    let under_way = accept(&nodes[0].0, &stranded, Some(&nodes[0].1)).await;
    server.cluster.put_back(backup.path(), false).unwrap();
    let mut renewals = tokio::task::JoinSet::new();
    for (store, member) in nodes.clone() {
        renewals.spawn(async move { renew(&store, &member).await });
    }
    renewals.join_all().await;
    for (store, member) in &nodes {
        assert!(store.holds_restored());
        assert_eq!(claimed(store, member).await, 0);
    }
    let (store, member) = &nodes[0];
    assert_eq!(store.restoration().await.unwrap().unwrap().number, 1);
    assert_eq!(store.members().await.unwrap().iter().filter(|member| member.lives).count(), 4);
    // What is not in the backup is lost, and so is its lease.
    assert_eq!(store.settle(vec![delivered(&stranded, &under_way)]).await.unwrap(), under_way.deliveries);
    // No epoch is given out a second time.
    let newest = nodes.iter().map(|(_, member)| member.epoch()).max().unwrap();
    assert!(first.join("n9").await.unwrap().member.epoch() > newest);
    accept(store, &aged(0), None).await;
    assert_eq!(claimed(store, member).await, 1);
}

/// Another number of the database shows it, as another system identifier would. A command that comes first notices it, too.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_notices_that_it_is_a_copy() {
    let server = Server::start();
    let name = server.make();
    let store = open(&settings(&server.cluster.url(&name))).await;
    store.join("n").await.unwrap();
    accept(&store, &aged(1), None).await;
    server.cluster.dump_into(&name, "copy").unwrap();
    let copy = PostgresStore::attach(&settings(&server.cluster.url("copy"))).await.unwrap();
    let hold = async || copy.answer_restoration(RestorationDecision::Hold, "ann").await.unwrap().unwrap();
    let answered = hold().await;
    assert_eq!((answered.restoration.held, answered.restoration.known.is_none()), (1, true));
    assert!(!hold().await.is_first);
    let rows = waiting(&copy).await;
    assert_eq!((rows[0].1, rows[0].2, rows[0].3.as_deref()), (State::Suspended, false, Some("ann")));
    copy.close().await;
    let copy = open(&settings(&server.cluster.url("copy"))).await;
    copy.join("m").await.unwrap();
    assert!(!copy.holds_restored());
    // The original is what it was.
    assert_eq!(store.restoration().await.unwrap(), None);
    assert_eq!(waiting(&store).await[0].1, State::Queued);
}

/// A server that was killed, and a standby that took over, have all that was confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_took_over_was_not_restored() {
    let (mut server, folder, files) = (Server::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = server.make();
    let standby = server.cluster.standby(folder.path()).unwrap();
    let (one, two) = (server.cluster.port(), standby.port());
    let url = format!("postgres://gatepost@127.0.0.1:{one},127.0.0.1:{two}/{name}");
    let settings = with_witness(&settings(&url), files.path(), "n");
    let store = open(&settings).await;
    let member = store.join("n").await.unwrap().member;
    for _ in 0..20 {
        accept(&store, &aged(1), None).await;
        renew(&store, &member).await;
    }
    server.cluster.restart(&[]).unwrap();
    renew(&store, &member).await;
    server.cluster.stop();
    standby.promote().unwrap();
    renew(&store, &member).await;
    assert!(!store.holds_restored());
    store.leave(&member).await.unwrap();
    store.close().await;
    let store = open(&settings).await;
    let member = store.join("n").await.unwrap().member;
    assert_eq!(store.restoration().await.unwrap(), None);
    assert_eq!(claimed(&store, &member).await, 20);
    assert_eq!(
        standby.sql("postgres", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8) > '00000001'").unwrap(),
        "t"
    );
}

/// An answer that was interrupted is finished by the next one, whatever that says.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_answers_of_several_operators_are_one() {
    let server = Server::start();
    let name = server.make();
    let store = open(&settings(&server.cluster.url(&name))).await;
    let mut accepts = tokio::task::JoinSet::new();
    for _ in 0..1500 {
        let store = store.clone();
        accepts.spawn(async move { store.accept(aged(1), None, vec![]).await });
    }
    accepts.join_all().await.into_iter().for_each(|accepted| drop(accepted.unwrap()));
    assert_eq!(store.answer_restoration(RestorationDecision::Hold, "ann").await.unwrap(), None);
    store.close().await;
    server.cluster.dump_into(&name, "copy").unwrap();
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..3 {
        let copy = PostgresStore::attach(&settings(&server.cluster.url("copy"))).await.unwrap();
        let decision = RestorationDecision::DeliverSince(Timestamp::now() - 1.hour());
        let by = format!("operator {number}");
        answers.spawn(async move { copy.answer_restoration(decision, &by).await.unwrap().unwrap() });
    }
    let answers = answers.join_all().await;
    assert_eq!(answers.iter().filter(|answered| answered.is_first).count(), 1);
    assert_eq!(answers.iter().map(|answered| answered.resumed).sum::<u64>(), 1500);
    assert_eq!(server.cluster.sql("copy", "SELECT count(*) FROM queue_delivery WHERE state = 0").unwrap(), "1500");
    assert_eq!(server.cluster.sql("copy", "SELECT count(*) FROM fleet_restore").unwrap(), "1");
}
