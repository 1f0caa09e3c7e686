//! PostgreSQL under Patroni, of which any part may die or hang while mail flows. Every message that was answered 250 arrives,
//! and a second copy only where the history says that an attempt was interrupted.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    fleet::try_to_send,
    fleet_failures::{RETRY, wait_long},
    support::{
        Node,
        cable::Cable,
        load::{Load, Sink},
        patroni::Patroni,
    },
};

/// Connections that a node may have (docs/fleet.md).
const CONNECTIONS_MAX: usize = 8;

fn two_nodes(patroni: &Patroni, sink: &Sink) -> [Node; 2] {
    ["edge-1", "edge-2"].map(|name| patroni.node(name, Node::to_port(sink.port).retry(RETRY)).start())
}

fn load(nodes: &[Node; 2], sink: &Sink) -> Load {
    let load = Load::start(&[nodes[0].port, nodes[1].port], sink);
    flows(&load, "mail to flow");
    load
}

fn flows(load: &Load, what: &str) {
    let before = load.answered();
    wait_long(what, || load.answered() > before + 50);
}

/// As the page says for two databases.
fn not_strict(configuration: String) -> String {
    configuration.replace("synchronous_mode_strict: true", "synchronous_mode_strict: false")
}

fn as_on_the_page(configuration: String) -> String {
    configuration
}

/// Ends the primary's machine, and prints how long there was no mail, and how much of that was Patroni's.
fn kill_primary(patroni: &mut Patroni, load: &Load) -> usize {
    kill_primary_with(patroni, load, |_| {})
}

/// The same; `cut` is called with it just before.
fn kill_primary_with(patroni: &mut Patroni, load: &Load, cut: impl Fn(usize)) -> usize {
    let old = patroni.primary();
    let began = Instant::now();
    cut(old);
    patroni.kill(old);
    // What was answered just before is counted.
    thread::sleep(Duration::from_millis(500));
    let (before, mut promoted, mut confirmed) = (load.answered(), None, None);
    wait_long("mail to flow again", || {
        if promoted.is_none() {
            promoted = (0..patroni.count()).find(|index| *index != old && patroni.takes_writes(*index));
            if promoted.is_some() {
                println!("the primary died: promoted after {:.1} s", began.elapsed().as_secs_f64());
            }
        }
        if let Some(new) = promoted
            && confirmed.is_none()
            && patroni.has_synchronous_standby(new)
        {
            confirmed = Some(began.elapsed());
        }
        load.answered() > before
    });
    println!("a standby confirms after {confirmed:?}; mail again after {:.1} s", began.elapsed().as_secs_f64());
    flows(load, "mail to keep flowing");
    old
}

#[test]
fn patroni_loses_nothing_when_the_primary_dies() {
    let (mut patroni, sink) = (Patroni::start(2, not_strict), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    kill_primary(&mut patroni, &load);
    load.end(&nodes[0]);
}

/// Nobody says that it has died: what is sent to it is lost.
#[test]
fn soak_patroni_loses_nothing_when_the_primary_vanishes() {
    let (mut patroni, sink) = (Patroni::start(2, not_strict), Sink::start());
    let cables: Vec<Cable> = (0..2).map(|index| Cable::to(patroni.port(index))).collect();
    let ports: Vec<u16> = cables.iter().map(|cable| cable.port).collect();
    let node = |name| patroni.node_by(name, &ports, Node::to_port(sink.port).retry(RETRY)).start();
    let nodes = ["edge-1", "edge-2"].map(node);
    let load = load(&nodes, &sink);
    kill_primary_with(&mut patroni, &load, |index| cables[index].cut());
    load.end(&nodes[0]);
}

/// As the page recommends. It dies, comes back, and then the next one dies.
#[test]
fn soak_patroni_with_three_databases_loses_nothing() {
    let (mut patroni, sink) = (Patroni::start(3, as_on_the_page), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    for _ in 0..2 {
        let killed = kill_primary(&mut patroni, &load);
        patroni.start_machine(killed);
        patroni.wait_until_synchronous();
    }
    flows(&load, "mail to flow at the end");
    load.end(&nodes[0]);
}

#[test]
fn soak_patroni_loses_nothing_when_standbys_die_and_roles_change() {
    let (mut patroni, sink) = (Patroni::start(2, not_strict), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    for round in 0..2 {
        let primary = patroni.primary();
        patroni.kill(1 - primary);
        flows(&load, "mail to flow without the standby");
        patroni.start_machine(1 - primary);
        patroni.wait_until_synchronous();
        let began = Instant::now();
        patroni.switch_over();
        flows(&load, "mail to flow after the switchover");
        println!("switchover {round}: mail again after {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!(patroni.primary(), 1 - primary);
        patroni.wait_until_synchronous();
    }
    load.end(&nodes[0]);
}

/// Its lock in etcd ends, and the standby is promoted, while the old primary goes on and takes writes.
#[test]
fn soak_patroni_that_hangs_leaves_two_primaries_and_loses_nothing() {
    let (patroni, sink) = (Patroni::start(2, not_strict), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    for _ in 0..2 {
        let old = patroni.primary();
        let (new, began) = (1 - old, Instant::now());
        patroni.signal(old, "-STOP");
        wait_long("the standby to be promoted", || patroni.takes_writes(new));
        println!("Patroni hangs: promoted after {:.1} s", began.elapsed().as_secs_f64());
        flows(&load, "mail to flow to the new primary");
        println!("mail again after {:.1} s", began.elapsed().as_secs_f64());
        // As long as the deadline of a commit, and more: what hangs at the old primary has been given up.
        thread::sleep(Duration::from_secs(15));
        assert!(patroni.takes_writes(old), "there were two primaries all the time");
        let hang = "SELECT state, query FROM pg_stat_activity WHERE usename = 'gatepost' AND wait_event = 'SyncRep'";
        assert_eq!(patroni.sql(old, "postgres", hang).unwrap(), "", "a commit hangs at the old primary");
        patroni.signal(old, "-CONT");
        patroni.wait_until_synchronous();
        assert_eq!(patroni.primary(), new);
        flows(&load, "mail to flow when there is one primary again");
    }
    load.end(&nodes[0]);
}

#[test]
fn soak_patroni_without_etcd_loses_nothing() {
    let (mut patroni, sink) = (Patroni::start(2, not_strict), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    let primary = patroni.primary();
    patroni.kill_etcd();
    // Longer than its lock in etcd lasts.
    thread::sleep(Duration::from_secs(20));
    flows(&load, "mail to flow without etcd");
    assert_eq!(patroni.primary(), primary);
    patroni.start_etcd();
    patroni.wait_until_synchronous();
    patroni.configure("{\"failsafe_mode\": false}");
    // Patroni reads it once in a round.
    thread::sleep(Duration::from_secs(5));
    let began = Instant::now();
    patroni.kill_etcd();
    wait_long("the primary to become read-only", || !patroni.takes_writes(primary));
    println!("without failsafe_mode: read-only after {:.1} s", began.elapsed().as_secs_f64());
    thread::sleep(Duration::from_secs(1));
    let before = load.answered();
    let reply = try_to_send(&nodes[0]);
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
    // Also longer than a node is believed to live.
    thread::sleep(Duration::from_secs(40));
    assert_eq!(load.answered(), before, "nothing was accepted meanwhile");
    patroni.start_etcd();
    flows(&load, "mail to flow again");
    load.end(&nodes[0]);
}

/// Nobody confirms commits after a failover: they wait for ever, unless they are given up.
#[test]
fn soak_patroni_in_strict_mode_accepts_nothing_alone() {
    let (mut patroni, sink) = (Patroni::start(2, as_on_the_page), Sink::start());
    let nodes = two_nodes(&patroni, &sink);
    let load = load(&nodes, &sink);
    let old = patroni.primary();
    patroni.kill(old);
    let new = 1 - old;
    wait_long("the standby to be promoted", || patroni.takes_writes(new));
    thread::sleep(Duration::from_secs(2));
    let before = load.answered();
    let began = Instant::now();
    let connections = || -> usize {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'gatepost'";
        patroni.sql(new, "postgres", count).unwrap().parse().unwrap()
    };
    let (mut most, mut replies) = (0, Vec::new());
    // Longer than a node is believed to live.
    while began.elapsed() < Duration::from_secs(45) {
        let asked = Instant::now();
        replies.push((try_to_send(&nodes[replies.len() % 2]), asked.elapsed()));
        most = most.max(connections());
        thread::sleep(Duration::from_millis(500));
    }
    let latest = replies.iter().map(|(_, time)| *time).max().unwrap_or_default();
    println!("{} replies, the latest after {latest:?}; at most {most} connections", replies.len());
    assert!(latest < Duration::from_secs(15), "the deadline is 10 s");
    assert!(replies.iter().all(|(reply, _)| reply.starts_with("451 4.3.2")), "{replies:?}");
    assert_eq!(load.answered(), before, "nothing was accepted meanwhile");
    assert!(most <= 2 * CONNECTIONS_MAX, "{most} connections");
    patroni.start_machine(old);
    flows(&load, "mail to flow with a standby again");
    load.end(&nodes[0]);
}
