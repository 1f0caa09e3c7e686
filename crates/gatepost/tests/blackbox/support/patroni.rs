//! PostgreSQL servers under Patroni with synchronous replication, and the etcd that says which of them is the primary.
//!
//! Each of them has a namespace of processes, as a machine would: if its first process is killed, all die at once. None
//! outlives the test, however that ends.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::{
    peers::Peers,
    postgres::{Cluster, PASSWORD, PROGRAMS, run_sql},
};
use tempfile::TempDir;

use super::{free_port, node::Setup};

/// The page has a configuration that people copy. The tests use it, too.
const PAGE: &str = include_str!("../../../../../docs/fleet.md");
const SUPERUSER: &str = "postgres";

pub(crate) struct Patroni {
    // Ended before their folder is deleted.
    etcd: Option<Machine>,
    databases: Vec<Database>,
    etcd_ports: (u16, u16),
    peers: Peers,
    folder: TempDir,
}

pub(crate) struct Database {
    name: String,
    pub port: u16,
    api: u16,
    machine: Option<Machine>,
}

impl Patroni {
    /// Databases that replicate already, one of which must confirm each commit. `edit` changes their configuration.
    pub(crate) fn start(databases: usize, edit: impl Fn(String) -> String) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let peers = Cluster::find(&root).filter(|peers| peers.has("usr/bin/patroni") && peers.has("usr/bin/etcd"));
        let peers = peers.expect("Patroni is not unpacked in target/peers: run ./test once");
        let folder = tempfile::tempdir().unwrap();
        let database = |number: usize| {
            let (name, port, api) = (format!("db{}", number + 1), free_port(), free_port());
            Database { name, port, api, machine: None }
        };
        let etcd_ports = (free_port(), free_port());
        let databases = (0..databases).map(database).collect();
        let mut patroni = Self { etcd: None, databases, etcd_ports, peers, folder };
        patroni.start_etcd();
        for index in 0..patroni.databases.len() {
            let configuration = edit(patroni.configuration(&patroni.databases[index]));
            fs::write(patroni.file(index, "yml"), configuration).unwrap();
            patroni.start_machine(index);
        }
        patroni.wait_until_synchronous();
        patroni
            .sql(patroni.primary(), SUPERUSER, "CREATE DATABASE gatepost OWNER gatepost TEMPLATE template0")
            .unwrap();
        patroni
    }

    /// The page's, with this machine's addresses and folders, times for tests, and without TLS.
    fn configuration(&self, database: &Database) -> String {
        let begin = PAGE.find("    scope: gatepost\n").expect("the page has a configuration");
        let lines = PAGE[begin..].lines().map_while(|line| line.strip_prefix("    "));
        let lines = lines.filter(|line| !line.trim().starts_with("ssl"));
        let mut text: String = lines.map(|line| format!("{line}\n")).collect();
        let folder = self.folder.path().display();
        let (name, programs) = (&database.name, self.peers.root().join(PROGRAMS));
        for (theirs, ours) in [
            ("name: db1", format!("name: {name}")),
            ("192.0.2.21:8008", format!("127.0.0.1:{}", database.api)),
            ("192.0.2.21:2379,192.0.2.22:2379,192.0.2.23:2379", format!("127.0.0.1:{}", self.etcd_ports.0)),
            ("192.0.2.21:5432", format!("127.0.0.1:{}", database.port)),
            ("/var/lib/postgresql/15/gatepost", format!("{folder}/{name}\n  pgpass: {folder}/{name}.pgpass")),
            ("/usr/lib/postgresql/15/bin", programs.display().to_string()),
            // Debian 12 has Patroni 3.0.2, which takes a lock back in version 3 that it has lost (see the page).
            ("etcd3:", "etcd:".to_owned()),
            ("hostssl", "host".to_owned()),
            ("192.0.2.0/24", "127.0.0.1/32".to_owned()),
            ("ttl: 30", "ttl: 10".to_owned()),
            ("loop_wait: 10", "loop_wait: 1".to_owned()),
            ("retry_timeout: 10", "retry_timeout: 3".to_owned()),
            // It would restart the machine that the tests run on.
            ("mode: automatic", "mode: \"off\"".to_owned()),
            // Only processes die here, and not the machine with what it has not yet written.
            ("max_connections: 100", "max_connections: 60\n        fsync: \"off\"".to_owned()),
            (
                "  parameters:\n  authentication:",
                format!(
                    "  parameters:\n    unix_socket_directories: {folder}\n    shared_buffers: 32MB\n  authentication:"
                ),
            ),
        ] {
            assert!(text.contains(theirs), "the page's configuration has no {theirs}");
            text = text.replace(theirs, &ours);
        }
        (1..=4).fold(text, |text, number| text.replace(&format!("CHANGE-{number}"), PASSWORD))
    }

    fn file(&self, index: usize, extension: &str) -> PathBuf {
        self.folder.path().join(format!("{}.{extension}", self.databases[index].name))
    }

    /// A node on all of them.
    pub(crate) fn node(&self, name: &str, setup: Setup) -> Setup {
        let ports: Vec<u16> = self.databases.iter().map(|database| database.port).collect();
        self.node_by(name, &ports, setup)
    }

    /// The same by other ways to the servers.
    pub(crate) fn node_by(&self, name: &str, ports: &[u16], setup: Setup) -> Setup {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let url = format!("postgres://gatepost@{}/gatepost", hosts.join(","));
        let store = format!("[store]\nurl = {url:?}\npassword_file = \"password\"\n");
        setup.named(name).more(&store).file("password", format!("{PASSWORD}\n").as_bytes())
    }

    pub(crate) fn count(&self) -> usize {
        self.databases.len()
    }

    pub(crate) fn port(&self, index: usize) -> u16 {
        self.databases[index].port
    }

    /// What psql prints. A server that does not answer is an error.
    pub(crate) fn sql(&self, index: usize, database: &str, sql: &str) -> io::Result<String> {
        run_sql(&self.peers, self.port(index), SUPERUSER, database, sql)
    }

    /// True if it is a primary, whether the others know it or not.
    pub(crate) fn takes_writes(&self, index: usize) -> bool {
        self.sql(index, SUPERUSER, "SELECT pg_is_in_recovery()").is_ok_and(|answer| answer == "f")
    }

    /// True if a standby confirms what this primary commits.
    pub(crate) fn has_synchronous_standby(&self, index: usize) -> bool {
        let sql = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.sql(index, SUPERUSER, sql).is_ok_and(|answer| answer == "t")
    }

    /// Waits for the only primary.
    pub(crate) fn primary(&self) -> usize {
        self.wait("one primary", || {
            let primaries: Vec<usize> = (0..self.databases.len()).filter(|index| self.takes_writes(*index)).collect();
            (primaries.len() == 1).then(|| primaries[0])
        })
    }

    /// Waits until each commit waits for a standby, which may be promoted.
    pub(crate) fn wait_until_synchronous(&self) {
        let is_so = |database: &Database| {
            request(database.api, "GET /cluster", "").is_ok_and(|cluster| {
                let all_run = cluster.matches("\"timeline\"").count() == self.databases.len();
                all_run && cluster.contains("\"sync_standby\"") && cluster.contains("\"leader\"")
            })
        };
        self.wait("synchronous replication", || self.databases.iter().all(is_so).then_some(()));
    }

    /// All its processes end at once.
    pub(crate) fn kill(&mut self, index: usize) {
        self.databases[index].machine = None;
    }

    pub(crate) fn start_machine(&mut self, index: usize) {
        let mut command = self.machine();
        // Debian's own Python, which has been unpacked if this machine lacks it.
        let unpacked = self.peers.root().join("usr/bin/python3");
        let python = if unpacked.exists() { unpacked } else { PathBuf::from("/usr/bin/python3") };
        command.arg(python).arg(self.peers.root().join("usr/bin/patroni")).arg(self.file(index, "yml"));
        command.env("PYTHONPATH", self.peers.root().join("usr/lib/python3/dist-packages"));
        self.databases[index].machine = Some(Machine::start(command, &self.file(index, "log")));
    }

    /// Patroni stops or goes on; its PostgreSQL goes on all the time.
    pub(crate) fn signal(&self, index: usize, signal: &str) {
        let machine = self.databases[index].machine.as_ref().expect("the machine runs");
        // Patroni starts itself as a child of the first process.
        let is_patroni = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("bin/patroni"))
        };
        let pids: Vec<u32> = machine.first().into_iter().flat_map(children).filter(is_patroni).collect();
        assert!(!pids.is_empty(), "Patroni does not run");
        for pid in pids {
            send_signal(pid, signal);
        }
    }

    pub(crate) fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    pub(crate) fn start_etcd(&mut self) {
        let (client, peer) = self.etcd_ports;
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = self.machine();
        command.arg(self.peers.root().join("usr/bin/etcd")).args(["--name", "e", "--unsafe-no-fsync", "--enable-v2"]);
        command.arg("--data-dir").arg(self.folder.path().join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("e={peer}")]);
        self.etcd = Some(Machine::start(command, &self.folder.path().join("etcd.log")));
    }

    /// Changes what Patroni keeps in etcd, such as `{"failsafe_mode": false}`.
    pub(crate) fn configure(&self, json: &str) {
        let answer = request(self.databases[self.primary()].api, "PATCH /config", json).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    /// The primary and a standby change places.
    pub(crate) fn switch_over(&self) {
        let primary = &self.databases[self.primary()];
        let request_body = format!("{{\"leader\": \"{}\"}}", primary.name);
        let answer = request(primary.api, "POST /switchover", &request_body).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    /// Runs a program as on a machine of its own, with root's rights over its files, but not as root, whom PostgreSQL refuses.
    fn machine(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--user", "--map-user=65534", "--map-group=65534"]);
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).current_dir(self.folder.path());
        for (name, value) in self.peers.command("").get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    pub(crate) fn wait<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(100);
        loop {
            if let Some(value) = found() {
                return value;
            }
            assert!(Instant::now() < deadline, "waited 100 s for {what}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        if thread::panicking() {
            for index in 0..self.databases.len() {
                let log = fs::read_to_string(self.file(index, "log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(400)..].join("\n");
                eprintln!("the end of the log of {}:\n{last}", self.databases[index].name);
            }
        }
    }
}

/// Processes of a namespace of their own, which end when it is dropped.
struct Machine(Child);

impl Machine {
    fn start(mut command: Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    /// The namespace ends with this process.
    fn first(&self) -> Option<u32> {
        children(self.0.id()).first().copied()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Once unshare(1) has ended, too, none of them is left.
        match self.first() {
            Some(first) => send_signal(first, "-KILL"),
            None => drop(self.0.kill()),
        }
        let _ = self.0.wait();
    }
}

fn send_signal(pid: u32, signal: &str) {
    let _ = Command::new("kill").arg(signal).arg(pid.to_string()).status();
}

fn children(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may have spaces and brackets.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The answer of Patroni's API, with its status and headers.
fn request(port: u16, line: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    stream.write_all(format!("{line} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
