//! Bodies of large messages in a folder that the nodes share, or in S3: mail arrives whole, and nothing is left behind. If they
//! are away, only large mail waits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lab::s3::{Front, KEY_ID, Mood, SECRET, SeaweedFs};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Node,
    database::Server,
    load::{Load, Sink, kill_in_turn},
    node::Setup,
    python_packages,
    script::{Client, Destination, Say},
    wait_for,
};

const RETRY: &str = "schedule = [\"1s\"]\nback_off_first = \"1s\"\nback_off_max = \"2s\"\n";
const LARGE: usize = 1_000_000;

/// A node on this server, with more lines for `[store]`.
fn node(server: &Server, name: &str, port: u16, bodies: &str) -> Setup {
    server.node_with(name, bodies, Node::to_port(port).retry(RETRY))
}

fn in_folder(folder: &Path) -> String {
    format!("bodies = {folder:?}\n")
}

/// Files of pieces in a folder with bodies.
fn pieces(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let shards = entries(folder.to_owned()).flat_map(entries).filter(|shard| shard.is_dir());
    shards.flat_map(entries).collect()
}

/// Sends a message of about this size. Returns the answer to it.
fn send(node: &Node, recipient: &str, bytes: usize) -> String {
    let mut client = Client::connect(node.port);
    let line = "x".repeat(70);
    let content = std::iter::repeat_n(line.as_str(), bytes / 72).collect::<Vec<_>>().join("\r\n");
    for (line, code) in [
        ("EHLO client.test".to_owned(), "250"),
        ("MAIL FROM:<a@partner.test>".to_owned(), "250"),
        (format!("RCPT TO:<{recipient}@onprem.test>"), "250"),
        ("DATA".to_owned(), "354"),
    ] {
        let reply = client.say(&line);
        assert!(reply.starts_with(code), "{line}: {reply}");
    }
    client.say(&format!("Subject: {recipient}\r\n\r\n{content}\r\n."))
}

fn take(node: &Node, recipient: &str, bytes: usize) {
    let reply = send(node, recipient, bytes);
    assert!(reply.starts_with("250"), "{reply}");
}

fn is_delivered(node: &Node, recipient: &str) {
    node.wait_for_status(&format!("{recipient}@onprem.test"), "Delivered");
}

fn check(node: &Node) -> Value {
    serde_json::from_slice(&node.run(&["store", "check", "--format", "json"]).stdout).unwrap()
}

/// SeaweedFS with a front before it, and the lines of `[store]` that lead there.
struct S3 {
    server: SeaweedFs,
    front: Front,
    _folder: TempDir,
}

impl S3 {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = SeaweedFs::start(&python_packages(), folder.path())
            .expect("SeaweedFS is not unpacked in target/peers, or does not start: run ./test once");
        let front = Front::before(server.port()).unwrap();
        Self { server, front, _folder: folder }
    }

    fn node(&self, server: &Server, name: &str, port: u16) -> Setup {
        let endpoint = format!("http://127.0.0.1:{}", self.front.port());
        let bodies =
            format!("bodies = \"s3://mail/edge\"\nbodies_endpoint = {endpoint:?}\nbodies_key_file = \"s3-key\"\n");
        node(server, name, port, &bodies).file("s3-key", format!("{KEY_ID}\n{SECRET}\n").as_bytes())
    }
}

#[test]
fn postgres_large_mail_goes_through_a_shared_folder() {
    let (server, folder, sink) = (Server::start(), tempfile::tempdir().unwrap(), Sink::start());
    let bodies = in_folder(folder.path());
    let closed = Destination::taking(|_, line| line.starts_with("MAIL").then_some(Say("451 4.3.0 not yet")));
    let mut one = node(&server, "edge-1", closed.port, &bodies).start();
    take(&one, "large", LARGE);
    take(&one, "small", 1000);
    assert_eq!(pieces(folder.path()).len(), LARGE.div_ceil(256 * 1024));
    let health = check(&one);
    assert_eq!(
        (&health["bodies"]["place"], &health["bodies"]["needed"]),
        (&folder.path().to_str().unwrap().into(), &1.into())
    );
    one.signal("-TERM");
    one.wait();
    // Another node reads what the first one wrote.
    let other = node(&server, "edge-2", sink.port, &bodies).start();
    ["large", "small"].into_iter().for_each(|recipient| is_delivered(&other, recipient));
    assert!(sink.size_of("large").unwrap() > LARGE - 1000);
    wait_for("the body to be deleted", || pieces(folder.path()).is_empty().then_some(()));
    assert_eq!(check(&other)["bodies"]["gone"], 0);
}

/// For what takes as long as a node takes to be missed.
fn wait_long(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(100);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited 100 s for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// It is deferred, whatever is missing, and its destination hears nothing of it if that is the beginning.
#[test]
fn postgres_a_missing_body_defers_its_message() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let is_open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_open);
    let destination = Destination::taking(move |_, line| {
        let is_closed = !gate.load(Ordering::Relaxed);
        (is_closed && line.starts_with("MAIL")).then_some(Say("451 4.3.0 not yet"))
    });
    let node = node(&server, "edge-1", destination.port, &in_folder(folder.path())).start();
    take(&node, "large", LARGE);
    let mut files = pieces(folder.path());
    files.sort();
    let kept: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    // The first piece, and then one in the middle.
    for index in [0, 1] {
        node.run(&["queue", "suspend", "--all"]);
        wait_for("the message to be suspended", || (node.queue()[0]["state"] == "suspended").then_some(()));
        fs::write(&files[0], &kept[0]).unwrap();
        fs::remove_file(&files[index]).unwrap();
        is_open.store(true, Ordering::Relaxed);
        let said = destination.heard().len();
        node.run(&["queue", "resume", "--all"]);
        let words = format!("piece {} of {} of the message's content is missing", index + 1, files.len());
        let find = || node.queue().into_iter().find(|row| row["failure"].to_string().contains(&words));
        let row = wait_for("the fault", find);
        assert_eq!((&row["failure"]["kind"], &row["failure"]["phase"]), (&"local".into(), &"data".into()), "{row:#}");
        let heard = destination.heard()[said..].concat();
        assert_eq!(heard.contains("MAIL"), index > 0, "{heard}");
        assert!(!destination.heard()[said..].contains(&".".to_owned()), "it was not sent");
        let why: Value = serde_json::from_slice(&node.run(&["why", "--format", "json"]).stdout).unwrap();
        assert!(why["findings"].to_string().contains("local-configuration-error"), "{why:#}");
    }
    fs::write(&files[1], &kept[1]).unwrap();
    is_delivered(&node, "large");
}

/// Large mail is answered 451 in time; small mail flows.
fn only_small_mail_flows(node: &Node, name: &str) {
    let began = Instant::now();
    let reply = send(node, "refused", LARGE);
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    take(node, name, 1000);
    is_delivered(node, name);
    assert!(node.log().contains("failed to write to the store"), "{}", node.log());
}

#[test]
fn postgres_only_large_mail_waits_for_s3_that_is_slow_or_busy() {
    let (server, s3, sink) = (Server::start(), S3::start(), Sink::start());
    let node = s3.node(&server, "edge-1", sink.port).start();
    for mood in [Mood::Busy, Mood::Silent] {
        s3.front.become_mood(mood);
        only_small_mail_flows(&node, &format!("small-{mood:?}"));
    }
    s3.front.become_mood(Mood::Well);
    take(&node, "large", LARGE);
    is_delivered(&node, "large");
    assert!(sink.size_of("large").unwrap() > LARGE - 1000);
}

#[test]
fn postgres_only_large_mail_waits_for_s3_that_is_killed() {
    let (server, mut s3, sink) = (Server::start(), S3::start(), Sink::start());
    let node = s3.node(&server, "edge-1", sink.port).start();
    s3.server.kill();
    only_small_mail_flows(&node, "small");
    let warnings = check(&node)["warnings"].to_string();
    assert!(warnings.contains("bodies-unavailable"), "{warnings}");
    s3.server.restart().unwrap();
    wait_for("S3 to be used again", || send(&node, "large", LARGE).starts_with("250").then_some(()));
    is_delivered(&node, "large");
}

/// Mail that was taken before waits in the queue, with the cause.
#[test]
fn postgres_mail_in_the_queue_waits_for_s3() {
    let (server, s3) = (Server::start(), S3::start());
    let closed = Destination::taking(|_, line| line.starts_with("MAIL").then_some(Say("451 4.3.0 not yet")));
    let mut node = s3.node(&server, "edge-1", closed.port).start();
    take(&node, "large", LARGE);
    node.wait_for_failure();
    s3.front.become_mood(Mood::Busy);
    let row = wait_for("the fault", || node.queue().into_iter().find(|row| row["failure"]["kind"] == "local"));
    assert!(row["failure"].to_string().contains("s3://mail/edge"), "{row:#}");
    // It cannot start while it is so, and says why.
    node.kill();
    let output = node.command().arg("serve").stdout(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("s3://mail/edge") && text.contains("503"), "{text}");
    s3.front.become_mood(Mood::Well);
    node.start();
    node.wait_for_failure();
}

#[test]
fn postgres_a_node_without_the_place_of_bodies_does_not_start() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let _first = node(&server, "edge-1", 9, &in_folder(folder.path())).start();
    let other = tempfile::tempdir().unwrap();
    let refused = |bodies: &str| {
        let text = node(&server, "edge-2", 9, bodies).configuration(crate::support::free_port());
        let file = other.path().join("gatepost.toml");
        fs::write(other.path().join("password"), lab::postgres::PASSWORD).unwrap();
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let output = command.arg("--config").arg(&file).arg("serve").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let place = folder.path().to_str().unwrap();
    let text = refused(&in_folder(&other.path().join("unmounted")));
    assert!(text.contains(place) && text.contains("unmounted") && text.contains("Mount it"), "{text}");
    let text = refused("");
    assert!(text.contains(place) && text.contains("[store] bodies is not set"), "{text}");
}

/// Every message that was answered 250 arrives, and nothing is left in the folder.
#[test]
fn soak_postgres_loses_no_large_mail_when_nodes_are_killed() {
    let (server, folder, sink) = (Server::start(), tempfile::tempdir().unwrap(), Sink::start());
    let bodies = in_folder(folder.path());
    let mut nodes = ["edge-1", "edge-2"].map(|name| node(&server, name, sink.port, &bodies).start());
    let load = Load::of(600_000, &[nodes[0].port, nodes[1].port], &sink);
    kill_in_turn(&mut nodes, (0..9).map(|round| Duration::from_millis(700 + 90 * round)));
    let account = load.end(&nodes[1]);
    assert!(account.answered > 30, "only {} messages: the load was too light", account.answered);
    wait_long("all bodies to be deleted", || pieces(folder.path()).is_empty());
}

/// The same with S3, which is killed, too.
#[test]
fn soak_postgres_loses_no_large_mail_when_s3_and_nodes_are_killed() {
    let (server, mut s3, sink) = (Server::start(), S3::start(), Sink::start());
    let mut nodes = ["edge-1", "edge-2"].map(|name| s3.node(&server, name, sink.port).start());
    let load = Load::of(600_000, &[nodes[0].port, nodes[1].port], &sink);
    for round in 0..4 {
        let before = load.answered();
        wait_long("mail to flow", || load.answered() > before + 5);
        match round {
            0 | 2 => {
                nodes[round / 2].kill();
                nodes[round / 2].start();
            }
            _ => {
                s3.server.kill();
                thread::sleep(Duration::from_secs(2));
                s3.server.restart().unwrap();
            }
        }
    }
    load.end(&nodes[0]);
    wait_long("all bodies to be deleted", || {
        let bodies = &check(&nodes[0])["bodies"];
        bodies["needed"] == 0 && bodies["gone"] == 0
    });
}
