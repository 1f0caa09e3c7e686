//! A backup while mail flows, and the way back: a queue that waits for its operator.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{
    Node,
    script::{Client, Destination, Say},
    wait_for,
};

#[test]
fn a_backup_is_restored_suspended() {
    let refusing = Arc::new(AtomicBool::new(true));
    let destination = Destination::taking({
        let refusing = Arc::clone(&refusing);
        move |_, line| {
            (line.starts_with("MAIL") && refusing.load(Ordering::Relaxed)).then_some(Say("450 4.3.0 not now"))
        }
    });
    let mut node = Node::to_port(destination.port).start();
    for number in 0..3 {
        assert!(Client::connect(node.port).send_message(&format!("message {number}")).starts_with("250"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (port, stopped) = (node.port, Arc::clone(&stop));
    let sender = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            Client::connect(port).send_message("beside the backup");
        }
    });
    let folder = node.path("backup");
    let folder = folder.to_str().unwrap();
    let output = node.run(&["backup", folder]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.starts_with("Backup complete and checked: "), "{text}");
    let again = node.json(&["backup", folder]);
    assert!(again["bytes"].as_u64().unwrap() > 10_000, "{again}");
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();

    // Neither over a store, nor beside a node that runs.
    let refused = |node: &Node, expected: &str| {
        let output = node.run(&["restore", folder]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{text}");
    };
    refused(&node, "held by another process");
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    refused(&node, "is there already; move it away first");
    fs::rename(node.path("data"), node.path("lost")).unwrap();
    let output = node.run(&["restore", folder]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.ends_with("\n  gatepost queue resume --all\n"), "{text}");

    refusing.store(false, Ordering::Relaxed);
    node.start();
    let queue = node.queue();
    assert!(queue.len() >= 3 && queue.iter().all(|row| row["state"] == "suspended"), "{queue:?}");
    assert_eq!(queue[0]["waiting"]["by"], "gatepost restore", "{}", queue[0]);
    // New mail is not held.
    let count = queue.len();
    assert!(Client::connect(node.port).send_message("after the restore").starts_with("250"));
    wait_for("new mail to pass", || {
        (node.queue().len() == count && destination.heard().contains(&".".to_owned())).then_some(())
    });
    assert!(node.run(&["queue", "resume", "--all"]).status.success());
    node.wait_until_empty();
}
