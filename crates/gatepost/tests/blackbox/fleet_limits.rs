//! Limits of a connector hold for all nodes of a fleet together, also while some are dead or cut off.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Node,
    cable::Cable,
    database::Server,
    load::{Load, Sink},
    wait_for,
};

/// Names itself in EHLO.
fn node(server: &Server, name: &str, sink: &Sink, limits: &str) -> Node {
    node_by(server, name, &server.cluster.url("gatepost"), sink, limits)
}

fn node_by(server: &Server, name: &str, url: &str, sink: &Sink, limits: &str) -> Node {
    let connector = format!("hello = \"{name}.test\"\n{limits}");
    let retry = "schedule = [\"1s\"]\nback_off_first = \"1s\"\nback_off_max = \"2s\"\n";
    server.node_by(name, url, Node::to_port(sink.port).retry(retry).connector(&connector)).start()
}

/// Sends until so many messages are in the queue.
fn load(nodes: &[Node], sink: &Sink, messages: usize) -> Load {
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let load = Load::start(&ports, sink);
    wait_for("the mail to be accepted", || (load.answered() >= messages).then_some(()));
    load.pause();
    load
}

#[test]
fn postgres_nodes_share_the_connections_of_a_connector() {
    let (server, sink) = (Server::start(), Sink::taking(Duration::from_millis(60)));
    let nodes = ["edge-1", "edge-2", "edge-3"].map(|name| node(&server, name, &sink, "concurrency = 5\n"));
    let load = load(&nodes, &sink, 1800);
    wait_for("each node to have a connection, and five in all", || {
        let open = sink.open();
        (open.values().sum::<usize>() == 5 && open.values().filter(|open| **open > 0).count() == 3).then_some(())
    });
    let row = wait_for("the limit to be told", || {
        nodes[0].queue().into_iter().find(|row| row["waiting"]["waits"] == "connector-limit")
    });
    assert_eq!(row["waiting"]["limit"], "concurrency 5", "for the fleet");
    load.end(&nodes[0]);
    assert_eq!(sink.open_most(), 5);
}

#[test]
fn postgres_nodes_share_the_rate_of_a_connector() {
    const MESSAGES: usize = 60;
    let (server, sink) = (Server::start(), Sink::start());
    let nodes = ["edge-1", "edge-2", "edge-3"].map(|name| node(&server, name, &sink, "rate = \"10/s\"\n"));
    let load = load(&nodes, &sink, MESSAGES);
    load.end(&nodes[0]);
    let times = sink.times();
    // In each second, and a slot that was given before may be used 2 s late.
    for (index, time) in times.iter().enumerate() {
        let within = |seconds| times[index..].iter().take_while(|other| **other - *time < seconds).count();
        assert!(within(Duration::from_secs(4)) <= 61, "{} in 4 s", within(Duration::from_secs(4)));
    }
    let took = *times.last().unwrap() - times[0];
    assert!(took >= Duration::from_secs_f64(times.len() as f64 / 10.0 - 2.2), "{} in {took:?}", times.len());
}

/// One that is killed and one that is cut off keep their shares for as long as they might use them, and no longer.
#[test]
fn soak_postgres_limits_hold_while_nodes_are_gone() {
    const LIMIT: usize = 8;
    let (server, sink) = (Server::start(), Sink::taking(Duration::from_millis(200)));
    let cable = Cable::to(server.cluster.port());
    let url = format!("postgres://gatepost@127.0.0.1:{}/gatepost", cable.port);
    let limits = format!("concurrency = {LIMIT}\n");
    let mut nodes = vec![node_by(&server, "edge-1", &url, &sink, &limits)];
    nodes.extend(["edge-2", "edge-3", "edge-4"].map(|name| node(&server, name, &sink, &limits)));
    let load = load(&nodes, &sink, 2800);
    let open = |names: &[&str]| -> usize { names.iter().filter_map(|name| sink.open().get(*name).copied()).sum() };
    wait_for("all nodes to deliver", || {
        let each = ["edge-1.test", "edge-2.test", "edge-3.test", "edge-4.test"].map(|name| open(&[name]));
        (each.iter().sum::<usize>() == LIMIT && each.iter().all(|open| *open > 0)).then_some(())
    });
    cable.cut();
    nodes[1].kill();
    let gone = Instant::now();
    let others = ["edge-3.test", "edge-4.test"];
    while open(&others) < LIMIT {
        assert!(gone.elapsed() < Duration::from_secs(40), "the others use {} after 40 s", open(&others));
        thread::sleep(Duration::from_millis(50));
    }
    println!("the other nodes use all connections after {:.1} s", gone.elapsed().as_secs_f64());
    cable.restore();
    nodes[1].start();
    load.end(&nodes[2]);
    assert_eq!(sink.open_most(), LIMIT);
}

/// Its connector is taken away and given back while attempts are under way.
#[test]
fn a_connector_that_comes_back_has_its_old_connections_counted() {
    let (sink, aside) = (Sink::taking(Duration::from_secs(2)), Sink::start());
    let node = Node::to_port(sink.port).connector("concurrency = 2\n").start();
    let load = load(std::slice::from_ref(&node), &sink, 8);
    let open = || sink.open().values().sum::<usize>();
    wait_for("the attempts", || (open() == 2).then_some(()));
    let file = node.path("gatepost.toml");
    let with = std::fs::read_to_string(&file).unwrap();
    let without = with.replace("\"onprem\"", "\"aside\"").replace(&sink.port.to_string(), &aside.port.to_string());
    for text in [&without, &with] {
        std::fs::write(&file, text).unwrap();
        let reloads = || node.log().matches("reloaded").count();
        let before = reloads();
        node.signal("-HUP");
        wait_for("the reload", || (reloads() > before).then_some(()));
    }
    assert_eq!(open(), 2, "the attempts go on");
    load.end(&node);
    assert_eq!(sink.open_most(), 2);
}
