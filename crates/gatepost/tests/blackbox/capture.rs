//! `gatepost capture` on the project's own captures, and on what is left of them.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use insight::views::CaptureView;
use serde_json::Value;

use crate::{
    support::{dumpcap::Dumpcap, foreign::peers, wait_for},
    wire::network::{in_own_namespace, ip},
};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures").join(name)
}

fn capture(file: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).arg("capture").arg(file).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&capture(file, &[arguments, &["--format", "json"]].concat()))).unwrap()
}

#[test]
fn a_session_is_told_as_a_row_and_as_a_ladder() {
    let file = sample("starttls-tls12.pcap");
    let table = text(&capture(&file, &["--utc"]));
    assert!(table.contains("TLS 1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), "{table}");
    assert!(table.contains("Packets that match: 30 of 30"), "{table}");
    let ladder = text(&capture(&file, &["--stream", "0"]));
    for line in [
        "<── 220 mail.onprem.test ESMTP",
        "STARTTLS",
        "certificate CN=mail.onprem.test",
        "client reset the connection (RST)",
    ] {
        assert!(ladder.contains(line), "{line}: {ladder}");
    }
    let sessions = json(&file, &[]);
    let session = &sessions["sessions"][0];
    assert_eq!((&session["client"], &session["protocol"]), (&"192.0.2.10:42119".into(), &"smtp".into()));
    assert_eq!(session["handshake"]["server_hello"]["cipher_suite"], 0xc030);
    let view: CaptureView = serde_json::from_value(sessions.clone()).unwrap();
    assert_eq!(serde_json::to_value(&view).unwrap(), sessions);
    let csv = text(&capture(&file, &["--format", "csv"]));
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[test]
fn packets_that_pass_are_written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("out.pcapng");
    let file = sample("plain-repeated.pcap");
    let filter = "tcp.port == 25 and not tcp.analysis.retransmission and not tcp.analysis.duplicate_ack";
    let told = json(&file, &["--filter", filter, "--write", written.to_str().unwrap()]);
    assert!(told["passed"].as_u64() > Some(10) && told["passed"].as_u64() < told["packets"].as_u64(), "{told}");
    assert_eq!(json(&written, &[])["packets"], told["passed"]);
    // From a pipe as well.
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["capture", "-", "--format", "json"]).stdin(Stdio::from(fs::File::open(&written).unwrap()));
    let piped: Value = serde_json::from_str(&text(&command.output().unwrap())).unwrap();
    assert_eq!(piped["packets"], told["passed"]);
}

#[test]
fn half_a_file_gives_half_the_answers_and_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("half.pcap");
    let bytes = fs::read(sample("starttls-tls12.pcap")).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let told = json(&half, &[]);
    assert_eq!(told["notes"]["file-cut"], 1, "{told}");
    assert!(told["packets"].as_u64() > Some(10), "{told}");
    let table = text(&capture(&half, &[]));
    assert!(table.contains("Note: the file ends in the middle of a packet"), "{table}");
}

#[test]
fn what_cannot_be_read_is_said_with_exit_status_2() {
    let file = sample("starttls-tls12.pcap");
    for (file, arguments, message) in [
        (file.clone(), &["--filter", "tcp.prt == 25"][..], "unknown field \"tcp.prt\"; similar fields: tcp.port"),
        (file.clone(), &["--filter", "tcp.port == x"], "tcp.port cannot be compared with \"x\""),
        (file.clone(), &["--filter", "(tcp"], "\")\" is missing"),
        (file, &["--stream", "9"], "there is no stream 9"),
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), &[], "neither pcap nor pcapng"),
        (PathBuf::from("/nonexistent"), &[], "No such file"),
    ] {
        let output = capture(&file, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}

/// A process that only keeps a network namespace.
struct Namespace(Child);

impl Namespace {
    fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "--", "sleep", "600"]).spawn().unwrap();
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let is_own = || (network(&child.id().to_string())? != network("self")?).then_some(());
        wait_for("a network namespace", is_own);
        Self(child)
    }

    /// The same command in this namespace.
    fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--target", &self.0.id().to_string(), "--"]).arg(command.get_program());
        inside.args(command.get_args());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside
    }

    fn ip(&self, arguments: &str) {
        let mut command = peers().command("bin/ip");
        assert!(self.enter(command.args(arguments.split(' '))).status().unwrap().success(), "ip {arguments}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects a namespace to this one, which is the router: 10.0.N.2 there, 10.0.N.1 here.
fn connect(namespace: &Namespace, name: &str, number: u8) {
    ip(&format!("link add {name} type veth peer name inside netns {}", namespace.0.id()));
    for (family, net, length) in [("-4", format!("10.0.{number}."), 24), ("-6", format!("fd00:{number}::"), 64)] {
        let nodad = if family == "-6" { " nodad" } else { "" };
        ip(&format!("{family} address add {net}1/{length} dev {name}{nodad}"));
        namespace.ip(&format!("{family} address add {net}2/{length} dev inside{nodad}"));
    }
    ip(&format!("link set {name} up"));
    namespace.ip("link set inside up");
    for (family, gateway) in [("-4", format!("10.0.{number}.1")), ("-6", format!("fd00:{number}::1"))] {
        namespace.ip(&format!("{family} route add default via {gateway}"));
    }
}

/// smtp-source sends from one side of a router to smtp-sink on the other one.
#[test]
fn root_packets_of_a_router_pass_once_whatever_interface_they_came_by() {
    if !in_own_namespace("capture::root_packets_of_a_router_pass_once_whatever_interface_they_came_by") {
        return;
    }
    let (client, server) = (Namespace::start(), Namespace::start());
    connect(&client, "near", 1);
    connect(&server, "far", 2);
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    for (address, target) in [("10.0.2.2:25", "inet:10.0.2.2:25"), ("[fd00:2::2]:25", "inet:[fd00:2::2]:25")] {
        let mut sink = peers().command("usr/sbin/smtp-sink");
        let mut sink = server.enter(sink.args(["-u", "nobody", target, "100"])).spawn().unwrap();
        wait_for("smtp-sink", || TcpStream::connect(address).ok());
        let folder = tempfile::tempdir().unwrap();
        let interfaces: [&[&str]; 3] = [&["near"], &["near", "far"], &["any"]];
        let captures: Vec<Dumpcap> = (0..interfaces.len())
            .map(|number| {
                let folder = folder.path().join(number.to_string());
                fs::create_dir(&folder).unwrap();
                Dumpcap::start_on(peers(), &folder, interfaces[number], "tcp port 25")
            })
            .collect();
        let mut source = peers().command("usr/sbin/smtp-source");
        source.args(["-s", "3", "-m", "20", "-l", "30000", "-f", "a@partner.test", "-t", "user@onprem.test", target]);
        assert!(client.enter(&source).status().unwrap().success());
        let files: Vec<PathBuf> = captures.into_iter().map(Dumpcap::stop).collect();
        sink.kill().unwrap();
        sink.wait().unwrap();
        let story = "tcp.port == 25 and not tcp.analysis.retransmission and not tcp.analysis.duplicate_ack";
        let passed = |file: &PathBuf| json(file, &["--filter", story])["passed"].as_u64().unwrap();
        let counts: Vec<u64> = files.iter().map(passed).collect();
        assert!(counts[0] > 300 && counts.iter().all(|count| *count == counts[0]), "{target}: {counts:?}");
        for file in &files {
            let told = json(file, &[]);
            assert_eq!((told["sessions"].as_array().unwrap().len(), &told["notes"]), (20, &serde_json::json!({})));
        }
        // One interface has each packet once, the others have it twice.
        assert!(json(&files[1], &[])["packets"].as_u64() > Some(counts[0] * 19 / 10));
    }
}
