//! What may break in a fleet: nodes that are killed, stopped or cut off, and a server that is killed or full. Every message
//! that was answered 250 arrives, and a second copy only where the history says that an attempt was interrupted.

use std::{
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lab::peers::Peers;
use tempfile::TempDir;

use crate::{
    fleet::send,
    support::{
        Node,
        cable::Cable,
        database::Server,
        free_port,
        load::{Load, Sink, kill_in_turn},
        script::{Destination, Say},
    },
};

pub(crate) const RETRY: &str = "schedule = [\"1s\"]\nback_off_first = \"1s\"\nback_off_max = \"2s\"\n";

fn node(server: &Server, name: &str, port: u16) -> Node {
    server.node(name, Node::to_port(port).retry(RETRY)).start()
}

/// Waits for what takes as long as a lease lasts.
pub(crate) fn wait_long(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(100);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited 100 s for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn postgres_loses_nothing_when_nodes_are_killed() {
    let (server, sink) = (Server::start(), Sink::start());
    let mut nodes = [node(&server, "edge-1", sink.port), node(&server, "edge-2", sink.port)];
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    kill_in_turn(&mut nodes, (0..12).map(|round| Duration::from_millis(300 + 70 * round)));
    let account = load.end(&nodes[1]);
    assert!(account.answered > 100, "only {} messages: the load was too light", account.answered);
}

/// Nobody restarts the nodes, which answer 451 meanwhile.
#[test]
fn postgres_loses_nothing_when_the_server_is_killed() {
    let (mut server, sink) = (Server::start(), Sink::start());
    let nodes = [node(&server, "edge-1", sink.port), node(&server, "edge-2", sink.port)];
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    for _ in 0..5 {
        let before = load.answered();
        wait_long("mail to flow", || load.answered() > before + 20);
        server.cluster.restart(&[]).unwrap();
    }
    let before = load.answered();
    wait_long("mail to flow again", || load.answered() > before + 20);
    load.end(&nodes[0]);
}

/// Where the destination answers MAIL only once its gate is open, so that a node has attempts under way.
struct Gate {
    destination: Destination,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn closed() -> Self {
        let is_open = Arc::<AtomicBool>::default();
        let gate = Arc::clone(&is_open);
        let destination = Destination::taking(move |_, line| {
            if line.starts_with("MAIL") {
                let deadline = Instant::now() + Duration::from_secs(180);
                while !gate.load(Ordering::Relaxed) && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            None
        });
        Self { destination, is_open }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn count(&self, line: &str) -> usize {
        self.destination.heard().iter().filter(|heard| heard.starts_with(line)).count()
    }
}

const MESSAGES: u32 = 5;

/// A node with attempts under way, and one that takes over from it.
fn two_nodes(server: &Server, cable: &Cable, gate: &Gate) -> [Node; 2] {
    let url = format!("postgres://gatepost@127.0.0.1:{}/gatepost", cable.port);
    let setup = || Node::to_port(gate.destination.port).retry(RETRY);
    let nodes = [server.node_by("edge-1", &url, setup()).start(), server.node("edge-2", setup()).start()];
    (0..MESSAGES).for_each(|number| send(&nodes[0], number));
    wait_long("the attempts", || gate.count("MAIL") == MESSAGES as usize);
    nodes
}

fn all_are_delivered(node: &Node) -> bool {
    let rows = node.trace();
    rows.len() == MESSAGES as usize && rows.iter().all(|row| row["status"] == "Delivered")
}

/// SIGSTOP for longer than a lease lasts: it wakes up in the middle of attempts that others have made meanwhile.
#[test]
fn soak_postgres_a_stopped_node_sends_nothing_that_it_lost() {
    let (server, gate) = (Server::start(), Gate::closed());
    let cable = Cable::to(server.cluster.port());
    let nodes = two_nodes(&server, &cable, &gate);
    nodes[0].signal("-STOP");
    gate.open();
    wait_long("the other node to deliver", || all_are_delivered(&nodes[1]));
    assert_eq!(gate.count("."), MESSAGES as usize);
    thread::sleep(Duration::from_secs(60));
    nodes[0].signal("-CONT");
    wait_long("the node to notice", || nodes[0].log().contains("lost leases"));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(gate.count("."), MESSAGES as usize, "nothing was sent twice");
    let interrupted = |row: &serde_json::Value| row["events"].to_string().contains("interrupted");
    assert!(nodes[1].trace().iter().all(interrupted));
    send(&nodes[0], 99);
    nodes[1].wait_until_empty();
}

/// For less than a lease lasts, nothing happens. For longer, the node stops by itself, and the other one delivers.
#[test]
fn soak_postgres_a_node_that_is_cut_off_sends_nothing_that_it_lost() {
    let (server, gate) = (Server::start(), Gate::closed());
    let cable = Cable::to(server.cluster.port());
    let nodes = two_nodes(&server, &cable, &gate);
    cable.cut();
    thread::sleep(Duration::from_secs(12));
    cable.restore();
    thread::sleep(Duration::from_secs(8));
    assert!(!nodes[0].log().contains("lost leases"));
    assert_eq!((gate.count("MAIL"), gate.count(".")), (MESSAGES as usize, 0), "all is where it was");
    cable.cut();
    // The destination answers after the node has given up.
    wait_long("the other node to begin", || gate.count("MAIL") > MESSAGES as usize);
    gate.open();
    wait_long("the other node to deliver", || all_are_delivered(&nodes[1]));
    assert_eq!(gate.count("."), MESSAGES as usize, "nothing was sent twice");
    cable.restore();
    wait_long("the node to notice", || nodes[0].log().contains("lost leases"));
    send(&nodes[0], 99);
    nodes[1].wait_until_empty();
    assert_eq!(gate.count("."), MESSAGES as usize + 1);
}

/// The clocks of two nodes are twenty minutes apart: the store's decides.
#[test]
fn postgres_does_not_mind_the_clocks_of_nodes() {
    let server = Server::start();
    let began = Instant::now();
    let destination = Destination::taking(move |_, line| {
        let is_early = began.elapsed() < Duration::from_secs(8);
        (is_early && line == "banner").then_some(Say("421 4.3.2 not yet"))
    });
    let node = |name: &str, offset: &str| {
        let retry = "schedule = [\"4s\"]\nback_off_first = \"1s\"\nback_off_max = \"2s\"\n";
        let setup = server.node(name, Node::to_port(destination.port).retry(retry));
        setup.start_with(|command| crate::support::faketime(command, offset))
    };
    let nodes = [node("ahead", "+10m"), node("behind", "-10m")];
    for number in 0..10 {
        send(&nodes[number as usize % 2], number);
    }
    nodes[0].wait_until_empty();
    let taken = destination.heard().iter().filter(|line| *line == ".").count();
    assert_eq!(taken, 10, "nothing is sent twice, though each node sees the other's times as wrong");
    for node in &nodes {
        assert!(!node.log().contains("lost leases") && !node.log().contains("returned deliveries"), "{}", node.log());
    }
    let events = nodes[1].trace().iter().map(|row| row["events"].to_string()).collect::<String>();
    assert!(!events.contains("interrupted"), "{events}");
}

/// HAProxy, which asks nodes whether they are ready, and says who its clients are.
struct Balancer {
    port: u16,
    process: Child,
    _folder: TempDir,
}

/// Where its own connections come from.
const BALANCER: &str = "127.0.0.5";

impl Balancer {
    /// Before nodes at these ports, whose API is at the other ports.
    fn start(nodes: &[(u16, u16)]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let servers = nodes.iter().map(|(smtp, api)| {
            format!("    server n{smtp} 127.0.0.1:{smtp} send-proxy-v2 check port {api} inter 200 fall 1 rise 1\n")
        });
        let configuration = format!(
            "global\n    maxconn 200\ndefaults\n    mode tcp\n    timeout connect 3s\n    timeout client 5m\n    timeout server 5m\n\
             frontend smtp\n    bind 127.0.0.1:{port}\n    default_backend nodes\n\
             backend nodes\n    balance leastconn\n    option httpchk GET /readyz\n    source {BALANCER}\n{}",
            servers.collect::<String>()
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let mut command = Peers::at(&root).unwrap().command("usr/sbin/haproxy");
        let process =
            command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { port, process, _folder: folder }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn postgres_nodes_behind_a_load_balancer() {
    let (server, sink) = (Server::start(), Sink::start());
    let node = |name: &str| {
        let api = free_port();
        let setup = Node::to_port(sink.port).retry(RETRY).inbound(&format!("proxy_from = [{BALANCER:?}]\n"));
        let setup = setup.more(&format!("[api]\nlisten = [\"127.0.0.1:{api}\"]\n"));
        let node = server.node(name, setup).start();
        let ports = (node.port, api);
        (node, ports)
    };
    let (mut nodes, ports): (Vec<Node>, Vec<(u16, u16)>) = ["edge-1", "edge-2"].into_iter().map(node).unzip();
    let balancer = Balancer::start(&ports);
    let load = Load::start(&[balancer.port], &sink);
    let flows = |what: &str| {
        let before = load.answered();
        wait_long(what, || load.answered() > before + 50);
    };
    for round in 0..4 {
        flows("mail to flow");
        nodes[round % 2].kill();
        flows("the other node to take it");
        nodes[round % 2].start();
    }
    flows("mail to flow again");
    let drained = nodes[0].run(&["node", "drain", "edge-1", "--wait"]);
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    flows("mail to flow past the drained node");
    load.end(&nodes[1]);
    assert_eq!(nodes[1].trace()[0]["events"][0]["from"], "127.0.0.1", "the client, not the load balancer");
}
