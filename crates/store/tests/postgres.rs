//! What holds for the fleet's store beyond the contract: what it refuses, and what it knows after a connection was lost.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod outside;
mod replaced;
mod restored;
mod server;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use gatepost_store::{
    Backend, ChangeLog as _, ChangeQuery, Clock, Command, ConfigurationRecord, Fleet as _, History as _, Holding,
    NewConfiguration, NewMessage, PostgresError, PostgresSettings, PostgresStore, PostgresTls, Queue as _, Selection,
    State, StoreError, TraceQuery, conformance,
};
use lab::{Device, Identity};
use server::{
    Server, delivered, delivery, member, message, received,
    relay::{Cut, Relay},
    settings,
};
use trace::change::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    keeps_the_contract(&Server::start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_postgres_18_keeps_the_contract() {
    let server = Server::start_18();
    assert!(server.cluster.sql("postgres", "SHOW server_version").unwrap().starts_with("18"));
    keeps_the_contract(&server).await;
}

async fn keeps_the_contract(server: &Server) {
    let make = async || {
        let (settings, clock) = (server.database(), Clock::system());
        let one = PostgresStore::open_by(&settings, clock.clone()).await.unwrap();
        let other = PostgresStore::attach_by(&settings, clock.clone()).await.unwrap();
        conformance::Stores::new(Backend::Postgres(one), Backend::Postgres(other), clock)
    };
    conformance::run(make).await;
}

/// Each is also kept if one node does everything.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract_through_one_store() {
    let server = Server::start();
    let make = async || {
        let (settings, clock) = (server.database(), Clock::system());
        let store = PostgresStore::open_by(&settings, clock.clone()).await.unwrap();
        conformance::Stores::new(store.clone(), store, clock)
    };
    conformance::run(make).await;
}

/// A store whose connections go through a relay.
async fn relayed(server: &Server) -> (PostgresStore, Relay) {
    relayed_by(server, |settings| settings).await
}

/// The same with other settings.
async fn relayed_by(
    server: &Server,
    with: impl FnOnce(PostgresSettings) -> PostgresSettings,
) -> (PostgresStore, Relay) {
    let (name, relay) = (server.make(), Relay::start(server.cluster.port()));
    let url = format!("postgres://gatepost@127.0.0.1:{}/{name}", relay.port());
    (PostgresStore::open(&with(settings(&url))).await.unwrap(), relay)
}

async fn events_of(store: &PostgresStore, message: &NewMessage) -> Vec<&'static str> {
    let events = store.events(message.network_message_id).await.unwrap();
    events.iter().map(|event| event.kind.name()).collect()
}

/// Its statement commits by itself: the server may have seen it or not.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_accepts_once_though_the_connection_is_lost() {
    let server = Server::start();
    let (store, relay) = relayed(&server).await;
    let member = member(&store).await;
    // The statement is prepared.
    store.accept(message(b"first"), None, vec![]).await.unwrap();
    for how in [Cut::Before, Cut::After] {
        let new = message(b"the body that is cut");
        relay.cut(b"the body that is cut", how);
        let accepted = store.accept(new.clone(), Some(member.clone()), vec![received(&new)]).await.unwrap();
        assert!(relay.has_cut());
        assert!(accepted.lease.is_some(), "{how:?}");
        let record = store.message(new.network_message_id).await.unwrap().unwrap();
        assert_eq!((record.message.key, record.deliveries.len()), (accepted.message, 1), "{how:?}");
        assert_eq!(events_of(&store, &new).await, ["received"], "{how:?}");
        assert_eq!(store.settle(vec![delivered(&new, &accepted)]).await.unwrap(), [], "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_settles_once_though_the_connection_is_lost_at_commit() {
    let server = Server::start();
    let (store, relay) = relayed(&server).await;
    let member = member(&store).await;
    for how in [Cut::Before, Cut::After] {
        let mut new = message(b"body");
        new.deliveries.push(delivery("b@x.test"));
        let accepted = store.accept(new.clone(), Some(member.clone()), vec![received(&new)]).await.unwrap();
        let mut results = vec![delivered(&new, &accepted)];
        for (index, expected) in [(0, State::Leased), (1, State::Delivered)] {
            results[0].delivery = accepted.deliveries[index];
            results[0].events = vec![received(&new)];
            relay.cut(b"COMMIT", how);
            assert_eq!(store.settle(results.clone()).await.unwrap(), [], "{how:?}: it was this very call that settled");
            assert!(relay.has_cut());
            let record = store.message(new.network_message_id).await.unwrap().unwrap();
            assert_eq!((record.deliveries[0].state, record.deliveries[1].state), (State::Delivered, expected));
            assert_eq!(record.body_present, index == 0);
            assert_eq!(store.settle(results.clone()).await.unwrap(), [accepted.deliveries[index]], "a second call");
        }
        assert_eq!(events_of(&store, &new).await, ["received"; 3], "{how:?}");
    }
}

/// Of what cannot be repeated, another connection asks whether it was committed.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_knows_whether_a_lost_commit_was_done() {
    let server = Server::start();
    let (store, relay) = relayed(&server).await;
    let mut new = message(b"body");
    new.deliveries.push(delivery("b@x.test"));
    store.accept(new.clone(), None, vec![]).await.unwrap();
    let remove = async |recipient: &str| {
        let selection = Selection { recipient: Some(recipient.to_owned()), ..Selection::default() };
        store.command(Command::Remove, selection, "eve").await
    };
    relay.cut(b"COMMIT", Cut::After);
    assert_eq!(remove("a@x.test").await.unwrap().changed, 1);
    relay.cut(b"COMMIT", Cut::Before);
    let undone = remove("b@x.test").await.unwrap_err();
    assert!(matches!(undone, StoreError::Unavailable { .. }), "{undone}");
    let record = store.message(new.network_message_id).await.unwrap().unwrap();
    let states: Vec<State> = record.deliveries.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [State::Removed, State::Queued]);
    assert_eq!(remove("b@x.test").await.unwrap().changed, 1);
}

/// Takes ten seconds: that is the time a commit is given.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_does_not_answer_is_given_up() {
    let server = Server::start();
    let (store, relay) = relayed(&server).await;
    let new = message(b"never answered");
    relay.cut(b"never answered", Cut::Silent);
    let error = store.accept(new.clone(), None, vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    // Asking again tells.
    let accepted = store.accept(new.clone(), None, vec![]).await.unwrap();
    let record = store.message(new.network_message_id).await.unwrap().unwrap();
    assert_eq!((record.message.key, record.deliveries.len()), (accepted.message, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_gone_changes_nothing_until_it_is_back() {
    let mut server = Server::start();
    let store = PostgresStore::open(&server.database()).await.unwrap();
    let kept = store.accept(message(b"kept"), None, vec![]).await.unwrap();
    server.cluster.stop();
    let error = store.accept(message(b"refused"), None, vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(matches!(store.counts().await, Err(StoreError::Unavailable { .. })));
    server.cluster.restart(&[]).unwrap();
    let accepted = loop {
        match store.accept(message(b"new"), None, vec![]).await {
            Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            accepted => break accepted.unwrap(),
        }
    };
    let rows = store.trace(TraceQuery { limit: 9, ..TraceQuery::default() }).await.unwrap();
    let keys: Vec<_> = rows.iter().map(|row| row.message.key).collect();
    assert_eq!(keys, [accepted.message, kept.message]);
}

/// PostgreSQL reports such a commit as done, with a warning.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_its_standby_has_accepted_nothing() {
    let mut server = Server::start();
    let settings = server.database();
    let store = PostgresStore::open(&settings).await.unwrap();
    let member = member(&store).await;
    let before = message(b"before");
    let held = store.accept(before.clone(), Some(member.clone()), vec![]).await.unwrap();
    // A reload would reach the server's processes some time later, and one that has not read it waits for no standby.
    server.cluster.restart(&["synchronous_standby_names=nobody"]).unwrap();
    let store = PostgresStore::attach(&settings).await.unwrap();
    let sql = |sql: &str| server.cluster.sql("postgres", sql).unwrap();
    let wait = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let new = message(b"not on a standby");
    let accepting = {
        let (store, new) = (store.clone(), new.clone());
        async move { store.accept(new, None, vec![]).await.map(drop) }
    };
    let settling = {
        let (store, result) = (store.clone(), delivered(&before, &held));
        async move { store.settle(vec![result]).await.map(drop) }
    };
    let tasks = [tokio::spawn(accepting), tokio::spawn(settling)];
    while !tasks.iter().all(|task| task.is_finished()) {
        sql(wait);
    }
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    }
    // Until that is on a standby, nothing more is written: a client that tries again and again would get a copy each time.
    for new in [new.clone(), message(b"the same mail from its client again")] {
        let store = store.clone();
        let again = tokio::spawn(async move { store.accept(new, None, vec![]).await });
        while !again.is_finished() {
            sql(wait);
        }
        let error = again.await.unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    assert_eq!(server.cluster.sql("test_0", "SELECT count(*) FROM queue_message").unwrap(), "1");
    server.cluster.restart(&[]).unwrap();
    let store = PostgresStore::attach(&settings).await.unwrap();
    let accepted = store.accept(new.clone(), None, vec![]).await.unwrap();
    assert_eq!(store.message(new.network_message_id).await.unwrap().unwrap().message.key, accepted.message);
}

/// A primary that was cut off accepts writes still, beside the standby that was promoted: what it takes is lost.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_was_promoted_last_is_used() {
    let mut server = Server::start();
    let name = server.make();
    PostgresStore::open(&settings(&server.cluster.url(&name))).await.unwrap().close().await;
    let folder = tempfile::tempdir().unwrap();
    let promoted = server.cluster.promoted_copy(folder.path()).unwrap();
    let (old, new) = (server.cluster.port(), promoted.port());
    for (first, second) in [(old, new), (new, old)] {
        let url = format!("postgres://gatepost@127.0.0.1:{first},127.0.0.1:{second}/{name}");
        let store = PostgresStore::open(&settings(&url)).await.unwrap();
        store.accept(message(b"body"), None, vec![]).await.unwrap();
        store.close().await;
    }
    let count = "SELECT count(*) FROM queue_message";
    assert_eq!(promoted.sql(&name, count).unwrap(), "2");
    assert_eq!(server.cluster.sql(&name, count).unwrap(), "0");
}

/// Which of them has the mail, nobody can tell.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_hosts_of_two_clusters_are_refused() {
    let [one, other] = [Server::start(), Server::start()];
    let database = one.make();
    assert_eq!(other.make(), database);
    let url =
        format!("postgres://gatepost@127.0.0.1:{},127.0.0.1:{}/{database}", one.cluster.port(), other.cluster.port());
    let refused = PostgresStore::open(&settings(&url)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StoreError::Postgres(PostgresError::TwoSystems { .. })), "{refused}");
}

/// Rows that are locked when a node joins are left alone then.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_leases_of_an_earlier_member_end() {
    let server = Server::start();
    let store = PostgresStore::open(&server.database()).await.unwrap();
    let first = store.join("n").await.unwrap().member;
    let new = message(b"body");
    let accepted = store.accept(new.clone(), Some(first.clone()), vec![]).await.unwrap();
    store.leave(&first).await.unwrap();
    let second = store.join("n").await.unwrap().member;
    let lease = accepted.lease.unwrap().0;
    let sql = format!("UPDATE queue_delivery SET state = 1, lease_node = 'n', lease = {lease}");
    server.cluster.sql("test_0", &sql).unwrap();
    // The earlier member holds nothing, whatever it thinks.
    let held =
        accepted.deliveries.iter().map(|delivery| Holding { delivery: *delivery, lease: accepted.lease.unwrap() });
    let refused = store.renew(&first, held.collect()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotAMember { .. }), "{refused}");
    assert_eq!(store.renew(&second, vec![]).await.unwrap(), []);
    let record = store.message(new.network_message_id).await.unwrap().unwrap();
    assert_eq!(record.deliveries[0].state, State::Queued);
    assert_eq!(events_of(&store, &new).await, ["interrupted", "interrupted"]);
}

/// It takes connections, and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_found_behind_a_host_that_hangs() {
    let server = Server::start();
    let name = server.make();
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (first, second) = (silent.local_addr().unwrap().port(), server.cluster.port());
    let url = format!("postgres://gatepost@127.0.0.1:{first},127.0.0.1:{second}/{name}");
    let store = PostgresStore::open(&settings(&url)).await.unwrap();
    store.accept(message(b"body"), None, vec![]).await.unwrap();
}

/// More than one transaction changes, and more than one page is read.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_changes_and_counts_a_long_queue_in_parts() {
    let server = Server::start();
    let store = PostgresStore::open(&server.database()).await.unwrap();
    let mut accepts = tokio::task::JoinSet::new();
    for _ in 0..2100 {
        let store = store.clone();
        accepts.spawn(async move { store.accept(message(b"body"), None, vec![]).await });
    }
    accepts.join_all().await.into_iter().for_each(|accepted| drop(accepted.unwrap()));
    let command = async |command| store.command(command, Selection::default(), "eve").await.unwrap().changed;
    assert_eq!(command(Command::Suspend).await, 2100);
    assert_eq!(command(Command::Suspend).await, 0);
    assert_eq!(command(Command::Resume).await, 2100);
    let pending = store.pending(Duration::ZERO).await.unwrap();
    assert_eq!(pending.iter().map(|pending| pending.messages).collect::<Vec<_>>(), [2100]);
    let rows = store.trace(TraceQuery { limit: 3000, ..TraceQuery::default() }).await.unwrap();
    assert_eq!(rows.len(), 2100);
    assert_eq!(command(Command::Remove).await, 2100);
    assert_eq!(store.counts().await.unwrap(), []);
}

/// A caller that goes away takes nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_writes_what_was_handed_over() {
    let server = Server::start();
    let settings = server.database();
    let store = PostgresStore::open(&settings).await.unwrap();
    store.accept(message(b"first"), None, vec![]).await.unwrap();
    let new = message(b"body");
    let accept = store.accept(new.clone(), None, vec![]);
    tokio::select! {
        biased;
        _ = accept => {}
        () = tokio::task::yield_now() => {}
    }
    store.close().await;
    let store = PostgresStore::attach(&settings).await.unwrap();
    assert!(store.message(new.network_message_id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_what_mail_may_contain() {
    let server = Server::start();
    let store = PostgresStore::open(&server.database()).await.unwrap();
    let mut new = message(b"nul \0 in the body");
    new.subject = Some("nul \0 in the subject".to_owned());
    let id = "ß".repeat(998);
    new.message_id = Some(id.clone());
    new.deliveries = (0..1000).map(|number| delivery(&format!("user-{number}@x.test"))).collect();
    let accepted = store.accept(new.clone(), Some(member(&store).await), vec![]).await.unwrap();
    assert_eq!(accepted.deliveries.len(), 1000);
    let body = gatepost_store::Bodies::read_body(&store, accepted.message, 0).await.unwrap().unwrap();
    assert_eq!(&body[..], b"nul \0 in the body");
    let results: Vec<_> = accepted
        .deliveries
        .iter()
        .map(|key| {
            let mut settlement = delivered(&new, &accepted);
            settlement.delivery = *key;
            if let gatepost_store::Outcome::Delivered { reply, .. } = &mut settlement.outcome {
                reply.text = "nul \0 in the reply".to_owned();
            }
            settlement
        })
        .collect();
    assert_eq!(store.settle(results).await.unwrap(), []);
    let rows = store.trace(TraceQuery { message_id: Some(id), limit: 2000, ..TraceQuery::default() }).await.unwrap();
    assert_eq!(rows.len(), 1000);
    assert_eq!(rows[0].reply.as_ref().unwrap().text, "nul \0 in the reply");
    assert_eq!(rows[0].message.subject.as_deref(), Some("nul \u{fffd} in the subject"));
    assert_eq!(store.events(new.network_message_id).await.unwrap().len(), 1000);
    assert_eq!(server.cluster.sql("test_0", "SELECT count(*) FROM queue_delivery").unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_says_what_is_wrong_with_a_server() {
    let server = Server::start();
    let refused = async |settings: &PostgresSettings| match PostgresStore::open(settings).await {
        Err(StoreError::Postgres(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    };
    let good = server.database();
    let error = refused(&PostgresSettings { password: Some("wrong".to_owned()), ..good.clone() }).await;
    assert!(matches!(error, PostgresError::Login { .. }), "{error}");
    let error = refused(&PostgresSettings { password: None, ..good.clone() }).await;
    assert!(matches!(error, PostgresError::Login { .. }), "{error}");
    let error = refused(&settings(&server.cluster.url("missing"))).await;
    assert!(matches!(error, PostgresError::NoDatabase { .. }), "{error}");
    let error = refused(&settings("postgres://gatepost@127.0.0.1:1/x")).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error}");
    let error = refused(&PostgresSettings { tls: PostgresTls::Verify, ..good.clone() }).await;
    assert!(matches!(error, PostgresError::Tls { .. }), "{error}");

    let sql = |database: &str, sql: &str| server.cluster.sql(database, sql).unwrap();
    sql("postgres", "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0");
    let error = refused(&settings(&server.cluster.url("latin"))).await;
    assert!(matches!(&error, PostgresError::Encoding { found, .. } if found == "LATIN1"), "{error}");
    let standby = server.make();
    sql("postgres", &format!("ALTER DATABASE {standby} SET default_transaction_read_only = on"));
    let error = refused(&settings(&server.cluster.url(&standby))).await;
    assert!(matches!(error, PostgresError::ReadOnly { .. }), "{error}");

    sql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'secret'");
    let url = server.cluster.url(&server.make()).replace("gatepost@", "guest@");
    let error = refused(&settings(&url)).await;
    assert!(matches!(&error, PostgresError::NoRight { user, .. } if user == "guest"), "{error}");

    let empty = settings(&server.cluster.url(&server.make()));
    let Err(StoreError::Postgres(error)) = PostgresStore::attach(&empty).await else { panic!("attached") };
    assert!(matches!(error, PostgresError::Empty { .. }), "{error}");
    PostgresStore::open(&good).await.unwrap().close().await;
    let of_another = settings(&good.url.replace("gatepost@", "guest@"));
    let error = refused(&of_another).await;
    assert!(matches!(&error, PostgresError::NoAccess { user, .. } if user == "guest"), "{error}");
    // The step after this one leaves what this program uses as it was.
    sql("test_0", "INSERT INTO gatepost_schema (version) SELECT max(version) + 1 FROM gatepost_schema");
    PostgresStore::open(&good).await.unwrap().close().await;
    PostgresStore::attach(&good).await.unwrap().close().await;
    sql("test_0", "INSERT INTO gatepost_schema (version) VALUES (99)");
    let error = refused(&good).await;
    assert!(matches!(error, PostgresError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_reached_over_verified_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (identity, authority) = Identity::shown_by(Device::Healthy, "localhost").unwrap();
    let authority = file("authority.pem", &authority);
    let certificate = file("certificate.pem", &identity.certificate_pem());
    let key = file("key.pem", &identity.key_pem());
    let (certificate_setting, key_setting) =
        (format!("ssl_cert_file={}", certificate.display()), format!("ssl_key_file={}", key.display()));
    let server = Server::start_with(&["ssl=on", &certificate_setting, &key_setting]);
    let by = |host: &str, ca_file: Option<&Path>| {
        let plain = server.database();
        PostgresSettings {
            url: plain.url.replace("127.0.0.1", host),
            tls: PostgresTls::Verify,
            ca_file: ca_file.map(Path::to_owned),
            ..plain
        }
    };
    let store = PostgresStore::open(&by("localhost", Some(&authority))).await.unwrap();
    store.accept(message(b"body"), None, vec![]).await.unwrap();
    assert_eq!(
        server
            .cluster
            .sql("test_0", "SELECT count(*) FROM pg_stat_ssl WHERE NOT ssl AND pid <> pg_backend_pid()")
            .unwrap(),
        "0"
    );
    let (_, other) = Identity::shown_by(Device::Healthy, "localhost").unwrap();
    let other = file("other.pem", &other);
    for wrong in [by("127.0.0.1", Some(&authority)), by("localhost", Some(&other)), by("localhost", None)] {
        let Err(StoreError::Postgres(error)) = PostgresStore::open(&wrong).await else { panic!("{wrong:?}") };
        assert!(matches!(error, PostgresError::Tls { .. }), "{error}");
    }
    let Err(StoreError::Postgres(error)) = PostgresStore::open(&by("localhost", Some(&key))).await else { panic!() };
    assert!(matches!(error, PostgresError::CaFile { .. }), "{error}");
}

/// Each makes the tables if nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_prepared_by_one_of_ten_nodes() {
    let server = Server::start_with(&["max_connections=200"]);
    let settings = server.database();
    let nodes: Vec<_> = (0..10)
        .map(|number| {
            let settings = settings.clone();
            tokio::spawn(async move {
                let store = PostgresStore::open(&settings).await.unwrap();
                store.join(&format!("n{number}")).await.unwrap().member.epoch()
            })
        })
        .collect();
    let mut epochs = Vec::new();
    for node in nodes {
        epochs.push(node.await.unwrap());
    }
    epochs.sort();
    epochs.dedup();
    assert_eq!(epochs.len(), 10);
    assert_eq!(
        server
            .cluster
            .sql("test_0", "SELECT count(*) FROM pg_class WHERE relname LIKE 'history_2%' AND relkind = 'r'")
            .unwrap(),
        "9"
    );
}

#[test]
fn urls_say_what_they_lack() {
    for (url, lacks) in [("https://x", ""), ("postgres:///x", "host"), ("postgres://x@db.test", "database")] {
        let error = PostgresSettings::new(url).unwrap_err().to_string();
        assert!(error.contains("[store] url") && error.contains(lacks), "{error}");
    }
    let tls = |url: &str| PostgresSettings::new(url).unwrap().tls;
    assert_eq!(tls("postgres://g@127.0.0.1/x"), PostgresTls::None);
    assert_eq!(tls("postgres://g@localhost,[::1]/x"), PostgresTls::None);
    assert_eq!(tls("postgres://g@localhost,db.test/x"), PostgresTls::Verify);
}

/// Versions follow each other, and of two that replace the same one, one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_replaces_the_configuration_of_the_fleet_in_order() {
    let server = Server::start();
    let settings = server.database();
    let one = PostgresStore::open(&settings).await.unwrap();
    let other = PostgresStore::attach(&settings).await.unwrap();
    assert_eq!(other.newest_configuration().await.unwrap(), None);
    assert_eq!(other.newest_configuration_id().await.unwrap(), None);
    let new = |toml: &str, repeats: Option<u64>| NewConfiguration {
        toml: toml.to_owned(),
        by: "amy".to_owned(),
        comment: repeats.is_none().then(|| "why\0".to_owned()),
        repeats,
        program: "1.2.3".to_owned(),
        settings: Settings::default(),
    };
    assert_eq!(one.replace_configuration(None, new("a", None)).await.unwrap(), Some(1));
    assert_eq!(other.replace_configuration(None, new("b", None)).await.unwrap(), None);
    assert_eq!(other.replace_configuration(Some(2), new("b", None)).await.unwrap(), None);
    let both = tokio::join!(
        one.replace_configuration(Some(1), new("b", None)),
        other.replace_configuration(Some(1), new("b", None))
    );
    let both = [both.0.unwrap(), both.1.unwrap()];
    assert!(both == [Some(2), None] || both == [None, Some(2)], "{both:?}");
    assert_eq!(one.replace_configuration(Some(2), new("a", Some(1))).await.unwrap(), Some(3));
    let stored = other.newest_configuration().await.unwrap().unwrap();
    assert_eq!((stored.record.version, stored.toml.as_str(), stored.record.repeats), (3, "a", Some(1)));
    assert_eq!(other.newest_configuration_id().await.unwrap(), Some(stored.record.id()));
    assert_eq!(other.configuration(2).await.unwrap().unwrap().toml, "b");
    assert_eq!(other.configuration(9).await.unwrap(), None);
    let changes = other.changes(ChangeQuery { limit: 10, ..ChangeQuery::default() }).await.unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.who.as_str(), change.kind.to_string())).collect();
    let rolled_back = "version 3 of the fleet's configuration applied, a rollback to version 1: no setting differs";
    assert_eq!((told.len(), told[0].clone()), (3, ("amy", rolled_back.to_owned())));
    let records = other.configurations().await.unwrap();
    let seen = |record: &ConfigurationRecord| (record.version, record.comment.clone(), record.program.clone());
    let why = || Some("why\u{fffd}".to_owned());
    let expected = [(3, None), (2, why()), (1, why())].map(|(version, why)| (version, why, "1.2.3".to_owned()));
    assert_eq!(records.iter().map(seen).collect::<Vec<_>>(), expected);
}

/// A restored database gives out a number again. The node asks for what is newest, not for what is newer.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_tells_apart_configurations_of_the_same_version() {
    let server = Server::start();
    let database = server.make();
    let store = PostgresStore::open(&settings(&server.cluster.url(&database))).await.unwrap();
    let new = |toml: &str| NewConfiguration {
        toml: toml.to_owned(),
        by: "amy".to_owned(),
        comment: None,
        repeats: None,
        program: "1.2.3".to_owned(),
        settings: Settings::default(),
    };
    let mut ids = Vec::new();
    store.replace_configuration(None, new("a")).await.unwrap();
    ids.push(store.newest_configuration_id().await.unwrap());
    for text in ["b", "c"] {
        assert_eq!(store.replace_configuration(Some(1), new(text)).await.unwrap(), Some(2));
        assert_eq!(store.newest_configuration().await.unwrap().unwrap().toml, text);
        ids.push(store.newest_configuration_id().await.unwrap());
        server.cluster.sql(&database, "DELETE FROM configuration WHERE version = 2").unwrap();
        assert_eq!(store.newest_configuration_id().await.unwrap(), ids[0]);
    }
    assert_eq!(ids[1].unwrap().version, ids[2].unwrap().version);
    assert_ne!(ids[1], ids[2]);
}
