//! What holds for the embedded store beyond the contract: it survives, refuses, and recovers.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::path::Path;

use bytes::Bytes;
use gatepost_store::{
    self as store, Body, Claim, Lease, NewDelivery, NewMessage, SqliteStore, Store, StoreError, conformance,
};
use jiff::Timestamp;
use protocol::smtp::{Address, BodyType, ReversePath};
use uuid::Uuid;

fn message(body: &[u8]) -> NewMessage {
    let now = Timestamp::now();
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: now,
        sender: ReversePath::Null,
        body_type: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        message_id: None,
        subject: None,
        size_bytes: body.len() as u64,
        client: None,
        body: Body::Inline(Bytes::copy_from_slice(body)),
        withhold_addresses: false,
        deliveries: vec![NewDelivery {
            recipient: Address::parse("a@x.test").unwrap(),
            notify: None,
            orcpt: None,
            connector: "c".to_owned(),
            due: now,
            review: Timestamp::MAX,
        }],
    }
}

fn claim(limit: u32) -> Claim {
    let lease = Lease { node: "n".to_owned(), until: Timestamp::MAX };
    Claim { connector: "c".to_owned(), due_by: Timestamp::now(), limit, lease }
}

fn open_error(folder: &Path) -> StoreError {
    SqliteStore::open(folder, "n").map(|_| ()).unwrap_err()
}

/// `.cargo/config.toml` has the settings; without them each commit would sync more than it must.
#[test]
fn sqlite_is_compiled_with_the_settings_of_this_repository() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let mut options = connection.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> =
        options.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let folders = std::sync::Mutex::new(Vec::new());
    conformance::run(async || {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), "n").unwrap();
        folders.lock().unwrap().push(folder);
        store
    })
    .await;
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let first = store.accept(message(b"one"), None, vec![]).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let second = store.accept(message(b"two"), None, vec![]).await.unwrap();
    assert!(second.message > first.message && second.deliveries > first.deliveries, "keys are never given out twice");
    assert_eq!(store.read_body(first.message, 0).await.unwrap().unwrap(), "one");
    assert_eq!(store.claim(claim(10)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn uploads_that_were_never_accepted_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let kept = store.accept(message(b"kept"), None, vec![]).await.unwrap();
    let body = store.new_body();
    store.append_body(body, 0, Bytes::from_static(b"lost")).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    assert_eq!(store.read_body(store::MessageKey(body.0), 0).await.unwrap(), None);
    assert!(store.read_body(kept.message, 0).await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_says_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let _store = SqliteStore::open(folder.path(), "edge-1").unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, StoreError::Held { .. }), "{error}");
    assert!(error.to_string().contains(&format!("node edge-1, process {}", std::process::id())), "{error}");
    SqliteStore::attach(folder.path()).map(|_| ()).expect("commands work beside a node");
}

#[test]
fn a_missing_store_is_refused_to_commands() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStore::attach(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
    let connection = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = open_error(folder.path());
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gatepost.db"), b"this is no database, but it is long enough to be one....")
        .unwrap();
    assert!(matches!(open_error(folder.path()), StoreError::Damaged { .. }));

    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(connection);
    let error = open_error(folder.path());
    assert!(error.to_string().contains("another program's database"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    for _ in 0..20 {
        store.accept(message(&[b'x'; 10_000]), None, vec![]).await.unwrap();
    }
    store.close().await;
    let path = folder.path().join("gatepost.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8192..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = match SqliteStore::open(folder.path(), "n") {
        Err(error) => error,
        Ok(store) => store.claim(claim(10)).await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    store.limit_pages(60).await.unwrap();
    let mut accepted = Vec::new();
    let full = loop {
        let batch = (0..10).map(|_| store.accept(message(&[b'x'; 10_000]), None, vec![]));
        let results = futures_join(batch.collect()).await;
        let mut full = None;
        for result in results {
            match result {
                Ok(message) => accepted.push(message),
                Err(error) => full = Some(error),
            }
        }
        if let Some(error) = full {
            break error;
        }
    };
    assert!(matches!(full, StoreError::Full), "{full}");
    for message in &accepted {
        assert_eq!(store.read_body(message.message, 0).await.unwrap().map(|body| body.len()), Some(10_000));
    }
    let count = accepted.len();
    store.limit_pages(1_000_000).await.unwrap();
    store.accept(message(b"room again"), None, vec![]).await.unwrap();
    let claimed = store.claim(claim(10_000)).await.unwrap();
    assert_eq!(claimed.len(), count + 1, "what was refused is not there, what was accepted is");
}

/// Runs the futures side by side, so that they share a commit.
async fn futures_join<T: Send + 'static>(futures: Vec<impl Future<Output = T> + Send>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut all_ready = true;
        for (future, result) in pending.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => all_ready = false,
                }
            }
        }
        if all_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[test]
fn the_queue_is_claimed_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { SqliteStore::open(folder.path(), "n").unwrap().close().await });
    let connection = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    let plan = |sql: &str| -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        lines.map(|line| line.unwrap()).collect::<Vec<_>>().join("\n")
    };
    for (sql, index) in [
        (
            "SELECT * FROM delivery AS d WHERE d.state = 0 AND d.connector = 'c' AND d.due <= 1 ORDER BY d.due LIMIT 1",
            "delivery_due",
        ),
        (
            "SELECT * FROM delivery AS d WHERE d.state = 0 AND d.review <= 1 ORDER BY d.review LIMIT 1",
            "delivery_review",
        ),
        ("SELECT * FROM delivery AS d WHERE d.state = 1 AND d.lease_until < 1", "delivery_leased"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN d"), "{sql}\n{plan}");
    }
}
