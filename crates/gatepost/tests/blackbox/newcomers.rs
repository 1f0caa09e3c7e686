//! The broken deliveries that a newcomer meets first: what `gatepost why CONNECTOR` prints, without further help.

use std::{fs, time::Duration};

use lab::{Device, Options, Server};

use crate::{
    foreign_causes::{Case, Named, SMALL, node},
    support::{
        Node, free_port,
        script::{Destination, Raw, Silence},
    },
};

/// A connector, what it leads to, its keys, the cause, and words that must be printed.
struct Row {
    name: &'static str,
    host: String,
    connector: String,
    cause: &'static str,
    words: &'static [&'static str],
}

fn row(name: &'static str, port: u16, connector: &str, cause: &'static str, words: &'static [&'static str]) -> Row {
    Row { name, host: format!("localhost:{port}"), connector: connector.to_owned(), cause, words }
}

fn start(device: Device) -> Server {
    let options = Options { host_name: "localhost".to_owned(), delay: Duration::from_secs(120), ..Options::default() };
    Server::start(device, options).unwrap()
}

/// As a table of findings, and each of them in full, in 80 columns.
fn assert_told(node: &Node, what: &str, cause: &str, words: &[&str]) {
    let output = node.command().args(["why", what]).env("COLUMNS", "80").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{what}: {text}");
    let title = if cause == "unknown" { "1. cause unknown".to_owned() } else { format!("1. {cause}, ") };
    assert!(text.contains(&title), "{what}: {text}");
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in words {
        assert!(flowing.contains(words), "{what}: {words:?} is missing: {text}");
    }
    // A command is on one line, so that it can be copied.
    let is_wide = |line: &&str| line.chars().count() > 80 && !line.trim_start().starts_with("gatepost ");
    assert_eq!(text.lines().find(is_wide), None, "{what}");
}

#[test]
fn what_a_newcomer_does_wrong_is_named_with_a_remedy() {
    let wrong_name = start(Device::CertificateWrongName);
    let expired = start(Device::CertificateExpired);
    let (greylisting, full) = (start(Device::Greylisting), start(Device::MailboxFull));
    let (demanding, hanging) = (start(Device::StartTlsDemanded), start(Device::HangAfterData));
    let shell = Destination::start(|_, _| Raw(b"SSH-2.0-OpenSSH_9.6\r\n"));
    let web = Destination::start(|_, _| Silence);
    let folder = tempfile::tempdir().unwrap();
    let verify = |name: &str, server: &Server| {
        let authority = folder.path().join(name);
        fs::write(&authority, server.authority_pem()).unwrap();
        format!("tls = \"verify\"\ntls_authorities = {authority:?}\n")
    };
    let rows = [
        row("nothing-there", free_port(), "", "connection-refused", &["Check `hosts` and `port` of the connector."]),
        row(
            "ssh-there",
            shell.port,
            "",
            "unknown",
            &["SSH-2.0-OpenSSH_9.6", "the server there does not speak SMTP", "-w edge.pcap port "],
        ),
        row("web-there", web.port, "", "banner-timeout", &["Check the port that this gateway sends to"]),
        row(
            "wrong-name",
            wrong_name.port(),
            &verify("wrong-name.pem", &wrong_name),
            "certificate-name-mismatch",
            &["www.hosting-company.test"],
        ),
        row("expired", expired.port(), &verify("expired.pem", &expired), "certificate-expired", &["expired"]),
        row("greylisting", greylisting.port(), "", "greylisted", &["Wait: a later attempt succeeds."]),
        row("full", full.port(), "", "mailbox-full", &["Free space in the mailbox, or raise its quota."]),
        row(
            "demanding",
            demanding.port(),
            "tls = \"none\"\n",
            "starttls-required",
            &["Set `tls = \"opportunistic\"` or a stricter value on the connector."],
        ),
        row("hanging", hanging.port(), "", "no-reply-to-message", &["`end_of_data`", "may accept duplicates"]),
    ];
    let case = |Row { name, host, connector, .. }: &Row| Case {
        name: (*name).to_owned(),
        host: host.clone(),
        connector: connector.clone(),
        messages: vec![SMALL; 3],
        named: Named::Nothing,
        captured: Named::Nothing,
    };
    let node = node(&rows.iter().map(case).collect::<Vec<_>>(), "");
    for Row { name, cause, words, .. } in &rows {
        assert_told(&node, name, cause, words);
    }
}

#[test]
fn a_resolver_that_is_gone_is_named_with_a_remedy() {
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"300ms\"\n", free_port());
    let node = Node::to(&["mail.firm.test:25"]).more(&dns).start();
    lab::send(([127, 0, 0, 1], node.port).into(), "", "user@onprem.test", "Subject: x\r\n\r\ntext").unwrap();
    node.wait_for_failure();
    assert_told(&node, "onprem", "dns-failure", &["no name server answered in time", "check `servers` in `[dns]`"]);
}
