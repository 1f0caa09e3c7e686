//! `kill -9`, SIGTERM and SIGHUP at random moments under load: every message that was answered 250 arrives, and a second
//! copy only where the history says that an attempt was interrupted.

use std::{thread, time::Duration};

use crate::support::{
    Node,
    load::{Load, Sink},
};

#[test]
fn what_was_answered_250_survives_kill_9() {
    disturb_under_load(100, kill);
}

#[test]
fn soak_what_was_answered_250_survives_kill_9() {
    disturb_under_load(400, kill);
}

/// Whatever is under way ends in an orderly way, and nothing is sent twice.
#[test]
fn soak_what_was_answered_250_survives_sigterm() {
    let twice = disturb_under_load(50, |node| {
        node.signal("-TERM");
        assert_eq!(node.wait(), Some(0));
        node.start();
    });
    assert_eq!(twice, 0);
}

#[test]
fn soak_what_was_answered_250_survives_sighup() {
    let twice = disturb_under_load(500, |node| node.signal("-HUP"));
    assert_eq!(twice, 0);
}

fn kill(node: &mut Node) {
    node.kill();
    node.start();
}

/// Disturbs a node so often while mail flows. Returns how many messages came more than once.
fn disturb_under_load(times: u32, disturb: impl Fn(&mut Node)) -> usize {
    let sink = Sink::start();
    let mut node = Node::to_port(sink.port).retry("schedule = [\"1s\"]").start();
    let load = Load::start(&[node.port], &sink);
    let seed = std::process::id();
    println!("seed {seed}");
    let mut random = u64::from(seed) | 1;
    for _ in 0..times {
        // xorshift: spread enough to hit every moment of a message's life.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_millis(20 + random % 200));
        disturb(&mut node);
    }
    let account = load.end(&node);
    let least = times as usize;
    assert!(account.answered > least, "only {} messages went through: the load was too light", account.answered);
    account.twice
}
