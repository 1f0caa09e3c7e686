//! A node with a folder of its own, and its command line.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{free_port, wait_for};

/// The configuration of a node, and how to start it.
pub(crate) struct Setup {
    name: String,
    hosts: Vec<String>,
    node: String,
    inbound: String,
    connector: String,
    retry: String,
    more: String,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Setup {
    /// The node's name, unless it is edge-1.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Where the data folder is, unless beside the configuration.
    pub(crate) fn data(mut self, folder: &Path) -> Self {
        self.node.push_str(&format!("data = {folder:?}\n"));
        self
    }

    /// More keys for `[inbound]`.
    pub(crate) fn inbound(mut self, toml: &str) -> Self {
        self.inbound.push_str(toml);
        self
    }

    /// More keys for the connector `onprem`.
    pub(crate) fn connector(mut self, toml: &str) -> Self {
        self.connector.push_str(toml);
        self
    }

    /// More keys for `[retry]`.
    pub(crate) fn retry(mut self, toml: &str) -> Self {
        self.retry.push_str(toml);
        self
    }

    /// More tables.
    pub(crate) fn more(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &'static str, content: &[u8]) -> Self {
        self.files.push((name, content.to_vec()));
        self
    }

    pub(crate) fn configuration(&self, port: u16) -> String {
        let Self { name, hosts, node, inbound, connector, retry, more, files: _ } = self;
        format!(
            "[node]\nname = {name:?}\nhostname = \"edge.test\"\n{node}\n\
             [inbound]\nlisten = [\"127.0.0.1:{port}\"]\n{inbound}\n\
             [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
             [[connector]]\nname = \"onprem\"\nhosts = {hosts:?}\n{connector}\n\
             [retry]\n{retry}\n{more}\n"
        )
    }

    pub(crate) fn start(self) -> Node {
        self.start_with(|command| command)
    }

    /// By another command, made from the one that would start it.
    pub(crate) fn start_with(self, make: impl Fn(Command) -> Command) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::write(folder.path().join("gatepost.toml"), self.configuration(port)).unwrap();
        for (name, content) in &self.files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let mut node = Node { folder, port, process: None };
        node.start_with(make);
        node
    }
}

pub(crate) struct Node {
    folder: TempDir,
    pub port: u16,
    process: Option<Child>,
}

impl Node {
    /// A node whose connector leads to these hosts.
    pub(crate) fn to(hosts: &[&str]) -> Setup {
        Setup {
            name: "edge-1".to_owned(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            node: String::new(),
            inbound: String::new(),
            connector: String::new(),
            retry: String::new(),
            more: String::new(),
            files: Vec::new(),
        }
    }

    pub(crate) fn to_port(port: u16) -> Setup {
        Self::to(&[&format!("127.0.0.1:{port}")])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("--config").arg(self.path("gatepost.toml"));
        command
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_with(|command| command);
    }

    /// The same by another command, made from the one that would start it.
    pub(crate) fn start_with(&mut self, make: impl Fn(Command) -> Command) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command();
        command.arg("serve");
        let mut child = make(command).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let port = self.port;
        wait_for("the node", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the node ended with {status}:\n{}", fs::read_to_string(self.path("log")).unwrap());
            }
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut banner = [0; 4];
            stream.read_exact(&mut banner).ok()?;
            stream.write_all(b"QUIT\r\n").ok()
        });
        self.process = Some(child);
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that it was so far.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.process_id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// SIGKILL: the process has no say.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until the process has ended by itself; its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut child = self.process.take().expect("the node runs");
        wait_for("the node to end", || child.try_wait().unwrap()).code()
    }

    /// Bytes in the protocol log of what was said with destinations.
    pub(crate) fn logged_bytes(&self) -> u64 {
        let files = fs::read_dir(self.path("data/protocol-log/SmtpSend")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs a command beside the node.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// The JSON that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What waits.
    pub(crate) fn queue(&self) -> Vec<Value> {
        self.json(&["queue", "list"])["deliveries"].as_array().unwrap().clone()
    }

    /// All that was ever taken, newest first, with events.
    pub(crate) fn trace(&self) -> Vec<Value> {
        self.json(&["trace", "--detail", "--limit", "1000000"])["messages"].as_array().unwrap().clone()
    }

    /// Waits for the newest message with this recipient to have this status; returns its row.
    pub(crate) fn wait_for_status(&self, recipient: &str, status: &str) -> Value {
        wait_for(&format!("{recipient} to be {status}"), || {
            self.trace().into_iter().find(|row| row["recipient"] == recipient && row["status"] == status)
        })
    }

    /// Waits until a delivery in the queue has met a failure; returns its row.
    pub(crate) fn wait_for_failure(&self) -> Value {
        wait_for("a failure in the queue", || self.queue().into_iter().find(|row| !row["failure"].is_null()))
    }

    pub(crate) fn wait_until_empty(&self) {
        wait_for("the queue to be empty", || self.queue().is_empty().then_some(()));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the node's log:\n{}", self.log());
        }
    }
}
