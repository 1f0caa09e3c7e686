//! `gatepost capture` on the project's own captures, and on what is left of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

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
