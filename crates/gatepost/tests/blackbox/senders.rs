//! `gatepost why --inbound`: senders that fail to deliver mail, to this node and to servers whose files are given.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{Node, swaks, wait_for};

fn gatepost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).output().unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stderr);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    value["findings"].as_array().unwrap().clone()
}

/// A session in which each line waits for its reply.
fn say(port: u16, lines: &[&str]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut reply =
        || while replies.next().is_some_and(|line| line.is_ok_and(|line| line.as_bytes().get(3) == Some(&b'-'))) {};
    reply();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        reply();
    }
}

#[test]
fn senders_that_fail_at_this_node_are_explained() {
    let node = Node::to_port(crate::support::free_port()).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    say(node.port, &["EHLO mx.spoiled.test", "STARTTLS", "this is no ClientHello"]);
    say(node.port, &["EHLO mx.relay.test", "MAIL FROM:<a@relay.test>", "RCPT TO:<b@elsewhere.test>", "QUIT"]);
    let causes = || -> Vec<(String, String)> {
        let output = node.run(&["why", "--inbound", "--format", "json"]);
        let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let told = |finding: &Value| (text(&finding["scope"], "destination"), text(finding, "summary"));
        findings(&output).iter().map(told).collect()
    };
    let told = wait_for("both senders", || Some(causes()).filter(|told| told.len() >= 2));
    let of = |host: &str| told.iter().find(|(sender, _)| sender == host).map(|(_, summary)| summary.as_str());
    assert!(of("mx.spoiled.test").is_some(), "{told:?}");
    assert!(of("mx.relay.test").is_some_and(|summary| summary.contains("this server")), "{told:?}");
    // The client of the message that was accepted does not fail.
    assert_eq!(told.len(), 2, "{told:?}");
}

const LOG: &str = "\
Nov 25 07:00:00 mx postfix/smtpd[1]: connect from h.s.test[192.0.2.9]
Nov 25 07:00:00 mx postfix/smtpd[1]: SSL_accept error from h.s.test[192.0.2.9]: -1
Nov 25 07:00:00 mx postfix/smtpd[1]: warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:
Nov 25 07:00:00 mx postfix/smtpd[1]: lost connection after STARTTLS from h.s.test[192.0.2.9]
Nov 25 07:00:00 mx postfix/smtpd[1]: disconnect from h.s.test[192.0.2.9] ehlo=1 starttls=0/1 commands=1/2
";
const DELIVERY: &str = "Nov 25 07:00:00 mx postfix/smtp[4]: 4F00A1: to=<a@x.test>, relay=mx.x.test[192.0.2.1]:25, \
                        dsn=4.4.2, status=deferred (lost connection with mx.x.test[192.0.2.1] while sending RCPT TO)\n";

#[test]
fn files_tell_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (both, inbound) = (file("both.log", &[LOG, DELIVERY].concat()), file("in.log", LOG));
    let why = |arguments: &[&str]| gatepost(&[&["why", "--format", "json", "--postfix-log"], arguments].concat());
    let sender = |output: &Output| findings(output)[0]["scope"]["destination"].as_str().unwrap().to_owned();

    let output = why(&[&both]);
    assert_eq!(sender(&output), "mx.x.test:25");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 attempt of senders") && text.contains("--inbound"), "{text}");
    // Nothing else is in the file.
    for output in [why(&[&both, "--inbound"]), why(&[&inbound]), why(&[&inbound, "--inbound"])] {
        let first = &findings(&output)[0];
        assert_eq!(first["cause"], "no-shared-cipher", "{first:#}");
        assert_eq!(sender(&output), "h.s.test");
        let summary = first["summary"].as_str().unwrap();
        assert!(summary.starts_with("h.s.test shares no cipher suite with this server"), "{summary}");
        assert!(first["check"].as_str().unwrap().starts_with("gatepost why --inbound /"), "{first:#}");
        assert_eq!(output.status.code(), Some(1));
    }
}
