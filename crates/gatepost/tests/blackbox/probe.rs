//! Probes connect like delivery: to the same addresses in the same order, with the same certificates, and no further than they
//! say. What they show decides what a finding says.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Output,
    thread,
};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{
    Node,
    foreign::NameServer,
    script::{Destination, Say},
    swaks, wait_for,
};

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A node whose destination has these addresses in DNS.
fn by_name(zone: &str, port: u16, connector: &str) -> (Node, NameServer) {
    let names = NameServer::start("onprem.test", zone);
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"1s\"\n", names.port);
    let host = format!("mail.onprem.test:{port}");
    (Node::to(&[&host]).connector(connector).more(&dns).start(), names)
}

fn stuck(node: &Node) {
    swaks(node.port, &["--from", "alice@partner.test", "--to", "user@onprem.test"]);
    node.wait_for_failure();
}

fn first(node: &Node, more: &[&str]) -> Value {
    let output = node.run(&[&["why", "onprem", "--probe", "--probe-timeout", "2s", "--format", "json"], more].concat());
    value(&output)["findings"][0].clone()
}

/// On many machines a name has a dead IPv6 address first: mail goes on to the next one, and so does a probe.
#[test]
fn a_dead_ipv6_address_first_leaves_the_cause_confirmed() {
    let listen = "127.0.0.2:0".parse().unwrap();
    let server = Server::start(Device::Rc4Only, Options { listen, ..Options::default() }).unwrap();
    let (node, _names) = by_name("mail AAAA ::1\nmail A 127.0.0.2", server.port(), "tls_policy = \"intermediate\"\n");
    stuck(&node);
    let finding = first(&node, &[]);
    let experiment = &finding["experiment"];
    assert_eq!(
        (&finding["cause"], &experiment["verdict"]),
        (&"no-shared-cipher".into(), &"confirmed".into()),
        "{finding:#}"
    );
    assert_eq!(experiment["smallest_change"], "with RC4 offered too", "{finding:#}");
    let said = experiment["steps"][0]["what"].as_str().unwrap();
    assert!(said.contains(&format!("at 127.0.0.2:{}", server.port())), "{finding:#}");
    // The node goes there too, and says what stops its mail.
    let from_node = experiment["nodes"][0]["detail"].as_str().unwrap();
    assert!(!from_node.contains("refused"), "{finding:#}");

    // After the repair, the dead address is still dead, and mail flows.
    server.become_device(Device::Healthy).unwrap();
    let finding = first(&node, &[]);
    assert_eq!(finding["experiment"]["verdict"], "refuted", "{finding:#}");
}

/// Passes bytes on in both directions, and closes the connection in place of a TLS alert.
fn without_alerts(server: &Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), server.address());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(behind).unwrap();
            let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass_on(from_client, to_server, |_| false));
            thread::spawn(move || pass_on(server, client, |bytes| bytes.starts_with(&[21, 3])));
        }
    });
    port
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_the_end: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_the_end(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn what_the_experiment_finds_is_the_cause() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let node = Node::to_port(without_alerts(&server)).start();
    stuck(&node);
    let before = value(&node.run(&["why", "onprem", "--format", "json"]))["findings"][0].clone();
    assert_eq!(before["cause"], "handshake-reset", "{before:#}");
    let after = first(&node, &[]);
    let said = (&after["cause"], &after["experiment"]["verdict"]);
    assert_eq!(said, (&"no-shared-tls-version".into(), &"confirmed".into()), "{after:#}");
    assert!(
        after["summary"].as_str().unwrap().contains("supports no TLS version that this gateway offers"),
        "{after:#}"
    );
    assert_ne!(after["remedy"], before["remedy"], "{after:#}");
}

/// A probe that stops before MAIL says nothing about what comes after it.
#[test]
fn what_fails_after_ehlo_is_not_tested_unless_the_envelope_may_go() {
    let destination = Destination::taking(|_, line| match line.get(..4)? {
        "RCPT" => Some(Say("450 4.7.1 rejected by local policy")),
        _ => None,
    });
    let node = Node::to_port(destination.port).start();
    stuck(&node);
    let before = value(&node.run(&["why", "onprem", "--format", "json"]))["findings"][0].clone();
    let finding = first(&node, &[]);
    let experiment = &finding["experiment"];
    assert_eq!(experiment["verdict"], "not-tested", "{finding:#}");
    assert!(experiment["because"].as_str().unwrap().ends_with("With --envelope it goes on to RCPT."), "{finding:#}");
    assert_eq!(finding["confidence"], before["confidence"]);
    assert_eq!(finding["evidence"], before["evidence"]);

    let finding = first(&node, &["--envelope"]);
    let experiment = &finding["experiment"];
    assert_eq!(
        (&experiment["verdict"], experiment["steps"].as_array().unwrap().len()),
        (&"confirmed".into(), 1),
        "{finding:#}"
    );
    assert!(experiment["steps"][0]["detail"].as_str().unwrap().contains("450 4.7.1 rejected"), "{finding:#}");
    assert!(experiment["nodes"][0]["detail"].as_str().unwrap().contains("450 4.7.1 rejected"), "{finding:#}");
}

#[test]
fn a_probe_of_a_connector_trusts_what_the_connector_trusts() {
    let options = Options { host_name: "localhost".to_owned(), ..Options::default() };
    let server = Server::start(Device::Healthy, options).unwrap();
    let trust = "tls = \"verify\"\ntls_authorities = \"authority.pem\"\n";
    let node = Node::to(&[&format!("localhost:{}", server.port())])
        .connector(trust)
        .file("authority.pem", &server.authority_pem())
        .start();
    let host = format!("localhost:{}", server.port());
    for arguments in [&["onprem"][..], &[host.as_str()], &[host.as_str(), "--connector", "onprem"]] {
        let output = node.run(&[&["probe", "--pause", "1ms", "--format", "json"], arguments].concat());
        let probed = value(&output)["destinations"].as_array().unwrap().last().unwrap()["probed"].clone();
        assert!(probed["handshake"]["certificate_fault"].is_null(), "{arguments:?}: {probed:#}");
        assert_eq!(output.status.code(), Some(0), "{probed:#}");
    }
    let output = node.run(&["probe", &host, "--connector", "nosuch"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown connector \"nosuch\"; connectors are: onprem"));
}

#[test]
fn an_expired_certificate_is_marked_and_no_row_suggests_a_wrong_cure() {
    let server = Server::start(Device::CertificateExpired, Options::default()).unwrap();
    let destination = format!("127.0.0.1:{}", server.port());
    let probe = |format: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["probe", &destination, "--pause", "1ms", "--format", format]).output().unwrap()
    };
    let text = String::from_utf8(probe("table").stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("  expires")).unwrap();
    assert!(line.ends_with("EXPIRED"), "{text}");

    // What fails for its cipher suite does not work with a smaller ClientHello or without a server name.
    server.become_device(Device::Rc4Only).unwrap();
    let json = value(&probe("json"));
    let rows = json["destinations"][0]["probed"]["variations"].as_array().unwrap();
    let works: Vec<&str> =
        rows.iter().filter(|row| row["works"] == true).map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(works, ["with-tls-1.0-and-rc4"], "{json:#}");
}

/// A node whose logs are elsewhere is asked for the sessions that a report quotes.
#[test]
fn a_report_quotes_sessions_from_the_log_of_the_node_that_made_them() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let logs = tempfile::tempdir().unwrap();
    let folder = |name: &str| format!("[protocol_log]\nfolder = {:?}\n", logs.path().join(name));
    let node = Node::to_port(server.port()).more(&folder("here")).start();
    stuck(&node);
    // As another machine would have it: the same store, other logs.
    let own = std::fs::read_to_string(node.path("gatepost.toml")).unwrap();
    let other = node.path("other.toml");
    std::fs::write(&other, own.replace(&folder("here"), &folder("there"))).unwrap();
    let report = node.path("case.html");
    let page = wait_for("a report with a conversation", || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("--config").arg(&other).args(["why", "--report", report.to_str().unwrap()]).output().unwrap();
        let page = std::fs::read_to_string(&report).ok()?;
        page.contains("An attempt that failed").then_some(page)
    });
    assert!(page.contains("STARTTLS") && !page.contains("does not have them"), "{page}");
}
