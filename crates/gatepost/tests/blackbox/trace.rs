//! `gatepost trace` over real mail: filters, pages, files for other tools, and following.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use ::trace::message_trace::{Column, Reader, Row};
use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{Node, swaks, wait_for};

/// A node with one message delivered over TLS 1.3 and one that was deferred.
fn node() -> (Node, Server) {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port())
        .more("[[accepted_domain]]\nname = \"other.test\"\nconnector = \"dead\"\n[[connector]]\nname = \"dead\"\nhosts = [\"127.0.0.1:9\"]\n")
        .start();
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Subject: Invoice 100%, \"paid\""]);
    swaks(node.port, &["--to", "user@other.test,second@other.test", "--header", "Subject: Reminder"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    wait_for("both to be deferred", || {
        (node.queue().iter().filter(|row| !row["failure"].is_null()).count() == 2).then_some(())
    });
    (node, server)
}

fn found(node: &Node, arguments: &[&str]) -> Vec<String> {
    let value = node.json(&[&["trace"], arguments].concat());
    let rows = value["messages"].as_array().unwrap();
    rows.iter().map(|row| row["recipient"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filters_find_what_they_say() {
    let (node, _server) = node();
    let (one, two) = (&["user@onprem.test"][..], &["user@other.test", "second@other.test"][..]);
    let table: &[(&[&str], &[&str])] = &[
        (&["--recipient", "USER@*"], &["user@other.test", "user@onprem.test"]),
        (&["--recipient", "@other.test"], two),
        (&["--subject", "100%"], one),
        (&["--subject-starts-with", "remind"], two),
        (&["--subject-ends-with", "\"paid\""], one),
        (&["--status", "delivered"], one),
        (&["--status", "pending,failed"], two),
        (&["--connector", "dead"], two),
        (&["--node", "edge-1", "--tls-version", "1.3"], one),
        (&["--cipher", "tls_aes_256_gcm_sha384"], one),
        (&["--tls-version", "none"], two),
        (&["--policy", "modern", "--code", "250"], one),
        (&["--code", "2.0.0"], one),
        (&["--to-ip", "127.0.0.1", "--from-ip", "127.0.0.1", "--status", "delivered"], one),
        (&["--from-ip", "127.0.0.2"], &[]),
        (&["--size-max", "10"], &[]),
        (&["--since", "1h", "--size-min", "10", "--limit", "1"], &["user@other.test"]),
        (&["--until", "1h"], &[]),
    ];
    for (arguments, expected) in table {
        assert_eq!(found(&node, arguments), *expected, "{arguments:?}");
    }
    // Page by page, everything comes once.
    let mut all = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let after: Vec<&str> = next.iter().flat_map(|next| ["--after", next.as_str()]).collect();
        let page = node.json(&[&["trace", "--limit", "1"], &after[..]].concat());
        all.extend(
            page["messages"].as_array().unwrap().iter().map(|row| row["recipient"].as_str().unwrap().to_owned()),
        );
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    assert_eq!(all, ["user@other.test", "second@other.test", "user@onprem.test"]);
}

fn export(node: &Node, arguments: &[&str]) -> Vec<u8> {
    let output = node.run(&[&["trace"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn rows(bytes: &[u8]) -> Vec<Row> {
    Reader::new(bytes).unwrap().map(Result::unwrap).collect()
}

#[test]
fn files_are_what_other_tools_read() {
    let (node, _server) = node();
    // As a user's script would.
    let script =
        "import csv, json, sys; print(json.dumps(list(csv.DictReader(open(0, encoding='utf-16', newline='')))))";
    let mut python =
        Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let csv = export(&node, &["--format", "csv", "--encoding", "utf-16le"]);
    python.stdin.take().unwrap().write_all(&csv).unwrap();
    let output = python.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary.as_array().unwrap().len(), 2, "{summary:#}");
    assert_eq!(summary[1]["message_subject"], "Invoice 100%, \"paid\"");
    assert_eq!(summary[1]["recipient_status"], "user@onprem.test##Receive, Send");
    assert_eq!(summary[0]["recipient_status"], "user@other.test##Receive, Defer;second@other.test##Receive, Defer");
    assert_eq!(summary[0]["original_client_ip"], "127.0.0.1");

    let extended = rows(&export(&node, &["--detail", "--format", "csv"]));
    let events: Vec<(&str, &str)> =
        extended.iter().map(|row| (&row[Column::EventId], &row[Column::RecipientAddress])).collect();
    assert_eq!(
        events,
        [
            ("RECEIVE", "user@other.test;second@other.test"),
            ("DEFER", "user@other.test"),
            ("DEFER", "second@other.test"),
            ("RECEIVE", "user@onprem.test"),
            ("SEND", "user@onprem.test"),
        ]
    );
    let (deferred, sent) = (&extended[1], &extended[4]);
    assert!(
        deferred[Column::RecipientStatus].starts_with("[{LED=127.0.0.1:9: connection refused while connecting};{MSG="),
        "{deferred:#?}"
    );
    assert!(sent[Column::CustomData].contains("S:TlsVersion=TLSv1.3;S:TlsCipher=TLS_AES_256_GCM_SHA384"), "{sent:#?}");
    // Joins to the protocol log by the session.
    let session = &sent[Column::SourceContext];
    let log = node.path("data/protocol-log/SmtpSend");
    wait_for("the session in the protocol log", || {
        let files = std::fs::read_dir(&log).ok()?;
        let mut texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        texts.any(|text| text.contains(&format!(",onprem,{session},"))).then_some(())
    });
    let tracking = rows(&export(&node, &["--format", "tracking-log"]));
    assert_eq!(tracking.len(), extended.len());
    assert_eq!(&tracking[0][Column::TransportTrafficType], "Email");
}

#[test]
fn following_shows_mail_as_it_flows() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    let mut follow = node.command();
    let mut follow = follow
        .args(["trace", "--follow", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    swaks(node.port, &["--to", "user@onprem.test"]);
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let row = loop {
        let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if row["status"] == "Delivered" {
            break row;
        }
    };
    assert_eq!(row["recipient"], "user@onprem.test");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn old_history_is_deleted_and_subjects_can_be_withheld() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let mut node = Node::to_port(server.port()).more("[history]\nkeep = \"7s\"\nsubjects = false\n").start();
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Subject: between us"]);
    let row = node.wait_for_status("user@onprem.test", "Delivered");
    assert!(row["subject"].is_null(), "{row:#}");
    // Deletion begins five seconds after a start.
    std::thread::sleep(std::time::Duration::from_secs(3));
    node.kill();
    node.start();
    wait_for("the history to end", || node.trace().is_empty().then_some(()));
}

#[test]
fn withheld_addresses_are_nowhere_in_the_store() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let mut node = Node::to_port(server.port())
        .more("[history]\naddresses = false\n[protocol_log]\nreceive = false\n")
        .connector("protocol_log = false")
        .start();
    // More than a page of the store, with the addresses on each.
    let text = "From: zaphod@partner.test, to trillian@onprem.test\n".repeat(1000);
    let to = "trillian@onprem.test,marvin@onprem.test";
    swaks(node.port, &["--from", "zaphod@partner.test", "--to", to, "--body", &text]);
    let row = node.wait_for_status("withheld-2@onprem.test", "Delivered");
    assert_eq!(row["sender"], "withheld@partner.test");
    let events: Vec<&Value> = row["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(events, ["received", "delivered"], "{row:#}");
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    let names = ["zaphod", "trillian", "marvin"];
    let mut files = 0;
    for file in std::fs::read_dir(node.path("data")).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap().to_ascii_lowercase();
        for name in names {
            let found = bytes.windows(name.len()).filter(|window| *window == name.as_bytes()).count();
            assert_eq!(found, 0, "{name} in {}", path.display());
        }
    }
    assert!(files > 0);
    assert_eq!(node.trace().len(), 2);
}

/// What the gateway wrote, and what others have published, in the same table.
#[test]
fn other_systems_files_are_shown() {
    let (node, _server) = node();
    let report = node.path("report.csv");
    std::fs::write(&report, export(&node, &["--detail", "--format", "csv", "--encoding", "utf-16le"])).unwrap();
    // From anywhere, without a configuration.
    let read = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).arg("trace").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let file = report.to_str().unwrap();
    let (code, text, _) = read(&["--from-message-trace", file, "--format", "json"]);
    assert_eq!(code, Some(0));
    let value: Value = serde_json::from_str(&text).unwrap();
    let told: Vec<(&str, &str)> = value["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["recipient"].as_str().unwrap(), row["status"].as_str().unwrap()))
        .collect();
    let expected =
        [("second@other.test", "Pending"), ("user@other.test", "Pending"), ("user@onprem.test", "Delivered")];
    assert_eq!(told, expected);
    let (_, text, _) = read(&["--from-message-trace", file, "--status", "pending", "--recipient", "second@*"]);
    assert!(
        text.contains("[{LED=127.0.0.1:9: connection refused")
            && text.contains("5 events read, 0 lines not recognised."),
        "{text}"
    );

    let (code, _, error) = read(&["--from-tracking-log", node.path("gatepost.toml").to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(error.contains("gatepost.toml: not an Exchange message trace"), "{error}");
    let (code, _, error) = read(&["--from-tracking-log", file, "--node", "mx1"]);
    assert!(code == Some(2) && error.contains("only these options filter files: --sender"), "{error}");
    let (code, _, error) = read(&["--from-tracking-log", "/nonexistent"]);
    assert!(code == Some(2) && error.contains("skipped /nonexistent: "), "{error}");
}

/// The log of a real Postfix, which took one message of the gateway.
#[test]
fn a_postfix_log_is_shown() {
    let postfix = crate::support::Postfix::start();
    let node = Node::to_port(postfix.port).start();
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Message-ID: <1@partner.test>"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    wait_for("Postfix to log the delivery", || postfix.log().contains("status=sent").then_some(()));
    let log = node.path("mail.log");
    std::fs::write(&log, postfix.log()).unwrap();
    let arguments = ["trace", "--from-postfix-log", log.to_str().unwrap(), "--format", "json"];
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &value["messages"][0];
    assert_eq!(row["status"], "Delivered", "{value:#}");
    assert_eq!(row["sender"], "alice@partner.test");
    assert_eq!((&row["recipient"], &row["message_id"]), (&"user@onprem.test".into(), &"<1@partner.test>".into()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(["trace", "--from-postfix-log"]).arg(node.path("gatepost.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no deliveries of Postfix found"));
}

/// The log of a real Exim, which took one message of the gateway.
#[test]
fn root_an_exim_log_is_shown() {
    let exim = crate::support::Exim::start();
    let node = Node::to_port(exim.port).start();
    // As swaks spells it, which replaces its own: of two, Exim logs the first, and Postfix the last.
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Message-Id: <1@partner.test>"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    wait_for("Exim to log the delivery", || exim.log().contains("Completed").then_some(()));
    let log = node.path("mainlog");
    std::fs::write(&log, exim.log()).unwrap();
    let read = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let arguments = ["trace", "--from-exim-log"].iter().chain(arguments);
        command.args(arguments).args(["--format", "json"]).output().unwrap()
    };
    let messages = |arguments: &[&str]| -> Value {
        let value: Value = serde_json::from_slice(&read(arguments).stdout).unwrap();
        value["messages"].clone()
    };
    let log = log.to_str().unwrap();
    let row = &messages(&[log])[0];
    assert_eq!(row["status"], "Delivered", "{row:#}");
    assert_eq!(row["sender"], "alice@partner.test");
    assert_eq!((&row["recipient"], &row["message_id"]), (&"user@onprem.test".into(), &"<1@partner.test>".into()));
    assert_eq!(messages(&[log, "--status", "quarantined"]), serde_json::json!([]));
    let output = read(&[node.path("gatepost.toml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no deliveries of Exim found"));
}

/// Lists of messages have statuses that no event has.
#[test]
fn every_status_of_exchange_online_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.csv");
    let statuses = ["Delivered", "Pending", "Failed", "Quarantined", "FilteredAsSpam", "Expanded", "GettingStatus"];
    let mut text = "MessageTraceId,MessageId,Received,SenderAddress,RecipientAddress,Subject,Status\r\n".to_owned();
    for status in statuses {
        text += &format!("{status},<{status}@x.test>,2026-11-25T08:10:00,a@x.test,b@x.test,Hello,{status}\r\n");
    }
    std::fs::write(&list, text).unwrap();
    for status in statuses {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let file = list.to_str().unwrap();
        let output =
            command.args(["trace", "--format", "json", "--status", status, "--from-message-trace", file]).output();
        let value: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        let found: Vec<_> = value["messages"].as_array().unwrap().iter().map(|row| row["status"].clone()).collect();
        assert_eq!(found, [status]);
    }
}

/// An alias is expanded into its members, and what a client was refused has no id.
#[test]
fn aliases_and_refusals_of_exim_are_told_apart() {
    const LOG: &str = "\
2026-11-25 07:00:00 1abcde-000123-XY <= a@x.test H=mx.x.test [192.0.2.9] P=esmtp S=1 id=1@x.test for list@y.test
2026-11-25 07:00:01 1abcde-000123-XY => b@y.test <list@y.test> R=aliases T=smtp H=mx.y.test [192.0.2.1] C=\"250 ok\"
2026-11-25 07:00:01 1abcde-000123-XY ** c@y.test <list@y.test>: Unrouteable address
2026-11-25 07:00:02 1abcde-000123-XY Completed
2026-11-25 07:00:03 H=mx.x.test [192.0.2.9] F=<a@x.test> rejected RCPT <nobody@y.test>: No such user
";
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mainlog");
    std::fs::write(&log, LOG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(["trace", "--format", "json", "--from-exim-log"]).arg(log).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages = value["messages"].as_array().unwrap();
    let mut told: Vec<_> =
        messages.iter().map(|row| ["recipient", "status", "why"].map(|key| row[key].as_str().unwrap())).collect();
    told.sort_unstable();
    let expected = [
        ["b@y.test", "Delivered", "250 ok"],
        ["c@y.test", "Failed", "Unrouteable address"],
        ["list@y.test", "Expanded", ""],
        ["nobody@y.test", "Failed", "No such user"],
    ];
    assert_eq!(told, expected);
}
