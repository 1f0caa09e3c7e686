//! What holds for the embedded store beyond the contract: it survives, refuses, and recovers.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{path::Path, time::Duration};

use bytes::Bytes;
use gatepost_store::{
    self as store, Backend, Bodies, ChangeLog, Claim, Claimed, Clock, Content, FileError, Fleet, History, Leave,
    Member, NewDelivery, NewMessage, Queue, SqliteStore, StoreError, conformance,
};
use jiff::Timestamp;
use protocol::smtp::{Address, Envelope, ReversePath};
use uuid::Uuid;

fn message(body: &[u8]) -> NewMessage {
    let now = Timestamp::now();
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: now,
        envelope: Envelope::from(ReversePath::Null),
        message_id: None,
        subject: None,
        size_bytes: body.len() as u64,
        client: None,
        content: Content::Inline(Bytes::copy_from_slice(body)),
        withhold_addresses: false,
        deliveries: vec![NewDelivery {
            recipient: Address::parse("a@x.test").unwrap(),
            notify: None,
            orcpt: None,
            connector: "c".to_owned(),
            due_in: Duration::ZERO,
            review_in: Duration::from_secs(3600),
        }],
    }
}

async fn member(store: &SqliteStore) -> Member {
    store.join(&Uuid::now_v7().to_string()).await.unwrap().member
}

async fn claim(store: &SqliteStore, limit: u32) -> Result<Vec<Claimed>, StoreError> {
    claim_by(store, member(store).await, limit).await
}

async fn claim_by(store: &SqliteStore, holder: Member, limit: u32) -> Result<Vec<Claimed>, StoreError> {
    let (connector, due_for, messages) = ("c".to_owned(), Duration::ZERO, u32::MAX);
    store.claim(Claim { connector, due_for, limit, messages, leave: Leave::default(), holder }).await
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
    let make = |wrap: fn(SqliteStore) -> Backend| {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let one = SqliteStore::open_by(folder.path(), "n", clock.clone()).unwrap();
        // Through the file, as another process has it: connections, keys and writer of its own.
        let other = SqliteStore::attach_by(folder.path(), clock.clone()).unwrap();
        folders.lock().unwrap().push(folder);
        conformance::Stores::new(wrap(one), wrap(other), clock)
    };
    conformance::run(async || make(Backend::Sqlite)).await;
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
    assert_eq!(claim(&store, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn uploads_that_were_never_accepted_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let kept = store.accept(message(b"kept"), None, vec![]).await.unwrap();
    let body = store.new_body(&store.join("n").await.unwrap().member).await.unwrap();
    store.append_body(body, 0, Bytes::from_static(b"lost")).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    store.join("n").await.unwrap();
    assert!(matches!(store.read_body(body.message, 0).await, Err(StoreError::NotQueued)));
    assert!(store.read_body(kept.message, 0).await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_says_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let _store = SqliteStore::open(folder.path(), "edge-1").unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, StoreError::File(FileError::Held { .. })), "{error}");
    assert!(error.to_string().contains(&format!("node edge-1, process {}", std::process::id())), "{error}");
    SqliteStore::attach(folder.path()).map(|_| ()).expect("commands work beside a node");
}

#[test]
fn a_missing_store_is_refused_to_commands() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStore::attach(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::File(FileError::Missing { .. })), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
    let connection = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = open_error(folder.path());
    assert!(matches!(error, StoreError::File(FileError::Newer { found: 99, .. })), "{error}");
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gatepost.db"), b"this is no database, but it is long enough to be one....")
        .unwrap();
    assert!(matches!(open_error(folder.path()), StoreError::File(FileError::Damaged { .. })));

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
        Ok(store) => claim(&store, 10).await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::File(FileError::Damaged { .. })), "{error}");
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
    assert!(matches!(full, StoreError::Full(_)), "{full}");
    for message in &accepted {
        assert_eq!(store.read_body(message.message, 0).await.unwrap().map(|body| body.len()), Some(10_000));
    }
    let count = accepted.len();
    store.limit_pages(1_000_000).await.unwrap();
    store.accept(message(b"room again"), None, vec![]).await.unwrap();
    let claimed = claim(&store, 10_000).await.unwrap();
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

#[tokio::test]
async fn commands_that_read_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    store.accept(message(b"one"), None, vec![]).await.unwrap();
    let log = folder.path().join("gatepost.db-wal");
    let before = std::fs::read(&log).unwrap();
    let command = SqliteStore::attach(folder.path()).unwrap();
    assert_eq!(command.counts().await.unwrap().len(), 1);
    command.close().await;
    assert_eq!(std::fs::read(&log).unwrap(), before, "attaching to a store and reading wrote to its log");
    drop(store);
}

#[tokio::test]
async fn opening_a_store_again_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
    let file = std::fs::read(folder.path().join("gatepost.db")).unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("gatepost.db-wal")).unwrap().len(), 0);
    store.close().await;
    assert_eq!(std::fs::read(folder.path().join("gatepost.db")).unwrap(), file);
}

#[tokio::test]
async fn a_store_that_was_moved_or_removed_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let aside = folder.path().join("aside");
    for file in ["", "gatepost.db", "gatepost.db-wal"] {
        let store = SqliteStore::open(&data, "n").unwrap();
        let member = member(&store).await;
        let kept = store.accept(message(b"kept"), Some(member.clone()), vec![]).await.unwrap();
        std::fs::rename(data.join(file), &aside).unwrap();
        for error in [
            store.accept(message(b"lost"), None, vec![]).await.unwrap_err(),
            store.settle(vec![delivered(&kept)]).await.unwrap_err(),
            claim_by(&store, member.clone(), 1).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::File(FileError::Gone { .. })), "{file}: {error}");
        }
        // Another file in its place is not the store.
        if file.is_empty() {
            std::fs::create_dir(&data).unwrap();
        }
        std::fs::write(data.join("gatepost.db"), b"").unwrap();
        assert!(store.accept(message(b"lost"), None, vec![]).await.is_err());
        std::fs::remove_file(data.join("gatepost.db")).unwrap();
        if file == "gatepost.db-wal" {
            continue;
        }
        if file.is_empty() {
            std::fs::remove_dir(&data).unwrap();
        }
        std::fs::rename(&aside, data.join(file)).unwrap();
        assert_eq!(store.settle(vec![delivered(&kept)]).await.unwrap(), [], "{file}: put back, it works again");
        store.close().await;
        std::fs::remove_dir_all(&data).unwrap();
    }
}

fn delivered(accepted: &store::Accepted) -> store::Settlement {
    let reply = protocol::smtp::Reply::new(250, None, "taken");
    store::Settlement {
        delivery: accepted.deliveries[0],
        lease: accepted.lease.unwrap(),
        message: accepted.message,
        outcome: store::Outcome::Delivered { reply, at: Timestamp::now() },
        events: vec![],
        notice: None,
        weak: None,
    }
}

/// A store that was not closed: its files as they were before, brought back.
async fn left_open(folder: &Path) {
    let store = SqliteStore::open(folder, "n").unwrap();
    store.accept(message(b"in the log"), None, vec![]).await.unwrap();
    let files = ["gatepost.db", "gatepost.db-wal", "lock"].map(|name| folder.join(name));
    let kept = files.clone().map(|path| std::fs::read(path).unwrap());
    store.close().await;
    files.iter().zip(kept).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
}

#[tokio::test]
async fn a_used_folder_without_its_store_is_refused() {
    for (name, loss) in [("gatepost.db", "missing"), ("gatepost.db", "empty"), ("gatepost.db-wal", "missing")] {
        let folder = tempfile::tempdir().unwrap();
        left_open(folder.path()).await;
        match loss {
            "empty" => std::fs::write(folder.path().join(name), b"").unwrap(),
            _ => std::fs::remove_file(folder.path().join(name)).unwrap(),
        }
        for error in [open_error(folder.path()), SqliteStore::attach(folder.path()).map(|_| ()).unwrap_err()] {
            assert!(matches!(error, StoreError::File(FileError::Lost { .. })), "{error}");
            assert!(error.to_string().contains(&format!("{name} is {loss}")), "{error}");
        }
        let store = SqliteStore::open_despite_loss(folder.path(), "n").unwrap();
        assert_eq!(store.counts().await.unwrap(), [], "{name} {loss}");
        store.accept(message(b"new"), None, vec![]).await.unwrap();
        store.close().await;
        SqliteStore::open(folder.path(), "n").unwrap().close().await;
    }
}

#[tokio::test]
async fn a_folder_that_another_used_as_well_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lost+found")).unwrap();
    std::fs::write(folder.path().join("lock"), b"").unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
    // After an orderly end nothing is in the log.
    std::fs::remove_file(folder.path().join("gatepost.db-wal")).unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
    // An older version's.
    std::fs::write(folder.path().join("lock"), b"node n, process 1\n").unwrap();
    std::fs::remove_file(folder.path().join("gatepost.db-wal")).unwrap();
    SqliteStore::open(folder.path(), "n").unwrap().close().await;
}

#[tokio::test]
async fn a_backup_comes_back_suspended() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = SqliteStore::open(&path("data"), "n").unwrap();
    for _ in 0..3 {
        store.accept(message(b"queued"), None, vec![]).await.unwrap();
    }
    let leased = claim(&store, 1).await.unwrap();
    let (file, bytes) = store.backup(&path("backup")).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), bytes);
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777,
        0o600
    );
    // What comes later is not in it; a later backup takes its place.
    store.accept(message(b"later"), None, vec![]).await.unwrap();
    let error = store.backup(&path("data")).await.unwrap_err();
    assert!(error.to_string().contains("is a data folder"), "{error}");
    let error = SqliteStore::restore(&path("backup"), &path("data"), "admin").unwrap_err();
    assert!(matches!(error, StoreError::File(FileError::Held { .. })), "{error}");
    store.close().await;
    let error = SqliteStore::restore(&path("backup"), &path("data"), "admin").unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");

    let restored = SqliteStore::restore(&path("backup"), &path("restored"), "admin").unwrap();
    assert_eq!(restored.suspended, 3);
    let store = SqliteStore::open(&path("restored"), "n").unwrap();
    assert_eq!(claim(&store, 10).await.unwrap(), []);
    let waiting = store.list(store::QueueQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert!(waiting.iter().all(|row| row.suspended_by.as_deref() == Some("gatepost restore")), "{waiting:?}");
    let events = store.events(leased[0].message.network_message_id).await.unwrap();
    assert_eq!(events.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["interrupted", "suspended"]);
    let changes = store.changes(store::ChangeQuery { limit: 10, ..Default::default() }).await.unwrap();
    let change = changes.first().map(|change| (change.who.as_str(), change.kind.name()));
    assert_eq!((changes.len(), change), (1, Some(("admin", "store-restored"))));
    let all = store::Selection::default();
    let resumed = store.command(store::Command::Resume, all, "admin").await.unwrap();
    assert_eq!(resumed.changed, 3);
    assert_eq!(claim(&store, 10).await.unwrap().len(), 3);
    // A damaged backup is refused, and leaves nothing behind.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8192..].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let error = SqliteStore::restore(&path("backup"), &path("again"), "admin").unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(!path("again").join("gatepost.db").exists() && !path("again").join("gatepost.db.restored").exists());
}

/// Writers go on at full speed: the copy is of one moment, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_ends_while_mail_flows() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    };
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("data"), "n").unwrap();
    let batch = (0..2000).map(|_| store.accept(message(&[b'x'; 10_000]), None, vec![]));
    assert!(futures_join(batch.collect()).await.iter().all(Result::is_ok));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers = (0..32).map(|_| {
        let (store, stop, count) = (store.clone(), Arc::clone(&stop), Arc::clone(&count));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                store.accept(message(&[b'x'; 10_000]), None, vec![]).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let started = std::time::Instant::now();
    let (_, bytes) = store.backup(&folder.path().join("backup")).await.unwrap();
    let (duration, written) = (started.elapsed(), count.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(bytes > 20_000_000, "{bytes}");
    println!("{bytes} bytes in {duration:?}, beside {written} messages that were accepted meanwhile");
}

/// Version N beside N + 1: what the newer one wrote is read as far as possible, and its mail is delivered.
#[tokio::test]
async fn what_a_newer_version_wrote_is_read_as_far_as_possible() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let mail = message(b"mail");
    let accepted = store.accept(mail.clone(), None, vec![]).await.unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    let id = mail.network_message_id;
    let event = format!(
        r#"{{"at":"2026-01-01T00:00:00Z","node":"n","message":"{id}","event":"scanned","verdict":{{"score":7}}}}"#
    );
    let failure = r#"{"phase":"rcpt","kind":"of-the-future","why":1,"reply":{"code":451,"text":"later"}}"#;
    connection.execute("INSERT INTO event (message, json) VALUES (?1, ?2)", (accepted.message.0, &event)).unwrap();
    connection.execute("UPDATE delivery SET failure = ?1", [failure]).unwrap();
    let reports = r#"INSERT INTO node_report VALUES
        ('a', '{"node":"a","at":"2026-01-01T00:00:00Z","connectors":[],"load":0.5}'), ('b', '{"name":"b"}')"#;
    connection.execute_batch(reports).unwrap();

    let events = store.events(id).await.unwrap();
    let json = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(
        (&json["event"], &json["name"], &json["verdict"]["score"]),
        (&"unknown".into(), &"scanned".into(), &7.into())
    );
    assert_eq!(store.histories(vec![accepted.message]).await.unwrap(), [events]);
    let listed = store.list(store::QueueQuery { limit: 9, ..Default::default() }).await.unwrap();
    let text = listed[0].delivery.failure.as_ref().unwrap().to_string();
    assert!(text.contains("of-the-future"), "{text}");
    let kinds = store.fold_queue(store::Selection::default(), 0, |count, row| *count += row.failure.iter().count());
    assert_eq!(kinds.await.unwrap(), 1);
    let reports = store.reports().await.unwrap();
    assert_eq!(reports.iter().map(|report| report.node.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(claim(&store, 9).await.unwrap().len(), 1);
}

/// Members of a process that is gone are dead, whatever their last report says.
#[tokio::test]
async fn a_node_that_crashed_is_back_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let member = store.join("n").await.unwrap().member;
    let other = store.join("m").await.unwrap().member;
    let kept = store.accept(message(b"one"), Some(member.clone()), vec![]).await.unwrap();
    store.accept(message(b"two"), Some(other), vec![]).await.unwrap();
    assert!(matches!(store.join("n").await, Err(StoreError::NameInUse { .. })));
    store.close().await;
    let store = SqliteStore::open(folder.path(), "n").unwrap();
    let joined = store.join("n").await.unwrap();
    assert_eq!(joined.taken_back, 1);
    assert!(joined.member.epoch() > member.epoch());
    assert_eq!(store.settle(vec![delivered(&kept)]).await.unwrap(), kept.deliveries, "its lease is over");
    // Commands beside it see its members by their reports.
    let command = SqliteStore::attach(folder.path()).unwrap();
    assert!(matches!(command.join("n").await, Err(StoreError::NameInUse { .. })));
}
