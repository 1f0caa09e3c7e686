//! `gatepost store migrate`: a node's mail moves to a PostgreSQL server, whatever kills the command, and back.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use protocol::smtp::{Address, Envelope, Reply, ReversePath};
use serde_json::Value;
use store::{
    Content, Fleet as _, Member, NewDelivery, NewMessage, Outcome, Queue as _, Settlement, SqliteStore, StoreError,
};
use trace::{Event, EventKind};
use uuid::Uuid;

use crate::support::{
    Node,
    database::Server,
    script::{Client, Destination, Say},
    wait_for,
};

/// Exit status 2, with these words.
fn refused(node: &Node, arguments: &[&str], words: &[&str]) {
    let output = node.run(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    words.iter().for_each(|word| assert!(error.contains(word), "{arguments:?}: no {word:?} in {error}"));
}

/// The check finds what would stop the node.
fn faulty(node: &Node, words: &[&str]) {
    let output = node.run(&["config", "check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in {text}"));
}

/// From now on its store is the server, or the one in its folder again.
fn name_server(node: &Node, server: Option<&Server>) {
    let file = node.path("gatepost.toml");
    let text = fs::read_to_string(&file).unwrap();
    let before = text.split("[store]").next().unwrap();
    let store = server.map(|server| {
        let url = server.cluster.url("gatepost");
        format!("[store]\nurl = {url:?}\npassword_file = \"password\"\n")
    });
    fs::write(&file, format!("{before}{}", store.unwrap_or_default())).unwrap();
}

/// A node whose store is in its folder, and that has the server's password.
fn node_beside(destination: &Destination) -> Node {
    let setup = Node::to_port(destination.port).retry("schedule = [\"1s\"]\nback_off_first = \"1s\"\n");
    setup.file("password", lab::postgres::PASSWORD.as_bytes()).start()
}

/// Three messages that wait, and one that was delivered.
fn with_mail(node: &Node, is_open: &AtomicBool) {
    assert!(Client::connect(node.port).send_message("delivered").starts_with("250"));
    node.wait_until_empty();
    is_open.store(false, Ordering::Relaxed);
    for number in 0..3 {
        assert!(Client::connect(node.port).send_message(&format!("waits {number}")).starts_with("250"));
    }
    wait_for("a failure", || (node.trace().iter().filter(|row| row["status"] == "Pending").count() == 3).then_some(()));
    node.wait_for_failure();
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row["network_message_id"].as_str().unwrap().to_owned()).collect()
}

/// A destination that defers all mail while it is not open.
fn gated() -> (Destination, Arc<AtomicBool>) {
    let is_open = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&is_open);
    let destination = Destination::taking(move |_, line| {
        (line.starts_with("MAIL") && !gate.load(Ordering::Relaxed)).then_some(Say("451 4.3.0 not yet"))
    });
    (destination, is_open)
}

#[test]
fn postgres_delivers_mail_that_was_moved_there() {
    let server = Server::start();
    let (destination, is_open) = gated();
    let mut node = node_beside(&destination);
    with_mail(&node, &is_open);
    let before = ids(&node.trace());
    let migrate = ["store", "migrate"];
    refused(&node, &migrate, &["no server is named", "--to"]);
    name_server(&node, Some(&server));
    refused(&node, &migrate, &["held by another process", "node edge-1"]);
    // It is killed, and may hold leases.
    node.kill();
    // Nobody would deliver its mail.
    let left_behind = ["data has 3 deliveries that are not in the database", "store migrate --from", "without [store]"];
    refused(&node, &["serve"], &left_behind);
    faulty(&node, &left_behind);
    let output = node.run(&migrate);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("Moved and compared: 4 messages, 4 deliveries and "), "{text}");
    assert!(text.contains("\n  gatepost store migrate --undo --from "), "{text}");
    assert!(!text.contains(lab::postgres::PASSWORD), "{text}");
    refused(&node, &migrate, &["was moved to postgres://"]);
    name_server(&node, None);
    for command in [&["serve"][..], &["serve", "--accept-loss"], &["queue", "list"], &["backup", "copy"], &["why"]] {
        refused(&node, command, &["was moved to postgres://", "[store] url", "store migrate --undo --from"]);
    }
    faulty(&node, &["was moved to postgres://"]);
    name_server(&node, Some(&server));
    assert_eq!(node.run(&["config", "check"]).status.code(), Some(0));
    node.start();
    assert_eq!(ids(&node.trace()), before);
    refused(&node, &["store", "migrate", "--undo"], &["held by another process"]);
    let heard = destination.heard().len();
    is_open.store(true, Ordering::Relaxed);
    node.wait_until_empty();
    let rows = node.trace();
    assert!(rows.len() == 4 && rows.iter().all(|row| row["status"] == "Delivered"), "{rows:?}");
    assert_eq!(contents(&destination, heard), 3, "each once");
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    refused(&node, &["store", "migrate", "--undo"], &["have changed since", "cannot be undone"]);
}

#[test]
fn postgres_gives_a_folder_its_mail_back() {
    let server = Server::start();
    let (destination, is_open) = gated();
    let mut node = node_beside(&destination);
    with_mail(&node, &is_open);
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    let before = ids(&node.trace());
    name_server(&node, Some(&server));
    let there = node.json(&["store", "migrate"]);
    assert_eq!((&there["messages"], &there["copied_before"]), (&4.into(), &0.into()), "{there}");
    let folder = node.path("data").display().to_string();
    let url = server.cluster.url("gatepost");
    let back = node.json(&["store", "migrate", "--undo", "--from", &folder, "--to", &url]);
    assert_eq!((&back["messages"], &back["events"]), (&there["messages"], &there["events"]), "{back}");
    assert_eq!(server.cluster.sql("gatepost", "SELECT count(*) FROM queue_message").unwrap(), "0");
    name_server(&node, None);
    let heard = destination.heard().len();
    is_open.store(true, Ordering::Relaxed);
    node.start();
    node.wait_until_empty();
    assert_eq!(ids(&node.trace()), before);
    assert_eq!(contents(&destination, heard), 3, "each once");
}

/// How many messages the destination has got since.
fn contents(destination: &Destination, since: usize) -> usize {
    destination.heard().into_iter().skip(since).filter(|line| line == ".").count()
}

const MESSAGES: usize = 240_000;
const TASKS: usize = 64;
/// Of each settlement.
const MESSAGES_AT_ONCE: usize = 50;

fn large_store(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(folder, "edge-1").unwrap();
        let member = store.join("edge-1").await.unwrap().member;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let (store, member) = (store.clone(), member.clone());
            tasks.spawn(async move {
                for _ in 0..MESSAGES / TASKS / MESSAGES_AT_ONCE {
                    accept_and_settle(&store, &member).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        store.close().await;
    });
}

/// Every third one waits, and the others are finished.
async fn accept_and_settle(store: &SqliteStore, member: &Member) -> Result<(), StoreError> {
    let mut settlements = Vec::new();
    for index in 0..MESSAGES_AT_ONCE {
        let now = Timestamp::now();
        let id = Uuid::now_v7();
        let event = |by: &str| {
            let kind = EventKind::Retried { by: format!("{by} {}", "some more text that makes a row ".repeat(12)) };
            Event { at: now, node: "edge-1".to_owned(), message: id, recipient: None, kind }.into()
        };
        let recipient = Address::parse(&format!("{id}@onprem.test")).unwrap();
        let (connector, due_in, review_in) = ("onprem".to_owned(), Duration::ZERO, Duration::from_secs(3600));
        let message = NewMessage {
            network_message_id: id,
            received: now,
            envelope: Envelope::from(ReversePath::Null),
            message_id: Some(format!("{id}@partner.test")),
            subject: Some("A message".to_owned()),
            size_bytes: 4096,
            client: None,
            content: Content::Inline(Bytes::from(vec![b'x'; 4096])),
            withhold_addresses: false,
            deliveries: vec![NewDelivery { recipient, notify: None, orcpt: None, connector, due_in, review_in }],
        };
        let accepted = store.accept(message, Some(member.clone()), vec![event("one"), event("two")]).await?;
        let outcome = match index % 3 {
            0 => Outcome::Returned { review_in: None, delay_notified: false },
            _ => Outcome::Delivered { reply: Reply::new(250, None, "ok"), at: now },
        };
        settlements.push(Settlement {
            delivery: accepted.deliveries[0],
            lease: accepted.lease.unwrap(),
            message: accepted.message,
            outcome,
            events: vec![event("three")],
            notice: None,
            weak: None,
        });
    }
    assert_eq!(store.settle(settlements).await?, []);
    Ok(())
}

/// The most memory that a process had so far, in KiB.
fn peak_memory(process: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Killed while it copies, and once more while it compares.
#[test]
fn soak_postgres_takes_a_large_store_though_the_command_is_killed() {
    let server = Server::start();
    let destination = Destination::taking(|_, _| None);
    let mut node = node_beside(&destination);
    node.kill();
    let data = node.path("data");
    fs::remove_dir_all(&data).unwrap();
    large_store(&data);
    let count = MESSAGES / TASKS / MESSAGES_AT_ONCE * TASKS * MESSAGES_AT_ONCE;
    let waiting = count / MESSAGES_AT_ONCE * MESSAGES_AT_ONCE.div_ceil(3);
    name_server(&node, Some(&server));
    let begin = || {
        let mut command = node.command();
        command.args(["store", "migrate", "--format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let sql = |sql: &str| server.cluster.sql("gatepost", sql).unwrap();
    let copied = || -> usize {
        let is_there = sql("SELECT to_regclass('migration_batch') IS NOT NULL") == "t";
        if is_there { sql("SELECT coalesce(sum(messages), 0) FROM migration_batch").parse().unwrap() } else { 0 }
    };
    for share in [count / 3, count] {
        let mut process = begin();
        wait_for_long(|| copied() >= share);
        process.kill().unwrap();
        let status = process.wait().unwrap();
        assert!(!status.success(), "it was done before it was killed");
    }
    let mut process = begin();
    let mut peak = 0;
    wait_for_long(|| {
        peak = peak_memory(&process).unwrap_or(0).max(peak);
        process.try_wait().unwrap().is_some()
    });
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["messages"], &result["copied_before"]), (&count.into(), &count.into()), "{result}");
    assert_eq!(result["events"], 3 * count, "{result}");
    assert!(peak > 0 && peak < 200 * 1024, "{peak} KiB");
    assert_eq!(sql("SELECT count(*) FROM queue_message"), waiting.to_string());
    assert_eq!(sql("SELECT count(DISTINCT network_message_id) FROM history"), (count - waiting).to_string());
    assert_eq!(sql("SELECT count(DISTINCT uid) FROM event"), (3 * count).to_string());
    assert_eq!(sql("SELECT count(*) FROM body WHERE length(bytes) = 4096"), waiting.to_string());
}

fn wait_for_long(mut is_done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    while !is_done() {
        assert!(std::time::Instant::now() < deadline, "waited for three minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}
