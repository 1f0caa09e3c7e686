//! `gatepost config check`, and a start, on configurations that cannot work.

use std::{fs, path::Path, process::Command};

use lab::{Device, Identity};
use serde_json::Value;

use crate::support::{Node, free_port, script::Destination};

struct Checked {
    code: Option<i32>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

fn check(folder: &Path, text: &str) -> Checked {
    let file = folder.join("gatepost.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(&file).args(["config", "check", "--format", "json"]);
    let output = command.output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let list = |key: &str| {
        let line =
            |fault: &Value| format!("{}:{}: {}", fault["line"], fault["column"], fault["message"].as_str().unwrap());
        value[key].as_array().unwrap().iter().map(line).collect()
    };
    Checked { code: output.status.code(), errors: list("errors"), warnings: list("warnings") }
}

fn write_identity(folder: &Path, name: &str, identity: &Identity) {
    fs::write(folder.join(format!("{name}.pem")), identity.certificate_pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), identity.key_pem()).unwrap();
}

#[test]
fn all_that_cannot_work_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    fs::write(folder.path().join("text.pem"), "no certificate").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let checked = check(
        folder.path(),
        &format!(
            "[node]\ndata = \"file/data\"\n\
             [inbound]\nlisten = [\"127.0.0.1:{port}\", \"127.0.0.1:{port}\"]\n\
             tls_certificate = \"none.pem\"\ntls_key = \"none.key\"\n\
             [[accepted_domain]]\nname = \"a.test\"\nconnector = \"c\"\n\
             [[connector]]\nname = \"c\"\nhosts = [\"192.0.2.1\", \"127.0.0.1:{port}\"]\ntls_authorities = \"text.pem\"\n"
        ),
    );
    assert_eq!(checked.code, Some(1));
    for (number, (place, expected)) in [
        ("2:8: ", "data: "),
        ("4:", "failed to listen on 127.0.0.1"),
        ("5:19: ", "tls_certificate: failed to read "),
        ("6:11: ", "tls_key: failed to read "),
        ("12:23: ", "is this node itself"),
        ("13:19: ", "tls_authorities: "),
    ]
    .into_iter()
    .enumerate()
    {
        let error = checked.errors.get(number).cloned().unwrap_or_default();
        assert!(error.starts_with(place) && error.contains(expected), "{expected}: {:#?}", checked.errors);
        assert!(!error.contains("error:"), "OpenSSL's own words: {error}");
    }
    assert_eq!(checked.errors.len(), 6, "{:#?}", checked.errors);
}

#[test]
fn certificates_and_keys_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    write_identity(folder.path(), "good", &Identity::for_host("good.test").unwrap());
    write_identity(folder.path(), "old", &Identity::shown_by(Device::CertificateExpired, "old.test").unwrap().0);
    let identity = |certificate: &str, key: &str| {
        let listen = free_port();
        format!(
            "[inbound]\nlisten = [\"127.0.0.1:{listen}\"]\ntls_certificate = \"{certificate}.pem\"\ntls_key = \"{key}.key\"\n\
             [[accepted_domain]]\nname = \"a.test\"\nconnector = \"internet\"\n"
        )
    };
    let good = check(folder.path(), &identity("good", "good"));
    assert_eq!((good.code, good.errors, good.warnings), (Some(0), vec![], vec![]));
    let mixed = check(folder.path(), &identity("good", "old"));
    assert_eq!(mixed.code, Some(1));
    assert!(
        mixed.errors[0].starts_with("4:11: ") && mixed.errors[0].contains("does not belong to"),
        "{:?}",
        mixed.errors
    );
    let old = check(folder.path(), &identity("old", "old"));
    assert_eq!((old.code, old.errors), (Some(0), vec![]));
    assert!(old.warnings[0].starts_with("3:19: ") && old.warnings[0].contains("expired on "), "{:?}", old.warnings);
}

#[test]
fn a_policy_that_openssl_cannot_follow_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let policy = |settings: &str| {
        format!(
            "[inbound]\nlisten = [\"127.0.0.1:0\"]\n[[tls_policy]]\nname = \"old\"\nminimum = \"1.0\"\nciphers = \"ALL\"\n{settings}"
        )
    };
    let never = check(folder.path(), &policy("maximum = \"1.0\"\nsecurity_level = 2\n"));
    assert_eq!(never.code, Some(1));
    assert!(
        never.errors[0].starts_with("7:11: ") && never.errors[0].contains("security_level = 0"),
        "{:?}",
        never.errors
    );
    let partly = check(folder.path(), &policy("maximum = \"1.2\"\nsecurity_level = 1\n"));
    assert_eq!((partly.code, partly.errors), (Some(0), vec![]));
    assert!(partly.warnings.iter().any(|warning| warning.contains("has no effect")), "{:?}", partly.warnings);
}

#[test]
fn a_guess_never_switches_security_off() {
    let folder = tempfile::tempdir().unwrap();
    for level in ["dane", "nome", "plain"] {
        let connector = format!("[[connector]]\nname = \"c\"\nhosts = [\"mx\"]\ntls = \"{level}\"\n");
        let checked = check(folder.path(), &connector);
        assert!(
            checked.errors[0].contains("allowed values are:") && !checked.errors[0].contains("did you mean"),
            "{:?}",
            checked.errors
        );
    }
}

#[test]
fn a_port_in_use_is_an_error_unless_the_own_node_uses_it() {
    let destination = Destination::taking(|_, _| None);
    let mut node = Node::to_port(destination.port).start();
    let output = node.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    node.signal("-TERM");
    node.wait();
    let _other = std::net::TcpListener::bind(("127.0.0.1", node.port)).unwrap();
    let output = node.run(&["config", "check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("1 error:\n") && text.contains("another program uses this port"), "{text}");
    let output = node.run(&["serve"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another program uses this port"), "{text}");
}

#[test]
fn a_node_with_faulty_files_does_not_start_and_says_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    let text = "[inbound]\nlisten = [\"127.0.0.1:0\"]\ntls_certificate = \"a.pem\"\ntls_key = \"a.key\"\n";
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).arg("--config").arg(&file).arg("serve").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for expected in
        ["gatepost.toml:3:19: tls_certificate: failed to read", "gatepost.toml:4:11: tls_key: failed to read"]
    {
        assert!(text.contains(expected), "{text}");
    }
}
