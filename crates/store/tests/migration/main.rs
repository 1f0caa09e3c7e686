//! Moving an embedded store to a PostgreSQL server: all of it, once, whatever interrupts it, and back.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod filled;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../server/mod.rs"]
mod server;

use std::{
    cell::Cell,
    fs,
    future::{Future, poll_fn},
    path::Path,
    pin::pin,
    task::Poll,
    time::Duration,
};

use filled::{NODE, Seen, fill, seen};
use gatepost_store::{
    Command, FileError, Fleet as _, Incidents as _, Migration, MigrationError, MigrationProgress, PostgresSettings,
    PostgresStore, Queue as _, Selection, SqliteStore, State, StoreError, WITNESS_FILE,
};
use server::{Server, message};
use tempfile::TempDir;

/// A folder that was filled, and what it has once its dead node's leases have ended.
async fn filled() -> (TempDir, Seen) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    // Versions before 8 gave events no ids.
    let file = rusqlite::Connection::open(folder.path().join("gatepost.db")).unwrap();
    assert!(file.execute("UPDATE event SET uid = NULL WHERE message % 2 = 0", []).unwrap() > 3);
    drop(file);
    // What a node that starts again makes of it.
    let other = copy(folder.path());
    let store = SqliteStore::open(other.path(), NODE).unwrap();
    assert_eq!(store.join(NODE).await.unwrap().taken_back, 2);
    let seen = seen(&store).await;
    store.close().await;
    (folder, seen)
}

fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&entry, copy.path().join(entry.file_name().unwrap())).unwrap();
    }
    copy
}

/// In small batches.
fn migration<'a>(folder: &'a TempDir, server: &'a PostgresSettings) -> Migration<'a> {
    Migration::new(folder.path(), server).in_batches_of(5)
}

/// Events that the store wrote when leases ended have the time of then.
fn without_times(mut seen: Seen) -> Seen {
    for (_, events, _) in &mut seen.messages {
        for event in events.iter_mut().filter(|event| event.kind.name() == "interrupted") {
            event.at = jiff::Timestamp::UNIX_EPOCH;
        }
    }
    seen
}

async fn on_server(settings: &PostgresSettings) -> Seen {
    let store = PostgresStore::attach(settings).await.unwrap();
    let seen = seen(&store).await;
    store.close().await;
    without_times(seen)
}

fn refusal<T>(result: Result<T, StoreError>) -> MigrationError {
    match result {
        Err(StoreError::Migration(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Drops the work as soon as it waits after this many steps: what a process leaves that is killed. False: it was done before.
async fn interrupted(
    migration: &Migration<'_>,
    steps: usize,
    undo: bool,
    mut at_step: impl FnMut(MigrationProgress),
) -> bool {
    let left = Cell::new(steps);
    let step = |progress| {
        left.set(left.get().saturating_sub(1));
        at_step(progress);
    };
    let run = async {
        match undo {
            true => migration.undo(step).await.map(drop),
            false => migration.run(step).await.map(drop),
        }
    };
    let mut run = pin!(run);
    poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(done) => {
            done.unwrap();
            Poll::Ready(false)
        }
        Poll::Pending if left.get() == 0 => Poll::Ready(true),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_all_of_a_store_that_was_moved() {
    let server = Server::start();
    let (folder, expected) = filled().await;
    let settings = server.database();
    let moved = migration(&folder, &settings).run(|_| ()).await.unwrap();
    assert_eq!(moved.messages as usize, expected.messages.len());
    let deliveries: usize = expected.messages.iter().map(|(record, ..)| record.deliveries.len()).sum();
    let events: usize = expected.messages.iter().map(|(_, events, _)| events.len()).sum();
    assert_eq!((moved.deliveries as usize, moved.events as usize), (deliveries, events));
    assert!(!moved.server.contains(lab::postgres::PASSWORD), "{}", moved.server);
    assert_eq!(on_server(&settings).await, without_times(expected.clone()));
    // Days have tables of their own, but not one that is far ahead.
    let other = server.cluster.sql("test_0", "SELECT count(*) FROM history_other").unwrap();
    assert_eq!(other, "2");
    // What is due is claimed and new mail comes after it; the drained node is so still.
    let store = PostgresStore::open(&settings).await.unwrap();
    let joined = store.join(NODE).await.unwrap();
    assert!(joined.is_drained);
    let calls = store.claim_calls(Duration::from_secs(60), 10).await.unwrap();
    assert_eq!(calls.len(), 2, "one of each incident: {calls:?}");
    let new = store.accept(message(b"new"), None, vec![]).await.unwrap();
    let last = expected.messages.iter().map(|(record, ..)| record.message.key).max().unwrap();
    assert!(new.message > last);
    let claim = gatepost_store::Claim {
        connector: "c".to_owned(),
        due_for: Duration::ZERO,
        limit: 100,
        messages: u32::MAX,
        leave: gatepost_store::Leave::default(),
        holder: joined.member,
    };
    let claimed = store.claim(claim).await.unwrap();
    assert!(claimed.len() >= 5, "{claimed:?}");
    refused_everywhere(&folder, &moved.server).await;
}

/// By nodes and commands, with where the mail is and how to undo it.
async fn refused_everywhere(folder: &TempDir, server: &str) {
    let path = folder.path().display().to_string();
    for error in [
        refusal(SqliteStore::open(folder.path(), NODE)),
        refusal(SqliteStore::open_despite_loss(folder.path(), NODE)),
        refusal(SqliteStore::attach(folder.path())),
    ] {
        assert!(matches!(&error, MigrationError::Moved { folder, server: to, .. } if *folder == path && to == server));
        let text = error.to_string();
        assert!(text.ends_with(&format!("gatepost store migrate --undo --from {path} --to {server}")), "{text}");
    }
}

/// Whatever was done before, a second run makes the same of it; until it is done, the server is refused to nodes.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_a_store_whose_move_was_interrupted() {
    let server = Server::start();
    let (folder, expected) = filled().await;
    let expected = without_times(expected);
    for steps in 0.. {
        let (folder, settings) = (copy(folder.path()), server.database());
        let migration = migration(&folder, &settings);
        let (mut copied, mut is_marked) = (0, false);
        let was_interrupted = interrupted(&migration, steps, false, |progress| match progress {
            MigrationProgress::Copied { done, .. } => copied = done,
            MigrationProgress::Verified { .. } => {}
            MigrationProgress::FolderMarked => is_marked = true,
        })
        .await;
        if !was_interrupted {
            assert!(steps >= 8, "{steps}");
            break;
        }
        if steps > 0 {
            let refused = refusal(PostgresStore::open(&settings).await);
            assert!(matches!(refused, MigrationError::Unfinished { .. }), "{refused}");
            refusal(PostgresStore::attach(&settings).await);
            assert_eq!(SqliteStore::attach(folder.path()).is_err(), is_marked, "{steps}");
        }
        let moved = migration.run(|_| ()).await.unwrap();
        assert_eq!(moved.copied_before, copied, "{steps}");
        assert_eq!(on_server(&settings).await, expected, "{steps}");
    }
}

/// Not only between batches.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_a_store_whose_move_was_cut_at_any_time() {
    let server = Server::start();
    let (folder, expected) = filled().await;
    let expected = without_times(expected);
    let settings = server.database();
    for millis in (1..).map(|round| round * 15) {
        let migration = migration(&folder, &settings);
        let run = migration.run(|_| ());
        if let Ok(moved) = tokio::time::timeout(Duration::from_millis(millis), run).await {
            moved.unwrap();
            break;
        }
        assert!(millis < 10_000, "it was never done");
    }
    assert_eq!(on_server(&settings).await, expected);
}

/// The folder may be used until it is marked; then the copy is made from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_what_a_folder_got_after_an_interruption() {
    let server = Server::start();
    let (folder, expected) = filled().await;
    let settings = server.database();
    assert!(interrupted(&migration(&folder, &settings), 3, false, |_| ()).await);
    let store = SqliteStore::open(folder.path(), NODE).unwrap();
    let member = store.join(NODE).await.unwrap().member;
    store.accept(message(b"meanwhile"), None, vec![]).await.unwrap();
    store.leave(&member).await.unwrap();
    store.close().await;
    let moved = migration(&folder, &settings).run(|_| ()).await.unwrap();
    assert_eq!((moved.copied_before, moved.messages as usize), (0, expected.messages.len() + 1));
    assert_eq!(on_server(&settings).await.messages.len(), expected.messages.len() + 1);
}

/// A command alone is enough, though it has written before.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_what_a_command_did_after_an_interruption() {
    let server = Server::start();
    let (folder, settings) = (filled().await.0, server.database());
    let beside = SqliteStore::attach(folder.path()).unwrap();
    let command = async |command| beside.command(command, Selection::default(), "ève").await;
    assert!(command(Command::Resume).await.unwrap().changed > 0);
    assert!(interrupted(&migration(&folder, &settings), 3, false, |_| ()).await);
    assert!(command(Command::Suspend).await.unwrap().changed > 3);
    assert_eq!(migration(&folder, &settings).run(|_| ()).await.unwrap().copied_before, 0);
    let seen = on_server(&settings).await;
    let mut deliveries = seen.messages.iter().flat_map(|(record, ..)| &record.deliveries);
    assert!(!deliveries.any(|delivery| delivery.state == State::Queued));
    let error = command(Command::Resume).await.unwrap_err().to_string();
    assert!(error.contains(" was moved to postgres://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_not_empty_is_refused() {
    let server = Server::start();
    let folder = filled().await.0;
    // A node runs there.
    let used = server.database();
    let store = PostgresStore::open(&used).await.unwrap();
    let member = store.join("other").await.unwrap().member;
    let error = refusal(migration(&folder, &used).run(|_| ()).await);
    assert!(matches!(&error, MigrationError::InUse { node, .. } if node == "other"), "{error}");
    store.accept(message(b"mail"), None, vec![]).await.unwrap();
    store.leave(&member).await.unwrap();
    let error = refusal(migration(&folder, &used).run(|_| ()).await);
    assert!(matches!(&error, MigrationError::NotEmpty { table, .. } if table == "queue_message"), "{error}");
    assert_eq!(store.counts().await.unwrap().len(), 1, "it was left alone");
    // Another folder is on its way there, or has come there.
    let (other, begun) = (filled().await.0, server.database());
    assert!(interrupted(&migration(&other, &begun), 3, false, |_| ()).await);
    let taken = |error| assert!(matches!(&error, MigrationError::Taken { .. }), "{error}");
    taken(refusal(migration(&folder, &begun).run(|_| ()).await));
    let error = refusal(migration(&folder, &begun).undo(|_| ()).await);
    assert!(matches!(&error, MigrationError::NoCopy { .. }), "{error}");
    migration(&other, &begun).run(|_| ()).await.unwrap();
    taken(refusal(migration(&folder, &begun).run(|_| ()).await));
    // A folder that was moved is not moved again, there or elsewhere.
    let error = refusal(migration(&other, &begun).run(|_| ()).await);
    assert!(matches!(&error, MigrationError::Moved { .. }), "{error}");
    let elsewhere = server.database();
    let error = refusal(migration(&other, &elsewhere).run(|_| ()).await);
    assert!(matches!(&error, MigrationError::NoCopy { .. }), "{error}");
    let error = refusal(migration(&other, &elsewhere).undo(|_| ()).await);
    assert!(matches!(&error, MigrationError::NoCopy { .. }), "{error}");
    // The first one is as it was.
    SqliteStore::open(folder.path(), NODE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_no_folder_that_is_in_use_or_has_no_store() {
    let server = Server::start();
    let settings = server.database();
    let folder = filled().await.0;
    let store = SqliteStore::open(folder.path(), NODE).unwrap();
    let error = migration(&folder, &settings).run(|_| ()).await.unwrap_err();
    assert!(matches!(error, StoreError::File(FileError::Held { .. })), "{error}");
    store.close().await;
    let empty = tempfile::tempdir().unwrap();
    let error = migration(&empty, &settings).run(|_| ()).await.unwrap_err();
    assert!(matches!(error, StoreError::File(FileError::Missing { .. })), "{error}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

/// A row that is not as it was read, is missing, or is too much.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_with_another_content_is_not_used() {
    let server = Server::start();
    let folder = filled().await.0;
    for (number, change) in [
        "UPDATE queue_delivery SET due = due + 1 WHERE id = (SELECT max(id) FROM queue_delivery)",
        "UPDATE event SET json = json || ' ' WHERE position = (SELECT max(position) FROM event)",
        "UPDATE body SET bytes = bytes || 'x' WHERE message = (SELECT max(message) FROM body)",
        "DELETE FROM history WHERE id = (SELECT max(id) FROM history)",
        "INSERT INTO queue_message SELECT 1 << 50, gen_random_uuid(), received, sender, eight_bit, smtputf8, ret, envid,
             message_id, subject, size, client, withhold FROM queue_message LIMIT 1",
        "UPDATE plan SET set_by = 'adam'",
    ]
    .into_iter()
    .enumerate()
    {
        let (folder, settings) = (copy(folder.path()), server.database());
        let migration = migration(&folder, &settings);
        let mut done = 0;
        let all = |progress| {
            if let MigrationProgress::Verified { .. } = progress {
                done += 1;
            }
        };
        // All is copied.
        assert!(interrupted(&migration, 6, false, all).await);
        server.cluster.sql(&format!("test_{number}"), change).unwrap();
        let error = refusal(migration.run(|_| ()).await);
        assert!(matches!(error, MigrationError::Differs { .. }), "{change}: {error}");
        SqliteStore::attach(folder.path()).unwrap().close().await;
        refusal(PostgresStore::attach(&settings).await);
        migration.undo(|_| ()).await.unwrap();
        migration.run(|_| ()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_gives_mail_back_until_it_has_changed() {
    let server = Server::start();
    let (folder, expected) = filled().await;
    let settings = server.database();
    let error = refusal(migration(&folder, &settings).undo(|_| ()).await);
    assert!(matches!(error, MigrationError::NothingToUndo { .. }), "{error}");
    migration(&folder, &settings).run(|_| ()).await.unwrap();
    // A node that was there and did nothing is no hindrance once it has left.
    let store = PostgresStore::open(&settings).await.unwrap();
    let member = store.join("early").await.unwrap().member;
    let error = refusal(migration(&folder, &settings).undo(|_| ()).await);
    assert!(matches!(&error, MigrationError::InUse { node, .. } if node == "early"), "{error}");
    store.leave(&member).await.unwrap();
    // Interrupted at any point, it is done by the next run.
    let mut steps = 0;
    while interrupted(&migration(&folder, &settings), steps, true, |_| ()).await {
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    let back = SqliteStore::attach(folder.path()).unwrap();
    assert_eq!(without_times(seen(&back).await), without_times(expected.clone()));
    back.close().await;
    assert!(on_server(&settings).await.messages.is_empty());
    // There and back once more. The folder does not know yet that it has its mail again, as after a crash.
    migration(&folder, &settings).run(|_| ()).await.unwrap();
    let crashed = copy(folder.path());
    migration(&folder, &settings).undo(|_| ()).await.unwrap();
    migration(&crashed, &settings).undo(|_| ()).await.unwrap();
    SqliteStore::open(crashed.path(), NODE).unwrap();
    migration(&folder, &settings).run(|_| ()).await.unwrap();
    assert_eq!(on_server(&settings).await, without_times(expected));
}

/// A node has seen the server while it was empty, and does not take the move for a restore.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_nothing_of_what_was_moved_there() {
    let (server, folder) = (Server::start(), filled().await.0);
    // In the node's own folder, where a move looks for it.
    let settings = PostgresSettings { witness: Some(folder.path().join(WITNESS_FILE)), ..server.database() };
    for _ in 0..2 {
        let store = PostgresStore::open(&settings).await.unwrap();
        let member = store.join("n").await.unwrap().member;
        store.renew(&member, vec![]).await.unwrap();
        assert!(store.restoration().await.unwrap().is_none());
        store.leave(&member).await.unwrap();
        store.close().await;
        migration(&folder, &settings).run(|_| ()).await.unwrap();
        let store = PostgresStore::open(&settings).await.unwrap();
        let member = store.join("n").await.unwrap().member;
        assert!(!store.holds_restored() && store.restoration().await.unwrap().is_none());
        store.leave(&member).await.unwrap();
        store.close().await;
        migration(&folder, &settings).undo(|_| ()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_mail_once_it_has_changed() {
    let server = Server::start();
    let folder = filled().await.0;
    for change in ["accept", "remove", "claim", "plan"] {
        let (folder, settings) = (copy(folder.path()), server.database());
        migration(&folder, &settings).run(|_| ()).await.unwrap();
        let store = PostgresStore::open(&settings).await.unwrap();
        let member = store.join("n").await.unwrap().member;
        match change {
            "accept" => drop(store.accept(message(b"first"), None, vec![]).await.unwrap()),
            "remove" => {
                let selection = Selection { recipient: Some("untried@z.test".to_owned()), ..Selection::default() };
                store.command(Command::Remove, selection, "ève").await.unwrap();
            }
            "claim" => {
                let (connector, due_for, leave) = ("c".to_owned(), Duration::ZERO, gatepost_store::Leave::default());
                let holder = member.clone();
                let claim = gatepost_store::Claim { connector, due_for, limit: 1, messages: 1, leave, holder };
                assert_eq!(store.claim(claim).await.unwrap().len(), 1);
            }
            _ => drop(store.replace_plan(Some(2), "{}".to_owned(), "ève").await.unwrap().unwrap()),
        }
        store.leave(&member).await.unwrap();
        let before = on_server(&settings).await;
        let error = refusal(migration(&folder, &settings).undo(|_| ()).await);
        assert!(matches!(error, MigrationError::ChangedSince { .. }), "{change}: {error}");
        assert_eq!(on_server(&settings).await, before);
        refusal(SqliteStore::attach(folder.path()));
    }
}
