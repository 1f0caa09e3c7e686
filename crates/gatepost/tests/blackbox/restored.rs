//! A fleet whose database is restored from a backup: what was waiting in it is held, new mail is delivered, and every message
//! is accounted for. A standby that takes over is no such thing.

use std::{
    collections::{BTreeMap, HashMap},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    fleet::send,
    support::{
        Node,
        database::Server,
        free_port,
        load::{Load, Sink},
        node::Setup,
        script::Destination,
        wait_for,
    },
};

fn setup(port: u16) -> Setup {
    Node::to_port(port).retry("schedule = [\"1s\"]\nback_off_first = \"1s\"\nback_off_max = \"2s\"\n")
}

fn flows(load: &Load, sink: &Sink, what: &str) {
    let (answered, taken) = (load.answered(), sink.taken().len());
    wait_for(what, || (load.answered() > answered + 30 && sink.taken().len() > taken + 30).then_some(()));
}

/// What the node's commands say in a table.
fn said(node: &Node, arguments: &[&str], status: i32) -> String {
    let output = node.run(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn http(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    std::io::read_to_string(stream).unwrap()
}

/// By Subject: when it was received.
fn received(rows: &[Value]) -> BTreeMap<String, Timestamp> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("{key}: {row}")).to_owned();
    rows.iter().map(|row| (text(row, "subject"), text(row, "received").parse().unwrap())).collect()
}

/// Under load, with a queue in it: the destination takes no mail while the backup is made. All is delivered after it.
fn backed_up(server: &Server, sink: &Sink, nodes: &[Node; 2], backup: &std::path::Path) -> Vec<String> {
    let load = Load::start(&[nodes[0].port, nodes[1].port], sink);
    flows(&load, sink, "mail to flow");
    sink.close(true);
    let before = load.answered();
    wait_for("a queue", || (load.answered() > before + 50).then_some(()));
    server.cluster.base_backup(backup).unwrap();
    sink.close(false);
    flows(&load, sink, "mail to flow again");
    let delivered = load.stop();
    nodes[0].wait_until_empty();
    // The nodes report to the server that it has gone on.
    thread::sleep(Duration::from_secs(5));
    delivered
}

/// Two operators answer at once, differently. Returns what is delivered from then on: received at that time or later.
fn answered_by_two(nodes: &[Node; 2], since: &str) -> Vec<Value> {
    thread::scope(|scope| {
        let answer = |node: &'static str, index: usize| {
            scope.spawn(move || {
                let mut command = nodes[index].command();
                command.args(["store", "restored", "--deliver-since", since, "--format", "json"]).env("USER", node);
                let output = command.env_remove("SUDO_USER").output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                serde_json::from_slice::<Value>(&output.stdout).unwrap()
            })
        };
        let answers = [answer("ann", 0), answer("bob", 1)];
        answers.map(|answer| answer.join().unwrap()).to_vec()
    })
}

/// One node runs all the while, the other is restarted.
#[test]
fn postgres_holds_what_a_restored_base_backup_has() {
    let (mut server, sink, backup) = (Server::start(), Sink::start(), tempfile::tempdir().unwrap());
    let api = free_port();
    let with_api = setup(sink.port).more(&format!("[api]\nlisten = [\"127.0.0.1:{api}\"]\n"));
    let mut nodes = [server.node("edge-1", with_api).start(), server.node("edge-2", setup(sink.port)).start()];
    let delivered = backed_up(&server, &sink, &nodes, backup.path());
    let once = |taken: &HashMap<String, u32>, subject: &String| taken.get(subject) == Some(&1);
    assert!(delivered.iter().all(|subject| once(&sink.taken(), subject)));

    nodes[1].kill();
    server.cluster.put_back(backup.path(), false).unwrap();
    nodes[1].start();
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    flows(&load, &sink, "new mail to flow");
    let new = load.stop();
    wait_for("new mail to arrive", || new.iter().all(|subject| once(&sink.taken(), subject)).then_some(()));
    // What the backup had in its queue is there, and nothing else.
    let is_old = |row: &Value| row["state"] == "suspended" && row["waiting"]["waits"] == "restored";
    wait_for("leases of the backup to end", || nodes[0].queue().iter().all(is_old).then_some(()));
    let held = received(&nodes[0].queue());
    assert!(held.len() > 20 && held.keys().all(|subject| delivered.contains(subject)), "{held:?}");
    assert!(delivered.iter().all(|subject| once(&sink.taken(), subject)), "nothing has come twice");
    for (arguments, status) in [(["node", "list"], 0), (["queue", "list"], 0), (["store", "check"], 1)] {
        let text = said(&nodes[1], &arguments, status);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("gatepost store restored --hold"), "{arguments:?}: {text}");
    }
    wait_for("it to be logged", || nodes.iter().all(|node| node.log().contains("store restored --hold")).then_some(()));
    let ready = http(api, "/readyz");
    assert!(ready.contains(" 200 ") && ready.contains("restored backup"), "{ready}");

    let mut times: Vec<Timestamp> = held.values().copied().collect();
    times.sort();
    let since = times[times.len() / 2];
    let answers = answered_by_two(&nodes, &since.to_string());
    assert_eq!(answers.iter().filter(|answer| answer["first"] == true).count(), 1, "{answers:?}");
    assert_eq!(answers[0]["answered_by"], answers[1]["answered_by"]);
    let again = |subject: &String| held.get(subject).is_some_and(|received| *received >= since);
    let resumed = held.values().filter(|received| **received >= since).count() as u64;
    assert_eq!(answers.iter().map(|answer| answer["resumed"].as_u64().unwrap()).sum::<u64>(), resumed);
    let are_left = |rows: &[Value]| rows.iter().all(|row| row["waiting"]["waits"] == "suspended");
    wait_for("what is delivered again", || {
        let rows = nodes[0].queue();
        (rows.len() as u64 == held.len() as u64 - resumed && are_left(&rows)).then_some(())
    });
    let taken = sink.taken();
    for subject in &delivered {
        let expected = if again(subject) { 2 } else { 1 };
        assert_eq!(taken[subject], expected, "{subject}, {since}");
    }
    assert!(new.iter().all(|subject| once(&taken, subject)));
    let late = said(&nodes[1], &["store", "restored", "--hold"], 0);
    assert!(late.contains("has answered already"), "{late}");
    assert_eq!(nodes[0].json(&["store", "check"])["warnings"], serde_json::json!([]));
    // Nothing is lost that was in the backup.
    said(&nodes[0], &["queue", "resume", "--all"], 0);
    nodes[0].wait_until_empty();
    let taken = sink.taken();
    assert!(held.keys().all(|subject| taken[subject] == 2), "each came once before the restore, and once after it");
}

/// New nodes on the copy, which know nothing.
#[test]
fn postgres_holds_what_a_dump_has() {
    let server = Server::start();
    let destination = Destination::taking(|_, _| None);
    let node = server.node("edge-1", setup(1)).start();
    (0..3).for_each(|number| send(&node, number));
    server.cluster.dump_into("gatepost", "copy").unwrap();
    let url = server.cluster.url("copy");
    let copy = server.node_by("edge-2", &url, setup(destination.port)).start();
    send(&copy, 3);
    let came = || destination.heard().iter().filter(|line| *line == ".").count();
    wait_for("new mail to arrive", || (came() == 1).then_some(()));
    let shown = copy.run(&["store", "check"]);
    let text = String::from_utf8_lossy(&shown.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("restored: the database is a copy on another server"), "{text}");
    let held = |waits: &str| {
        let rows = copy.queue();
        rows.len() == 3 && rows.iter().all(|row| row["waiting"]["waits"] == waits)
    };
    wait_for("what is held", || held("restored").then_some(()));
    let answer = said(&copy, &["store", "restored", "--hold"], 0);
    assert!(answer.contains("stays suspended"), "{answer}");
    assert!(held("suspended"));
    let row = copy.queue().remove(0);
    said(&copy, &["queue", "remove", "--message", row["network_message_id"].as_str().unwrap()], 0);
    said(&copy, &["queue", "resume", "--all"], 0);
    copy.wait_until_empty();
    assert_eq!(came(), 3);
    // The original delivers as ever, and nothing is to be said there.
    let refused = node.run(&["store", "restored", "--hold"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("queue suspend --all"));
    let embedded = Node::to_port(1).start().run(&["store", "restored", "--hold"]);
    assert_eq!(embedded.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&embedded.stderr).contains("queue resume"));
}

/// All that was confirmed is on the standby: mail goes on by itself, and nothing is lost or held.
#[test]
fn postgres_does_not_take_a_promotion_for_a_restore() {
    let (mut server, sink, folder) = (Server::start(), Sink::start(), tempfile::tempdir().unwrap());
    let standby = server.cluster.standby(folder.path()).unwrap();
    let (one, two) = (server.cluster.port(), standby.port());
    let url = format!("postgres://gatepost@127.0.0.1:{one},127.0.0.1:{two}/gatepost");
    let node = |name| server.node_by(name, &url, setup(sink.port)).start();
    let mut nodes = [node("edge-1"), node("edge-2")];
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    flows(&load, &sink, "mail to flow");
    let began = Instant::now();
    wait_for("several reports", || (began.elapsed() > Duration::from_secs(4)).then_some(()));
    server.cluster.stop();
    standby.promote().unwrap();
    flows(&load, &sink, "mail to flow by the standby");
    // A node that starts again has the same to compare.
    nodes[1].kill();
    nodes[1].start();
    flows(&load, &sink, "mail to flow again");
    load.end(&nodes[0]);
    assert_eq!(nodes[0].json(&["store", "check"])["restored"], Value::Null);
    assert!(nodes.iter().all(|node| !node.log().contains("restored")));
}
