//! Start, reload, stop, and what stands in the way of each.

use std::{fs, process::Stdio, thread, time::Duration};

use crate::support::{
    Node,
    script::{Client, Destination},
    wait_for,
};

#[test]
fn a_good_new_configuration_is_taken_and_a_bad_one_is_not() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).start();
    let recipient = |client: &mut Client, address: &str| {
        client.say("RSET");
        client.say("MAIL FROM:<alice@partner.test>");
        client.say(&format!("RCPT TO:<{address}>"))
    };
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    assert!(recipient(&mut client, "user@second.test").starts_with('5'));
    let old = fs::read_to_string(node.path("gatepost.toml")).unwrap();

    let bad = old.replace("[retry]", "[retry]\nschedul = [\"1m\"]");
    fs::write(node.path("gatepost.toml"), bad).unwrap();
    node.signal("-HUP");
    wait_for("a complaint", || node.log().contains("schedul").then_some(()));
    assert!(recipient(&mut client, "user@onprem.test").starts_with("250"));

    fs::write(
        node.path("gatepost.toml"),
        old.replace("[retry]", "[[accepted_domain]]\nname = \"second.test\"\nconnector = \"onprem\"\n[retry]"),
    )
    .unwrap();
    node.signal("-HUP");
    wait_for("the new domain", || {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        recipient(&mut client, "user@second.test").starts_with("250").then_some(())
    });
    assert!(Client::connect(node.port).send_message("after reload").starts_with("250"));
    node.wait_until_empty();
}

/// A signal whose action is still the default one would kill the process.
#[test]
fn signals_are_heard_before_the_node_touches_its_data() {
    let mut node = Node::to_port(1).start();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    fs::remove_dir_all(node.path("data")).unwrap();
    let mut child = node.command().arg("serve").stderr(Stdio::null()).spawn().unwrap();
    while !node.path("data").exists() {
        assert_eq!(child.try_wait().unwrap(), None);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    let caught = u64::from_str_radix(caught, 16).unwrap();
    for (name, number) in [("SIGHUP", 1), ("SIGINT", 2), ("SIGTERM", 15)] {
        assert_ne!(caught & (1 << (number - 1)), 0, "{name}");
    }
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let destination = Destination::taking(|_, line| {
        if line == "." {
            thread::sleep(Duration::from_secs(2));
        }
        None
    });
    let mut node = Node::to_port(destination.port).start();
    let mut inbound = Client::connect(node.port);
    inbound.begin_content();
    assert!(Client::connect(node.port).send_message("in flight").starts_with("250"));
    wait_for("the delivery to be under way", || destination.heard().iter().any(|line| line == ".").then_some(()));
    node.signal("-TERM");
    thread::sleep(Duration::from_millis(300));
    // Content that was begun is taken to its end; then the session is told to come again.
    inbound.send(b"Subject: begun before\r\n\r\n.\r\n");
    let reply = inbound.reply();
    assert!(reply.starts_with("250") || reply.starts_with("421"), "{reply}");
    assert_eq!(node.wait(), Some(0), "{}", node.log());
    node.start();
    let expected = if reply.starts_with("250") { 2 } else { 1 };
    wait_for("the rest to be delivered", || {
        (node.trace().iter().filter(|row| row["status"] == "Delivered").count() == expected).then_some(())
    });
    assert_eq!(destination.heard().iter().filter(|line| *line == ".").count(), expected, "a duplicate");
}

#[test]
fn a_second_node_on_the_same_folder_is_refused() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).start();
    let output = node.run(&["serve"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("held by another process") && text.contains(&node.process_id().to_string()), "{text}");
}

#[test]
fn a_store_that_cannot_be_used_is_refused_with_the_reason() {
    let destination = Destination::taking(|_, _| None);
    let mut node = Node::to_port(destination.port).start();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    let file = node.path("data/gatepost.db");
    let good = fs::read(&file).unwrap();
    let mut newer = good.clone();
    // The header's user version (SQLite file format, offset 60).
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    for (bytes, expected) in [
        (newer, "schema version 99"),
        (b"not a database at all, but a text".repeat(100), "damaged"),
        (good[..good.len() / 2].to_vec(), "damaged"),
    ] {
        fs::write(&file, bytes).unwrap();
        let output = node.run(&["serve"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{expected}: {text}");
        assert!(text.contains(expected), "{text}");
    }
    fs::write(&file, good).unwrap();
    node.start();
}
