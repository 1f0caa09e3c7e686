//! Watching the queue as an operator meets it: an incident opens with the right cause, is told to a receiver that knows
//! nothing of this code, and closes after the repair; ordinary mail opens none.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use lab::{Device, Options, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Node, free_port, node::Setup, script::Client, swaks, wait_for};

const SECRET: &str = "whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz\n";
/// All that would take minutes takes a moment.
const QUICK: &str = "[watch]\ninterval = \"100ms\"\noldest_named = \"300ms\"\nsecret_file = \"secret\"\n";

/// Answers as it was told to, and keeps what it heard.
struct Receiver {
    port: u16,
    folder: TempDir,
    process: Child,
}

impl Receiver {
    fn start(arguments: &[&str]) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let secret = folder.path().join("secret");
        fs::write(&secret, SECRET).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support/webhook_receiver.py");
        let process = Command::new("python3")
            .arg(script)
            .args([&port.to_string(), secret.to_str().unwrap()])
            .args(arguments)
            .stdout(fs::File::create(folder.path().join("calls")).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        wait_for("the receiver", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, folder, process }
    }

    fn calls(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("calls")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn wait_for_calls(&self, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} calls"), || Some(self.calls()).filter(|calls| calls.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn watched(port: u16, webhook: &str) -> Setup {
    Node::to_port(port)
        .retry("schedule = [\"500ms\"]\nback_off_first = \"100ms\"\nback_off_max = \"200ms\"\n")
        .more(&format!("{QUICK}webhook = \"{webhook}\"\n"))
        .file("secret", SECRET.as_bytes())
}

fn incidents(node: &Node) -> Vec<Value> {
    node.json(&["incident", "list"])["incidents"].as_array().unwrap().clone()
}

#[test]
fn an_incident_opens_with_its_cause_and_closes_after_the_repair() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let receiver = Receiver::start(&["500", "204"]);
    let node = watched(server.port(), &format!("http://127.0.0.1:{}/hook?a=b", receiver.port)).start();
    for _ in 0..3 {
        swaks(node.port, &["--to", "user@onprem.test"]);
    }
    // Refused at first, and told again.
    let calls = receiver.wait_for_calls(2);
    let opened = &calls[1]["body"];
    assert!(calls.iter().all(|call| call["signed"] == true && call["type"] == "application/json"), "{calls:#?}");
    assert_eq!((&calls[0]["status"], &calls[0]["path"]), (&500.into(), &"/hook?a=b".into()));
    assert_eq!((&calls[0]["webhook_id"], &calls[0]["body"]), (&calls[1]["webhook_id"], opened));
    assert_eq!(opened["id"], calls[0]["webhook_id"]);
    let facts = ["event", "cause", "connector", "node"].map(|key| opened[key].as_str().unwrap());
    assert_eq!(facts, ["incident.opened", "no-shared-tls-version", "onprem", "edge-1"], "{opened:#}");
    assert_eq!(opened["destination"], format!("127.0.0.1:{}", server.port()));
    assert_eq!(opened["finding"]["cause"], "no-shared-tls-version");
    assert!(opened["messages_pending"].as_u64().unwrap() >= 1 && opened["oldest"].is_string(), "{opened:#}");

    // The command that it names shows more; others mention it.
    let command: Vec<&str> = opened["command"].as_str().unwrap().split(' ').skip(1).collect();
    let shown = String::from_utf8(node.run(&command).stdout).unwrap();
    for part in ["State         open", "no-shared-tls-version", "server sent alert 70", "Remedy", "gatepost probe"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for command in ["queue list", "why"] {
        let text = String::from_utf8(node.run(&command.split(' ').collect::<Vec<_>>()).stdout).unwrap();
        assert!(text.contains("An incident is open for onprem: gatepost incident show"), "{text}");
    }
    assert_eq!(incidents(&node)[0]["closed"], Value::Null);

    server.become_device(Device::Healthy).unwrap();
    let calls = receiver.wait_for_calls(3);
    let closed = &calls[2]["body"];
    assert_eq!((&closed["event"], &closed["closed_because"]), (&"incident.closed".into(), &"mail-flows".into()));
    assert_eq!((&closed["incident"], &closed["messages_pending"]), (&opened["incident"], &0.into()), "{closed:#}");
    assert!(closed["id"] != opened["id"] && closed["messages_pending_peak"] == 3, "{closed:#}");
    let listed = incidents(&node);
    assert_eq!((listed.len(), &listed[0]["closed_because"]), (1, &"mail-flows".into()), "{listed:#?}");
    let log = node.log();
    for part in ["incident opened", "incident closed", "500 Internal Server Error"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("c2VjcmV0"), "the secret is in the log");
}

#[test]
fn what_was_not_told_is_told_by_the_node_that_comes_back() {
    let server = Server::start(Device::StartTlsMasked, Options::default()).unwrap();
    let port = free_port();
    let mut node =
        watched(server.port(), &format!("http://127.0.0.1:{port}/")).connector("tls = \"require\"\n").start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    wait_for("the receiver to be missed", || node.log().contains("webhook call failed").then_some(()));
    node.kill();
    // A redirect leads nowhere: what it is answered with counts as not taken.
    let receiver = Receiver::start(&["307", "204"]);
    let file = node.path("gatepost.toml");
    let text = fs::read_to_string(&file).unwrap().replace(&port.to_string(), &receiver.port.to_string());
    fs::write(&file, text).unwrap();
    node.start();
    let calls = receiver.wait_for_calls(2);
    assert!(calls.iter().all(|call| call["signed"] == true && call["path"] == "/"), "{calls:#?}");
    assert_eq!(calls[0]["webhook_id"], calls[1]["webhook_id"]);
    assert_eq!(calls[1]["body"]["cause"], "starttls-masked");
    assert_eq!(incidents(&node).len(), 1);
}

#[test]
fn https_is_for_a_receiver_with_a_trusted_certificate_only() {
    let server = Server::start(Device::HandshakeReset, Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let receiver = Receiver::start(&["204", "--tls", &certificate, &key]);
    let address = format!("https://localhost:{}/", receiver.port);
    let node = watched(server.port(), &address).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    wait_for("the certificate to be refused", || {
        let log = node.log();
        let refusal = log.lines().find(|line| line.contains("webhook call failed"))?.to_owned();
        assert!(refusal.contains("self-signed certificate"), "{refusal}");
        Some(())
    });
    assert!(receiver.calls().is_empty());
    let file = node.path("gatepost.toml");
    let trusting = format!("webhook = \"{address}\"\ntls_authorities = \"{certificate}\"");
    let text = fs::read_to_string(&file).unwrap().replace(&format!("webhook = \"{address}\""), &trusting);
    fs::write(&file, text).unwrap();
    node.signal("-HUP");
    let calls = receiver.wait_for_calls(1);
    assert!(calls[0]["signed"] == true && calls[0]["body"]["event"] == "incident.opened", "{calls:#?}");
}

#[test]
fn ordinary_mail_opens_none_and_too_much_of_it_one_that_is_unknown() {
    let server =
        Server::start(Device::Greylisting, Options { delay: std::time::Duration::from_secs(2), ..Options::default() })
            .unwrap();
    let receiver = Receiver::start(&["204"]);
    let node = watched(server.port(), &format!("http://127.0.0.1:{}/", receiver.port)).start();
    for number in 0..5 {
        swaks(node.port, &["--to", "user@onprem.test", "--from", &format!("sender-{number}@partner.test")]);
    }
    node.wait_for_failure();
    node.wait_until_empty();
    assert_eq!(incidents(&node), Vec::<Value>::new());
    assert_eq!(receiver.calls(), Vec::<Value>::new());

    // The same, past the threshold.
    let file = node.path("gatepost.toml");
    let text = fs::read_to_string(&file).unwrap().replace("[watch]\n", "[watch]\nmessages = 2\n");
    fs::write(&file, text).unwrap();
    node.signal("-HUP");
    wait_for("the reload", || node.log().contains("configuration reloaded").then_some(()));
    // Over one connection: all of them must wait at once, and swaks takes its time to start.
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    for number in 5..8 {
        client.say(&format!("MAIL FROM:<sender-{number}@partner.test>"));
        client.say("RCPT TO:<user@onprem.test>");
        client.say("DATA");
        assert!(client.say("Subject: test\r\n\r\ntext\r\n.").starts_with("250"));
    }
    let opened = receiver.wait_for_calls(1).swap_remove(0);
    let cause = opened["body"]["cause"].as_str().unwrap();
    assert!(["greylisted", "unknown"].contains(&cause), "{opened:#}");
    let text = opened["body"]["finding"]["summary"].as_str().unwrap();
    assert!(text.contains("greylist"), "{text}");
    node.wait_until_empty();
    wait_for("it to close", || incidents(&node).iter().all(|incident| !incident["closed"].is_null()).then_some(()));
}

#[test]
fn a_webhook_that_cannot_be_is_refused_when_it_is_read() {
    let check = |watch: &str, secret: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("gatepost.toml"), folder.path().join("data"));
        fs::write(folder.path().join("secret"), secret).unwrap();
        let listen = format!("[inbound]\nlisten = [\"127.0.0.1:{}\"]\n", free_port());
        fs::write(&file, format!("[node]\ndata = {data:?}\n{listen}[watch]\n{watch}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let output = command.arg("--config").arg(&file).arg("serve").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let with = |url: &str| format!("webhook = \"{url}\"\nsecret_file = \"secret\"\n");
    for (watch, secret, because) in [
        (with("http://alerts.example/"), SECRET, "for this machine only; use https://"),
        (with("https://a:b@alerts.example/"), SECRET, "would appear in logs"),
        ("webhook = \"https://alerts.example/\"\n".to_owned(), SECRET, "webhook requires secret_file; set both"),
        (with("https://alerts.example/"), "hunter2", "the secret is not base64"),
        (with("https://alerts.example/"), "c2hvcnQ=", "the secret has 5 bytes"),
    ] {
        let error = check(&watch, secret);
        assert!(error.contains(because) && !error.contains("hunter2"), "{watch}: {error}");
    }
}
