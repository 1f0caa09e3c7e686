//! A fleet's server in trouble that is not its own death: a full disk, no connection left, long readers, a pooler before it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lab::{
    peers::Peers,
    postgres::{PASSWORD, unprivileged},
};
use tempfile::TempDir;

use crate::{
    disk::{Disk, in_own_mounts, takes_mail},
    fleet::{send, try_to_send},
    fleet_failures::{RETRY, wait_long},
    support::{
        Node,
        cable::Cable,
        database::Server,
        free_port, http,
        load::{Load, Sink},
        script::{Destination, Say},
        wait_for,
    },
};

/// Sends until it is refused; how many were accepted, and the refusal.
fn fill(node: &Node) -> (usize, String) {
    for accepted in 0..100_000 {
        let reply = try_to_send(node);
        if !reply.starts_with("250") {
            return (accepted, reply);
        }
    }
    panic!("the disk does not get full");
}

/// The tables are on the small disk, and the write-ahead log is elsewhere.
#[test]
fn namespace_postgres_whose_disk_is_full_answers_452() {
    if !in_own_mounts("fleet_database::namespace_postgres_whose_disk_is_full_answers_452") {
        return;
    }
    let (disk, port) = (Disk::new(40), free_port());
    let server = Server::start();
    let place = disk.folder("tables");
    server.cluster.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", place.display())).unwrap();
    server.cluster.sql("postgres", "ALTER DATABASE gatepost SET TABLESPACE small").unwrap();
    let node = server.node("edge-1", Node::to_port(port).retry(RETRY)).start();
    for number in 0..20 {
        send(&node, number);
    }
    let foreign = disk.fill();
    let (accepted, reply) = fill(&node);
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    // Longer than a node's reports are apart.
    thread::sleep(Duration::from_secs(12));
    assert_eq!(node.queue().len(), 20 + accepted, "what waits is seen");
    fs::remove_file(foreign).unwrap();
    wait_for("mail to be taken again", || takes_mail(&node).then_some(()));
    let waiting = node.queue().len();
    let destination = Destination::on(port);
    node.wait_until_empty();
    let taken = destination.heard().iter().filter(|line| *line == ".").count();
    assert_eq!(taken, waiting, "each once");
}

/// A server that cannot write its log stops by itself, and cannot start again before there is room.
#[test]
fn namespace_postgres_whose_log_has_no_room_loses_nothing() {
    if !in_own_mounts("fleet_database::namespace_postgres_whose_log_has_no_room_loses_nothing") {
        return;
    }
    let (disk, folder) = (Disk::new(120), tempfile::tempdir().unwrap());
    let log = folder.path().join("data/pg_wal");
    let mut server = Server::start_in(folder, &[]);
    server.cluster.stop();
    let place = disk.folder("log");
    assert!(Command::new("mv").arg(&log).arg(&place).status().unwrap().success());
    std::os::unix::fs::symlink(place.join("pg_wal"), &log).unwrap();
    server.cluster.restart(&[]).unwrap();
    let sink = Sink::start();
    let node = server.node("edge-1", Node::to_port(sink.port).retry(RETRY)).start();
    let load = Load::of(100_000, &[node.port], &sink);
    wait_long("mail to flow", || load.answered() > 50);
    let foreign = disk.fill();
    wait_long("the server to stop", || server.cluster.log().contains("No space left on device"));
    // What was under way has ended.
    thread::sleep(Duration::from_secs(3));
    let before = load.answered();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(load.answered(), before, "nothing is accepted without a server");
    fs::remove_file(foreign).unwrap();
    server.cluster.restart(&[]).unwrap();
    wait_long("mail to flow again", || load.answered() > before + 20);
    load.end(&node);
}

/// Four messages of half a gigabyte at once: pieces of them are in memory, never the whole.
#[test]
fn soak_postgres_takes_half_a_gigabyte_in_little_memory() {
    const BYTES: usize = 500_000_000;
    let (server, sink) = (Server::start(), Sink::start());
    let setup = Node::to_port(sink.port).retry(RETRY).inbound("size_max = \"600MiB\"");
    let node = server.node("edge-1", setup).start();
    let load = Load::of(BYTES, &[node.port], &sink);
    let deadline = Instant::now() + Duration::from_secs(1200);
    while load.answered() < 4 {
        assert!(Instant::now() < deadline, "{} of 4 messages in twenty minutes", load.answered());
        thread::sleep(Duration::from_millis(100));
    }
    load.end(&node);
    let sizes: Vec<usize> = sink.taken().keys().filter_map(|subject| sink.size_of(subject)).collect();
    assert!(sizes.len() >= 4 && sizes.iter().all(|size| *size > BYTES), "{sizes:?}");
    let peak = node.peak_memory_kib() / 1024;
    println!("{} messages of {BYTES} bytes; most memory of the node: {peak} MiB", sizes.len());
    assert!(peak < 400, "{peak} MiB");
}

/// Other programs have taken all connections while those of the node were lost.
#[test]
fn postgres_without_a_connection_left_is_lived_through() {
    let server = Server::start_in(tempfile::tempdir().unwrap(), &["max_connections=14"]);
    let is_open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_open);
    let destination = Destination::taking(move |_, line| {
        (!gate.load(Ordering::Relaxed) && line == "banner").then_some(Say("421 4.3.2 not yet"))
    });
    let cable = Cable::to(server.cluster.port());
    let url = format!("postgres://gatepost@127.0.0.1:{}/gatepost", cable.port);
    let setup = || Node::to_port(destination.port).retry(RETRY);
    let node = server.node_by("edge-1", &url, setup()).start();
    (0..5).for_each(|number| send(&node, number));
    cable.cut();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'gatepost'";
    server.cluster.sql("postgres", end).unwrap();
    let mut others = Vec::new();
    let is_full = || server.cluster.sql("postgres", "SELECT").is_err_and(|error| error.to_string().contains("clients"));
    wait_for("all connections to be taken", || {
        others.push(server.cluster.session("postgres").unwrap());
        is_full().then_some(())
    });
    cable.restore();
    let reply = try_to_send(&node);
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
    let says_what_to_do = |mut command: Command| {
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("no connection left") && error.contains("raise max_connections"), "{error}");
    };
    let mut list = node.command();
    list.args(["queue", "list"]);
    says_what_to_do(list);
    let text = fs::read_to_string(node.path("gatepost.toml")).unwrap();
    let text = text.replacen("hostname = ", "data = \"other\"\nhostname = ", 1).replacen("edge-1", "edge-2", 1);
    fs::write(node.path("other.toml"), text).unwrap();
    let mut other = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    other.arg("--config").arg(node.path("other.toml")).arg("serve");
    says_what_to_do(other);
    drop(others);
    wait_for("mail to be taken again", || takes_mail(&node).then_some(()));
    assert_eq!(node.queue().len(), 6);
    is_open.store(true, Ordering::Relaxed);
    node.wait_until_empty();
    assert_eq!(destination.heard().iter().filter(|line| *line == ".").count(), 6);
}

/// A month of history, with a table for each day.
const MONTH: &str = "DO $$ DECLARE first bigint := (extract(epoch FROM current_date) * 1000)::bigint; day bigint; name text; BEGIN
    FOR number IN 2..31 LOOP
        day := first - number * 86400000::bigint;
        name := to_char(to_timestamp(day / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
        EXECUTE format('CREATE TABLE history_%s PARTITION OF history FOR VALUES FROM (%s) TO (%s)', name, day, day + 86400000);
        EXECUTE format('CREATE TABLE event_%s PARTITION OF event FOR VALUES FROM (%s) TO (%s)', name, day, day + 86400000);
        INSERT INTO history (id, message, network_message_id, received, sender, eight_bit, smtputf8, subject, size, withhold,
                recipient, connector, state, due, review, attempts, delay_notified)
            SELECT -n, -n, gen_random_uuid(), day + n % 86400000, 'old@sender.test', false, false, 'old ' || n, 1, 0,
                'old@onprem.test', 'onprem', 3, day, day, 1, false
            FROM generate_series(number * 100000, number * 100000 + 999) AS n;
    END LOOP;
END $$";

/// A search over all days, a dump, a transaction that somebody has left open, and a node that starts meanwhile.
#[test]
fn postgres_mail_flows_beside_long_readers() {
    let (server, sink) = (Server::start(), Sink::start());
    let node = |name: &str| server.node(name, Node::to_port(sink.port).retry(RETRY)).start();
    let nodes = [node("edge-1"), node("edge-2")];
    server.cluster.sql("gatepost", MONTH).unwrap();
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    let flows = |what: &str| {
        let before = load.answered();
        wait_long(what, || load.answered() > before + 50);
    };
    flows("mail to flow");
    let mut open = server.cluster.session("gatepost").unwrap();
    open.say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM queue_delivery, history LIMIT 1").unwrap();
    flows("mail to flow beside an open transaction");
    thread::scope(|scope| {
        let search = scope.spawn(|| nodes[1].json(&["trace", "--subject", "d 310012"]));
        let dump = scope.spawn(|| server.cluster.dump("gatepost").unwrap());
        let third = scope.spawn(|| node("edge-3"));
        while !(search.is_finished() && dump.is_finished() && third.is_finished()) {
            flows("mail to flow beside a search and a dump");
        }
        let found = search.join().unwrap()["messages"].as_array().unwrap().len();
        assert_eq!(found, 10, "'old 3100120' to 'old 3100129', of the oldest day");
        let dump = dump.join().unwrap();
        assert!(String::from_utf8_lossy(&dump).contains("PostgreSQL database dump complete"));
        third.join().unwrap();
    });
    flows("mail to flow at the end");
    drop(open);
    load.end(&nodes[0]);
}

/// A pooler between nodes and their server.
struct Pooler {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Pooler {
    fn start(server: &Server, mode: &str) -> Self {
        let (folder, port, target) = (tempfile::tempdir().unwrap(), free_port(), server.cluster.port());
        let path = |name: &str| folder.path().join(name);
        let users = path("users").display().to_string();
        fs::write(path("users"), format!("\"gatepost\" \"{PASSWORD}\"\n")).unwrap();
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\nunix_socket_dir =\n"
        );
        fs::write(path("pgbouncer.ini"), configuration).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let mut command = unprivileged(&Peers::at(&root).unwrap(), "usr/sbin/pgbouncer", "KILL");
        let log = fs::File::create(path("log")).unwrap();
        command.arg(path("pgbouncer.ini")).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        wait_for("PgBouncer", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, process, _folder: folder }
    }

    fn url(&self) -> String {
        format!("postgres://gatepost@127.0.0.1:{}/gatepost", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn postgres_behind_pgbouncer_works_in_session_mode_only() {
    let (server, sink) = (Server::start(), Sink::start());
    let session = Pooler::start(&server, "session");
    let setup = || Node::to_port(sink.port).retry(RETRY);
    let node = server.node_by("edge-1", &session.url(), setup()).start();
    let load = Load::start(&[node.port], &sink);
    wait_long("mail to flow", || load.answered() > 200);
    load.end(&node);
    let transaction = Pooler::start(&server, "transaction");
    let text = fs::read_to_string(node.path("gatepost.toml")).unwrap();
    let text = text.replacen("hostname = ", "data = \"other\"\nhostname = ", 1).replacen("edge-1", "edge-2", 1);
    fs::write(node.path("other.toml"), text.replace(&session.url(), &transaction.url())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.arg("--config").arg(node.path("other.toml")).arg("serve").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("PgBouncer in transaction mode") && error.contains("pool_mode = session"), "{error}");
}

/// Its node takes no other node's place there, and a new process of it makes no tables in the way of a restore.
#[test]
fn postgres_that_was_replaced_gets_no_mail_of_its_old_nodes() {
    let (server, api, destination) = (Server::start(), free_port(), Destination::taking(|_, _| None));
    let with_api = Node::to_port(destination.port).more(&format!("[api]\nlisten = [\"127.0.0.1:{api}\"]\n"));
    let mut old = server.node("edge-1", with_api.retry(RETRY)).start();
    let ready = || http(api, "/readyz", &[]);
    wait_for("the node to be ready", || (ready().0 == 200).then_some(()));
    server.cluster.sql("postgres", "DROP DATABASE gatepost WITH (FORCE)").unwrap();
    server.cluster.database("gatepost").unwrap();
    wait_for("it to be noticed", || (ready().0 == 503).then_some(()));
    let mut new = server.node("edge-2", Node::to_port(destination.port).retry(RETRY)).start();
    // Longer than the reports and renewals of a node are apart.
    thread::sleep(Duration::from_secs(7));
    let (status, why) = ready();
    assert!(status == 503 && why.contains("was replaced") && why.contains("serve --accept-loss"), "{why}");
    let reply = try_to_send(&old);
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
    send(&new, 1);
    new.wait_until_empty();

    old.signal("-TERM");
    assert_eq!(old.wait(), Some(0));
    let states: Vec<_> = new.json(&["node", "list"])["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["node"].clone(), node["state"].clone()))
        .collect();
    assert_eq!(states, [("edge-2".into(), "running".into())], "{states:?}");
    send(&new, 2);
    new.wait_until_empty();
    let is_refused = || {
        let refused = old.run(&["serve"]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        refused.status.code() == Some(2) && text.contains("was replaced")
    };
    assert!(is_refused());
    new.kill();
    server.cluster.sql("postgres", "DROP DATABASE gatepost WITH (FORCE)").unwrap();
    server.cluster.database("gatepost").unwrap();
    assert!(is_refused());
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.cluster.sql("gatepost", tables).unwrap(), "0");
    old.start_with(|mut command| {
        command.arg("--accept-loss");
        command
    });
    wait_for("the node to be ready", || (ready().0 == 200).then_some(()));
    send(&old, 3);
    old.wait_until_empty();
}
