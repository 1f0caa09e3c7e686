//! A rollout as an operator drives it: nodes follow without a restart, and every attempt says what it was made under.

use std::{
    path::Path,
    process::{Command, Output},
};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{Node, swaks, wait_for};

/// A command under another configuration than the node's.
fn run_under(configuration: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(configuration).args(arguments).output().unwrap()
}

fn last_attempt(node: &Node, recipient: &str) -> Value {
    wait_for(&format!("an attempt for {recipient}"), || {
        let row = node.trace().into_iter().find(|row| row["recipient"] == recipient)?;
        let events = row["events"].as_array()?;
        events.iter().rev().find(|event| !event["attempt"].is_null()).map(|event| event["attempt"].clone())
    })
}

fn set(node: &Node, arguments: &[&str]) {
    let output = node.run(&[&["rollout", "set", "--from", "old", "--to", "modern"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let version = node.json(&["rollout", "status"])["version"].clone();
    wait_for("the node to follow", || {
        (node.json(&["rollout", "status"])["nodes"][0]["plan_version"] == version).then_some(())
    });
}

#[test]
fn a_node_follows_the_plan_and_goes_back() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    // A policy of one's own, and a back-off that does not hold the test up.
    let node = Node::to_port(server.port())
        .connector("tls_policy = \"old\"\n")
        .retry("back_off_first = \"100ms\"\nback_off_max = \"100ms\"\n")
        .more(
            "[[tls_policy]]\nname = \"old\"\nminimum = \"1.0\"\nmaximum = \"1.2\"\nciphers = \"RC4-SHA\"\n\
             security_level = 0\n",
        )
        .start();
    let status = node.json(&["rollout", "status"]);
    assert!(status["version"].is_null() && status["nodes"][0]["node"] == "edge-1", "{status:#}");

    swaks(node.port, &["--to", "one@onprem.test"]);
    node.wait_for_status("one@onprem.test", "Delivered");
    let attempt = last_attempt(&node, "one@onprem.test");
    assert_eq!((&attempt["tls_policy"], &attempt["tls"]["cipher"]), (&"old".into(), &"RC4-SHA".into()), "{attempt:#}");
    assert!(attempt["plan_version"].is_null(), "{attempt:#}");
    // One suite was allowed, and one was offered.
    assert_eq!(attempt["handshake"]["client_hello"]["cipher_suites"], serde_json::json!([5]), "{attempt:#}");

    set(&node, &["--percent", "100"]);
    swaks(node.port, &["--to", "two@onprem.test"]);
    node.wait_for_failure();
    let attempt = last_attempt(&node, "two@onprem.test");
    assert_eq!((&attempt["tls_policy"], &attempt["plan_version"]), (&"modern".into(), &1.into()), "{attempt:#}");

    set(&node, &["--percent", "0"]);
    assert!(node.run(&["queue", "retry", "--all"]).status.success());
    node.wait_for_status("two@onprem.test", "Delivered");
    let attempt = last_attempt(&node, "two@onprem.test");
    assert_eq!((&attempt["tls_policy"], &attempt["plan_version"]), (&"old".into(), &2.into()), "{attempt:#}");

    set(&node, &["--node", "edge-1"]);
    // The plan outlives the process: a node that comes back does not fall back.
    let mut node = node;
    node.kill();
    node.start();
    swaks(node.port, &["--to", "three@onprem.test"]);
    let attempt = last_attempt(&node, "three@onprem.test");
    assert_eq!((&attempt["tls_policy"], &attempt["plan_version"]), (&"modern".into(), &3.into()), "{attempt:#}");

    for (arguments, expected) in [
        (&["--percent", "101"][..], "101 is not in 0..=100"),
        (&["--node", "edge-2"], "no node is called edge-2; nodes that reported in the last 10 minutes: edge-1"),
    ] {
        let output = node.run(&[&["rollout", "set", "--from", "old", "--to", "modern"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
    let output = node.run(&["rollout", "set", "--from", "old", "--to", "newest", "--percent", "50"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("unknown TLS policy \"newest\"; policies are: modern, intermediate, legacy, old"),
        "{error}"
    );
    assert_eq!(node.json(&["rollout", "status"])["version"], 3);
}

/// One node, all of it moved: what worked before and fails now speaks against the new policy.
#[test]
fn a_rollout_that_breaks_a_destination_halts_itself() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let node = Node::to_port(server.port())
        .connector("tls_policy = \"legacy\"\n")
        .retry("back_off_first = \"100ms\"\nback_off_max = \"100ms\"\n")
        .start();
    let send = |name: &str, count: usize| {
        for number in 1..=count {
            swaks(node.port, &["--to", &format!("{name}{number}@onprem.test")]);
        }
    };
    let status = || node.json(&["rollout", "status"]);
    send("before", 20);
    node.wait_until_empty();
    let output = node.run(&["rollout", "set", "--from", "legacy", "--to", "modern", "--percent", "100"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the node to follow", || (status()["nodes"][0]["plan_version"] == 1).then_some(()));
    send("after", 8);
    let halted = wait_for("the rollout to halt itself", || Some(status()).filter(|status| !status["halted"].is_null()));
    let reason = halted["halted"].as_str().unwrap();
    assert!(reason.contains("under TLS policy modern failed, 20 of 20 under TLS policy legacy worked"), "{reason}");
    let destination = format!("127.0.0.1:{}", server.port());
    assert_eq!(halted["trouble"]["destination"], *destination, "{halted:#}");
    assert_eq!(halted["trouble"]["check"], format!("gatepost probe {destination}"));
    // There was nobody left under the old policy.
    assert!(halted["by"] == "node edge-1" && halted["nodes"][0]["moved"] == false, "{halted:#}");
    assert!(node.log().contains("the rollout halted automatically"), "{}", node.log());
    let text = String::from_utf8(node.run(&["rollout", "status"]).stdout).unwrap();
    for expected in
        [&format!("HALTED AUTOMATICALLY: {destination}"), "--from legacy --to modern --percent 0", "rollout resume"]
    {
        assert!(text.contains(expected), "{text}");
    }
    let output = node.run(&["rollout", "set", "--from", "legacy", "--to", "modern", "--percent", "100"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the rollout is halted"));
    wait_for("the node to go back", || (status()["nodes"][0]["plan_version"] == 2).then_some(()));
    assert!(node.run(&["queue", "retry", "--all"]).status.success());
    node.wait_until_empty();

    // The operator knows better: it goes on, and does not halt for the same again.
    assert!(node.run(&["rollout", "resume"]).status.success());
    let resumed =
        wait_for("the node to move", || Some(status()).filter(|status| status["nodes"][0]["plan_version"] == 3));
    assert!(resumed["nodes"][0]["moved"] == true && resumed["accepted"][0] == *destination, "{resumed:#}");
    send("resumed", 8);
    wait_for("all to fail", || {
        (node.queue().iter().filter(|row| !row["failure"].is_null()).count() == 8).then_some(())
    });
    // Two looks later.
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert!(status()["halted"].is_null(), "{:#}", status());
}

/// Mail flows on in the clear, and nothing fails: what is lost is the encryption.
#[test]
fn a_rollout_that_costs_a_destination_its_encryption_halts_itself() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let node = Node::to_port(server.port())
        .connector("tls_policy = \"legacy\"\non_handshake_failure = \"plaintext\"\nmessages_per_connection = 1\n")
        .start();
    let send = |name: &str, count: usize| {
        for number in 1..=count {
            swaks(node.port, &["--to", &format!("{name}{number}@onprem.test")]);
        }
        node.wait_until_empty();
    };
    let status = || node.json(&["rollout", "status"]);
    send("before", 20);
    let output = node.run(&["rollout", "set", "--from", "legacy", "--to", "intermediate", "--percent", "100"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the node to follow", || (status()["nodes"][0]["plan_version"] == 1).then_some(()));
    send("after", 8);
    assert!(node.trace().iter().all(|row| row["status"] == "Delivered"));
    let halted = wait_for("the rollout to halt itself", || Some(status()).filter(|status| !status["halted"].is_null()));
    let destination = format!("127.0.0.1:{}", server.port());
    let reason = halted["halted"].as_str().unwrap();
    let (before, rest) = reason.split_once(" (").unwrap();
    assert_eq!(
        before,
        format!(
            "mail to {destination} goes in plaintext under the TLS policy intermediate, because the TLS handshake fails"
        )
    );
    // It halts as soon as it is sure, with or without the last of them.
    let (attempts, after) = rest.split_once(' ').unwrap();
    assert!((2..=8).contains(&attempts.parse().unwrap()), "{reason}");
    assert_eq!(
        after,
        "attempts, no-shared-cipher); under legacy it was encrypted (20 attempts, always with TLSv1 RC4-SHA)"
    );
    assert_eq!(halted["trouble"]["cause"], "no-shared-cipher", "{halted:#}");
    // To those who ask why mail is stuck, nothing is.
    let output = node.run(&["why", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A node that has not got the policy says so once, and stays as it is.
#[test]
fn a_plan_that_a_node_cannot_follow_is_not_followed() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port()).file("more.toml", b"").start();
    // Set from a machine whose configuration is newer.
    let newer = std::fs::read_to_string(node.path("gatepost.toml")).unwrap();
    let newer = format!("{newer}[[tls_policy]]\nname = \"newest\"\nminimum = \"1.3\"\n");
    std::fs::write(node.path("more.toml"), newer).unwrap();
    let more = node.path("more.toml");
    let arguments = ["rollout", "set", "--from", "modern", "--to", "newest", "--percent", "100"];
    let output = run_under(&more, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = || node.log().matches("failed to follow the new rollout plan").count();
    wait_for("the node to say so", || (told() > 0).then_some(()));
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    let attempt = last_attempt(&node, "user@onprem.test");
    assert!(attempt["tls_policy"] == "modern" && attempt["plan_version"].is_null(), "{attempt:#}");
    assert!(node.json(&["rollout", "status"])["nodes"][0]["plan_version"].is_null());
    assert_eq!(told(), 1, "{}", node.log());
}

#[test]
fn a_faulty_policy_is_refused_with_its_place() {
    let node = Node::to_port(9).start();
    let file = node.path("faulty.toml");
    let table = [
        ("ciphers = \"RC5-SHA\"\nsecurity_level = 0\n", "ciphers: "),
        ("ciphers = \"\"\n", "ciphers: "),
        ("groups = \"X25518\"\n", "groups: "),
        ("maximum = \"1.1\"\n", "minimum: the minimum, TLS 1.2, is newer than the maximum, TLS 1.1"),
        ("suites = \"TLS_RC4\"\n", "suites: "),
    ];
    for (settings, expected) in table {
        std::fs::write(&file, format!("[[tls_policy]]\nname = \"x\"\nminimum = \"1.2\"\n{settings}")).unwrap();
        let output = run_under(&file, &["config", "check"]);
        let error = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{settings}: {error}");
        assert!(error.contains(expected), "{settings}: {error}");
    }
}
