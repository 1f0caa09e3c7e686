//! Nodes that share a PostgreSQL server: any of them may die.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::support::{
    Node,
    database::Server,
    script::{Client, Destination, Say},
    wait_for,
};

/// Two nodes that try again soon, and their destination, which defers all mail while it is not open.
fn two_nodes(server: &Server, is_open: &Arc<AtomicBool>) -> (Destination, [Node; 2]) {
    let gate = Arc::clone(is_open);
    let destination = Destination::taking(move |_, line| {
        let is_closed = !gate.load(Ordering::Relaxed);
        (is_closed && line.starts_with("MAIL")).then_some(Say("451 4.3.0 not yet"))
    });
    let port = destination.port;
    let node = |name| {
        let setup = Node::to_port(port).retry("schedule = [\"1s\"]\nback_off_first = \"1s\"\n");
        server.node(name, setup).start()
    };
    (destination, [node("edge-1"), node("edge-2")])
}

/// Sends a message from a sender of its own, until it is answered 250.
pub(crate) fn send(node: &Node, number: u32) {
    let mut client = Client::connect(node.port);
    for (line, code) in [
        ("EHLO client.test".to_owned(), "250"),
        (format!("MAIL FROM:<s{number}@partner.test>"), "250"),
        (format!("RCPT TO:<r{number}@onprem.test>"), "250"),
        ("DATA".to_owned(), "354"),
        (format!("Subject: {number}\r\n\r\ntext\r\n."), "250"),
    ] {
        let reply = client.say(&line);
        assert!(reply.starts_with(code), "{line}: {reply}");
    }
}

/// Sends a message of no account; the last reply.
pub(crate) fn try_to_send(node: &Node) -> String {
    let mut client = Client::connect(node.port);
    let mut reply = String::new();
    for (line, code) in [
        ("EHLO client.test", "250"),
        ("MAIL FROM:<s@partner.test>", "250"),
        ("RCPT TO:<r@onprem.test>", "250"),
        ("DATA", "354"),
        ("Subject: not counted\r\n\r\ntext\r\n.", "250"),
    ] {
        reply = client.say(line);
        if !reply.starts_with(code) {
            break;
        }
    }
    reply
}

/// Half of the mail comes in while the destination takes none, so that each node holds some when one is killed.
#[test]
fn postgres_keeps_the_mail_of_a_node_that_is_killed() {
    let server = Server::start();
    let is_open = Arc::new(AtomicBool::new(false));
    let (destination, mut nodes) = two_nodes(&server, &is_open);
    for number in 0..60 {
        send(&nodes[number as usize % 2], number);
    }
    // What one node took is seen through the other.
    assert_eq!(nodes[1].queue().len(), 60);
    nodes[0].kill();
    for number in 60..100 {
        send(&nodes[1], number);
    }
    is_open.store(true, Ordering::Relaxed);
    // Its process has ended, and its name is free at once.
    nodes[0].start();
    let delivered = || -> BTreeSet<String> {
        let rows = nodes[1].trace().into_iter().filter(|row| row["status"] == "Delivered");
        rows.map(|row| row["recipient"].as_str().unwrap().to_owned()).collect()
    };
    for _ in 0..10 {
        let before = delivered().len();
        if before == 100 {
            break;
        }
        wait_for("more mail to be delivered", || (delivered().len() > before).then_some(()));
    }
    let expected: BTreeSet<String> = (0..100).map(|number| format!("r{number}@onprem.test")).collect();
    wait_for("all mail to be delivered", || (delivered() == expected).then_some(()));
    nodes[1].wait_until_empty();
    let heard: BTreeSet<String> = destination.heard().into_iter().filter(|line| line.starts_with("MAIL")).collect();
    assert_eq!(heard.len(), 100, "the destination has heard of each");
    assert_eq!(server.cluster.sql("gatepost", "SELECT count(*) FROM queue_message").unwrap(), "0");
    assert_eq!(server.cluster.sql("gatepost", "SELECT count(DISTINCT message) FROM history").unwrap(), "100");
}

/// Its clients are sent elsewhere, it finishes what it holds and takes nothing more, also after a restart.
#[test]
fn postgres_drains_a_node() {
    let server = Server::start();
    let is_open = Arc::new(AtomicBool::new(true));
    let (destination, mut nodes) = two_nodes(&server, &is_open);
    send(&nodes[0], 0);
    let said = |node: &Node, arguments: &[&str]| {
        let output = node.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let state = |node: &Node| {
        let list: serde_json::Value = serde_json::from_str(&said(node, &["node", "list", "--format", "json"])).unwrap();
        list["nodes"][0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&nodes[1]), "running");
    let mut early = Client::connect(nodes[0].port);
    for line in ["EHLO client.test", "MAIL FROM:<s@partner.test>", "RCPT TO:<r@onprem.test>"] {
        assert!(early.say(line).starts_with("250"));
    }
    let drained = said(&nodes[1], &["node", "drain", "edge-1", "--wait"]);
    assert!(drained.starts_with("edge-1 is drained and has nothing left to do."), "{drained}");
    assert_eq!(state(&nodes[1]), "drained");
    // A client that is there is sent away before its message, and a new one at once.
    assert!(early.say("DATA").starts_with("421 4.3.2 "));
    assert!(Client::try_connect(nodes[0].port).is_none());
    // Without the other node, mail waits, and the drained node does not touch it.
    is_open.store(false, Ordering::Relaxed);
    send(&nodes[1], 1);
    nodes[1].wait_for_failure();
    nodes[1].kill();
    is_open.store(true, Ordering::Relaxed);
    nodes[0].kill();
    nodes[0].start();
    assert_eq!(state(&nodes[0]), "drained", "it stays drained");
    let mails = || destination.heard().iter().filter(|line| line.starts_with("MAIL")).count();
    let before = mails();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(mails(), before);
    said(&nodes[0], &["node", "resume", "edge-1"]);
    nodes[0].wait_until_empty();
    wait_for("mail to be taken again", || Client::try_connect(nodes[0].port));
    send(&nodes[0], 2);
    nodes[0].wait_until_empty();
    assert_eq!(state(&nodes[0]), "running");
}

/// The commands of a node work on what all nodes share.
#[test]
fn postgres_answers_the_commands() {
    let server = Server::start();
    let setup = Node::to_port(1).retry("schedule = [\"1h\"]\n");
    let node = server.node("edge-1", setup).start();
    send(&node, 1);
    let row = node.wait_for_failure();
    let id = row["network_message_id"].as_str().unwrap();
    for arguments in [
        &["queue", "show", id][..],
        &["queue", "list"],
        &["queue", "list", "--by", "cause"],
        &["trace", "--recipient", "r1@onprem.test"],
        &["trace", "--detail"],
        &["rollout", "status"],
        &["node", "list"],
        &["incident", "list"],
        &["policy", "ledger"],
    ] {
        let output = node.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let why = node.run(&["why", "onprem"]);
    assert_eq!(why.status.code(), Some(1), "{}", String::from_utf8_lossy(&why.stderr));
    assert!(String::from_utf8_lossy(&why.stdout).contains("connection-refused"));
    let backup = node.run(&["backup", "folder"]);
    assert_eq!(backup.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&backup.stderr).contains("pg_basebackup"));
    let removed = node.run(&["queue", "remove", "--all", "--yes"]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert!(node.queue().is_empty());
    // The data folder is this node's, although its store is elsewhere.
    let second = node.run(&["serve"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("held by another process"));
    let check = node.run(&["config", "check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn postgres_is_checked_before_it_is_trouble() {
    let mut server = Server::start();
    let node = server.node("edge-1", Node::to_port(1)).start();
    let check = node.json(&["store", "check"]);
    assert_eq!((&check["warnings"], &check["sees_all"]), (&serde_json::json!([]), &serde_json::json!(true)));
    assert_eq!(check["tables"].as_array().unwrap().len(), 3, "{check:#}");
    let table = node.run(&["store", "check"]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.starts_with("PostgreSQL 15") && text.contains("queue_delivery"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    server.cluster.restart(&["synchronous_standby_names=nobody"]).unwrap();
    let alone = node.run(&["store", "check"]);
    let text = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert_eq!(alone.status.code(), Some(1), "{text}");
    assert!(text.contains("no-standby: standbys that must confirm"), "{text}");
    let embedded = Node::to_port(1).start().run(&["store", "check"]);
    assert_eq!(embedded.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&embedded.stderr).contains("data folder"));
}

/// Exit status 2, with what to do.
#[test]
fn postgres_that_cannot_be_used_is_named_at_the_start() {
    let server = Server::start();
    let node = server.node("edge-1", Node::to_port(1)).start();
    let run = |change: &dyn Fn(String) -> String, arguments: &[&str], status: i32, words: &[&str]| {
        let text = fs::read_to_string(node.path("gatepost.toml")).unwrap();
        let text = change(text).replacen("hostname = ", "data = \"other\"\nhostname = ", 1);
        let text = text.replace(&format!(":{}\"", node.port), ":0\"");
        fs::write(node.path("other.toml"), text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let output = command.arg("--config").arg(node.path("other.toml")).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word} is not in: {said}"));
    };
    let refused = |change: &dyn Fn(String) -> String, words: &[&str]| run(change, &["serve"], 2, words);
    // What stops a node is an error of the check, too, unless it may pass.
    let checked = |change: &dyn Fn(String) -> String, status: i32, words: &[&str]| {
        refused(change, words);
        run(change, &["config", "check"], status, words);
    };
    let port = server.cluster.port().to_string();
    checked(&|text| text.replace(&port, "1"), 0, &["127.0.0.1:1", "cannot be reached", "[store] url"]);
    checked(&|text| text.replace("/gatepost\"", "/missing\""), 1, &["no database missing", "--owner gatepost missing"]);
    fs::write(node.path("wrong"), "wrong").unwrap();
    checked(&|text| text.replace("\"password\"", "\"wrong\""), 1, &["refuses the login of user", "password_file"]);
    let latin = "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0";
    server.cluster.sql("postgres", latin).unwrap();
    checked(&|text| text.replace("/gatepost\"", "/latin\""), 1, &["has the encoding LATIN1"]);
    let reader = "CREATE ROLE reader LOGIN PASSWORD 'secret'";
    server.cluster.sql("postgres", reader).unwrap();
    let of_reader = |text: String| text.replace("postgres://gatepost@", "postgres://reader@");
    checked(&of_reader, 1, &["user reader may not use the tables", "[store] url"]);
    refused(&|text| text, &["another node named edge-1 is running"]);
    let url = ["begins with mysql://", "postgres://USER@HOST:PORT/DATABASE"];
    run(&|text| text.replace("postgres://", "mysql://"), &["config", "check"], 1, &url);
    refused(&|text| text.replace("postgres://", "mysql://"), &url);
    // The check says nothing of a password but where it counts.
    let twice = |text: String| text.replace("gatepost@", "gatepost:s3cret@");
    run(&twice, &["config", "check"], 0, &["the password in postgres://gatepost:***@", "password_file applies"]);
    run(&twice, &["config", "show"], 0, &["postgres://gatepost:***@"]);
}
