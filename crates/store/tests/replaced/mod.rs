//! Another database in the place of a node's: the node takes nobody's place there, and touches nothing.

use std::{fs, path::Path};

use gatepost_store::{
    Fleet as _, NodeState, PostgresError, PostgresSettings, PostgresStore, Queue as _, Result, StoreError,
};

use crate::server::{Server, message, settings};

async fn open(settings: &PostgresSettings) -> PostgresStore {
    PostgresStore::open(settings).await.unwrap()
}

fn with_witness(url: &str, file: &Path, accept_loss: bool) -> PostgresSettings {
    PostgresSettings { witness: Some(file.to_owned()), accept_loss, ..settings(url) }
}

fn empty(server: &Server, name: &str) {
    server.cluster.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
    server.cluster.database(name).unwrap();
}

fn refused<T>(result: Result<T>) {
    let Err(StoreError::Postgres(error @ PostgresError::Replaced { .. })) = result else {
        panic!("{:?}", result.map(drop).map_err(|error| error.to_string()));
    };
    assert!(error.to_string().contains("serve --accept-loss"), "{error}");
}

/// The file is written beside.
async fn noted(file: &Path, part: &str) -> String {
    loop {
        match fs::read_to_string(file) {
            Ok(text) if text.contains(part) => return text,
            _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

/// The new store gives out the epoch of the running node again.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_was_replaced_is_refused() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let (url, file) = (server.cluster.url("fleet"), folder.path().join("store-seen.json"));
    empty(&server, "fleet");
    let running = open(&with_witness(&url, &file, false)).await;
    let member = running.join("a").await.unwrap().member;
    let seen = noted(&file, "\"a\"").await;

    empty(&server, "fleet");
    // Before another node makes tables there, and after it.
    refused(running.renew(&member, vec![]).await);
    let new = open(&settings(&url)).await;
    let other = new.join("b").await.unwrap().member;
    assert_eq!(other.epoch(), member.epoch());
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    refused(running.renew(&member, vec![]).await);
    refused(running.report(&member, NodeState::default()).await);
    refused(running.accept(message(b"body"), None, vec![]).await);
    refused(running.plan().await);
    refused(running.leave(&member).await);
    new.renew(&other, vec![]).await.unwrap();
    let members = new.members().await.unwrap();
    assert!(members.len() == 1 && members[0].name == "b" && members[0].lives);
    assert_eq!(noted(&file, "\"a\"").await, seen);
    running.close().await;
    refused(PostgresStore::open(&with_witness(&url, &file, false)).await);
    new.close().await;

    // Nothing is in the way of a restore.
    empty(&server, "fleet");
    refused(PostgresStore::open(&with_witness(&url, &file, false)).await);
    assert_eq!(server.cluster.sql("fleet", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    let again = open(&with_witness(&url, &file, true)).await;
    again.join("c").await.unwrap();
    noted(&file, "\"c\"").await;
    again.close().await;
    open(&with_witness(&url, &file, false)).await;
}

/// A backup that is put back returns the node to where it was.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_put_back_is_used_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let (url, file) = (server.cluster.url("fleet"), folder.path().join("store-seen.json"));
    empty(&server, "fleet");
    let running = open(&with_witness(&url, &file, false)).await;
    let member = running.join("a").await.unwrap().member;
    running.accept(message(b"body"), None, vec![]).await.unwrap();
    let exchange = |from: &str, to: &str| {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'");
        server.cluster.sql("postgres", &end).unwrap();
        server.cluster.sql("postgres", &format!("ALTER DATABASE {from} RENAME TO {to}")).unwrap();
    };
    exchange("fleet", "old");
    empty(&server, "fleet");
    refused(running.renew(&member, vec![]).await);
    exchange("fleet", "new");
    exchange("old", "fleet");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    running.renew(&member, vec![]).await.unwrap();
    running.accept(message(b"body"), None, vec![]).await.unwrap();
    assert!(!running.holds_restored());

    // A backup of it has the same name, and its mail is held.
    server.cluster.dump_into("fleet", "backup").unwrap();
    exchange("fleet", "late");
    exchange("backup", "fleet");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    running.renew(&member, vec![]).await.unwrap();
    assert!(running.holds_restored());
}

/// The connections last: only the rows say so.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_tells_members_with_one_epoch_apart() {
    let server = Server::start();
    let name = server.make();
    let url = server.cluster.url(&name);
    let running = open(&settings(&url)).await;
    let member = running.join("a").await.unwrap().member;
    for (other, taken) in [("name = 'b'", false), ("name = 'a', started = started + 1", true)] {
        server.cluster.sql(&name, &format!("UPDATE member SET seen = 0, {other}")).unwrap();
        let error = running.renew(&member, vec![]).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAMember { .. }), "{other}: {error}");
        let error = running.report(&member, NodeState::default()).await.unwrap_err();
        assert_eq!(matches!(error, StoreError::NameInUse { .. }), taken, "{other}: {error}");
        assert_eq!(matches!(error, StoreError::NotAMember { .. }), !taken, "{other}: {error}");
        running.leave(&member).await.unwrap();
        let sql = "SELECT count(*) FROM member WHERE seen = 0 AND NOT has_left";
        assert_eq!(server.cluster.sql(&name, sql).unwrap(), "1", "{other}");
    }
}
