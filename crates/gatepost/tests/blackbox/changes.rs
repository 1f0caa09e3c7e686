//! The change log as an operator reads it: each change is there, with its time, its node and who made it.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{
    Node,
    database::Server,
    node::Setup,
    script::{Client, Destination, Say},
    wait_for,
};

/// All that would take minutes takes a moment.
const QUICK: &str = "[watch]\ninterval = \"100ms\"\noldest_named = \"300ms\"\noldest = \"300ms\"\n";

/// A destination that offers STARTTLS no more, and refuses all mail, once it is told to.
fn destination() -> (Destination, Arc<AtomicBool>) {
    let is_broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&is_broken);
    let destination = Destination::taking(move |_, line| {
        let is_broken = breaks.load(Ordering::Relaxed);
        match line.get(..4) {
            Some("EHLO") if is_broken => Some(Say("250-scripted.test\r\n250 SIZE 1000000")),
            Some("EHLO") => Some(Say("250-scripted.test\r\n250-PIPELINING\r\n250 SIZE 2000000")),
            Some("MAIL") if is_broken => Some(Say("451 4.3.0 disk full")),
            _ => None,
        }
    });
    (destination, is_broken)
}

fn setup(port: u16) -> Setup {
    // Each message has a connection of its own, and so shows what the destination is now.
    let connector = "messages_per_connection = 1\n";
    Node::to_port(port).connector(connector).retry("schedule = [\"300ms\"]\nback_off_first = \"100ms\"\n").more(QUICK)
}

fn changes(node: &Node, more: &[&str]) -> Vec<Value> {
    node.json(&[&["changes"], more].concat())["changes"].as_array().unwrap().clone()
}

/// Waits for a change of that kind; returns the newest.
fn wait_for_change(node: &Node, kind: &str) -> Value {
    wait_for(kind, || changes(node, &["--kind", kind]).into_iter().next())
}

fn run(node: &Node, arguments: &[&str]) {
    let output = node.command().env_remove("SUDO_USER").env("USER", "amy").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn replace_in_configuration(node: &Node, old: &str, new: &str) {
    let file = node.path("gatepost.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(&file, text.replace(old, new)).unwrap();
}

/// What an operator does and what happens meanwhile is listed, newest first.
fn story(mut node: Node, is_broken: &AtomicBool) {
    assert!(Client::connect(node.port).send_message("works").starts_with("250"));
    node.wait_until_empty();
    replace_in_configuration(&node, "[retry]\n", "[retry]\nexpire = \"5h\"\n");
    node.signal("-HUP");
    let reloaded = wait_for_change(&node, "reloaded");
    let settings = json!([{ "setting": "[retry] expire", "old": "24h", "new": "5h" }]);
    assert_eq!((&reloaded["node"], &reloaded["who"]), (&json!("edge-1"), &json!("node edge-1")));
    assert_eq!(reloaded["facts"], json!({ "settings": settings }), "{reloaded:#}");

    is_broken.store(true, Ordering::Relaxed);
    assert!(Client::connect(node.port).send_message("waits").starts_with("250"));
    let changed = wait_for_change(&node, "destination-changed");
    let what = changed["what"].as_str().unwrap();
    assert!(
        what.contains("size limit 1000000 bytes, before 2000000 bytes; EHLO no longer offers PIPELINING"),
        "{what}"
    );
    let opened = wait_for_change(&node, "incident-opened");
    assert_eq!((&opened["who"], &opened["facts"]["connector"]), (&json!("node edge-1"), &json!("onprem")));

    run(&node, &["queue", "suspend", "--recipient", "user@onprem.test"]);
    run(&node, &["rollout", "set", "--from", "modern", "--to", "legacy", "--percent", "100"]);
    run(&node, &["node", "drain", "edge-1"]);
    run(&node, &["node", "resume", "edge-1"]);
    let suspended = wait_for_change(&node, "queue-command");
    let facts = json!({
        "command": "suspend",
        "selection": { "recipient": "withheld@onprem.test" },
        "deliveries": 1,
    });
    assert_eq!((&suspended["who"], &suspended["node"], &suspended["facts"]), (&json!("amy"), &Value::Null, &facts));
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));

    let all = changes(&node, &["--since", "1h"]);
    let mut names: Vec<&str> = all.iter().filter_map(|change| change["change"].as_str()).collect();
    // With more attempts, an incident's cause may change.
    names.retain(|name| !name.starts_with("incident-"));
    let operator = ["node-resumed", "node-drained", "rollout-set", "queue-command"];
    let expected = [&["stopped"], &operator[..], &["destination-changed", "reloaded", "started"]].concat();
    assert_eq!(names, expected);
    for change in all.iter().filter(|change| operator.contains(&change["change"].as_str().unwrap())) {
        assert_eq!(change["who"], "amy", "{change:#}");
    }
    // In pages, and for people.
    let page = node.json(&["changes", "--limit", "1"]);
    let next = page["next"].as_str().unwrap();
    assert_eq!(changes(&node, &["--limit", "1", "--after", next])[0], all[1]);
    assert!(changes(&node, &["--node", "edge-2"]).is_empty() && changes(&node, &["--until", "1h"]).is_empty());
    let text = String::from_utf8(node.run(&["changes"]).stdout).unwrap();
    for part in ["rollout from modern to legacy: 100%, moved: edge-1", "amy", "node stopped", "[retry] expire"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn all_changes_are_listed_with_who_made_them() {
    let (destination, is_broken) = destination();
    story(setup(destination.port).start(), &is_broken);
}

#[test]
fn postgres_lists_all_changes_with_who_made_them() {
    let server = Server::start();
    let (destination, is_broken) = destination();
    let store = format!("[store]\nurl = {:?}\npassword_file = \"password\"\n", server.cluster.url("gatepost"));
    let node = setup(destination.port).more(&store).file("password", lab::postgres::PASSWORD.as_bytes()).start();
    story(node, &is_broken);
}

/// A node that was down while its destination changed sees it when it is back.
#[test]
fn a_change_of_a_destination_is_seen_after_a_restart() {
    let (destination, is_broken) = destination();
    let mut node = setup(destination.port).start();
    assert!(Client::connect(node.port).send_message("works").starts_with("250"));
    node.wait_until_empty();
    // What was seen is stored within a second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    node.kill();
    is_broken.store(true, Ordering::Relaxed);
    node.start();
    assert!(Client::connect(node.port).send_message("waits").starts_with("250"));
    let changed = wait_for_change(&node, "destination-changed");
    assert_eq!((&changed["node"], &changed["facts"]["host"]), (&json!("edge-1"), &json!("127.0.0.1")), "{changed:#}");
    // Killed: nothing says that it stopped.
    assert!(changes(&node, &["--kind", "stopped"]).is_empty());
    assert_eq!(changes(&node, &["--kind", "started"]).len(), 2);
}

#[test]
fn postgres_lists_configurations_of_the_fleet_and_who_follows_them() {
    let (server, destination) = (Server::start(), Destination::taking(|_, _| None));
    let node = server.node("edge-1", Node::to_port(destination.port)).start();
    let fleet = format!(
        "[[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
         [[connector]]\nname = \"onprem\"\nhosts = [\"127.0.0.1:{}\"]\n[retry]\nexpire = \"5d\"\n",
        destination.port
    );
    fs::write(node.path("fleet.toml"), fleet).unwrap();
    run(&node, &["config", "apply", node.path("fleet.toml").to_str().unwrap(), "--comment", "longer"]);
    let applied = wait_for_change(&node, "configuration-applied");
    assert_eq!((&applied["who"], &applied["node"]), (&json!("amy"), &Value::Null));
    assert_eq!((&applied["facts"]["version"], &applied["facts"]["comment"]), (&json!(1), &json!("longer")));
    let reloaded = wait_for_change(&node, "reloaded");
    assert_eq!((&reloaded["who"], &reloaded["node"]), (&json!("amy"), &json!("edge-1")));
    let settings = json!([{ "setting": "[retry] expire", "old": "24h", "new": "5d" }]);
    assert_eq!(reloaded["facts"], json!({ "settings": settings, "configuration": 1 }), "{reloaded:#}");
}
