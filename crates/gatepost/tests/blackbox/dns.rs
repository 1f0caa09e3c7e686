//! Delivery by MX, asked of a real name server (NSD).

use std::fs;

use crate::support::{
    Node,
    foreign::NameServer,
    free_port,
    script::{Client, Destination},
};

/// Zone file lines for `onprem.test`, by case; the destinations listen on addresses of the loopback network.
fn node(zone: &str, port: u16) -> (Node, NameServer) {
    let server = NameServer::start("onprem.test", zone);
    let more = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"1s\"\n", server.port);
    (Node::to(&["mx"]).connector(&format!("port = {port}")).more(&more).start(), server)
}

fn send(node: &Node) {
    assert!(Client::connect(node.port).send_message("by MX").starts_with("250"));
}

#[test]
fn mail_goes_to_the_best_exchanger_that_answers() {
    let destination = Destination::taking(|_, _| None);
    for zone in [
        "@ MX 10 mail\nmail A 127.0.0.1",
        // Nothing listens on the better one.
        "@ MX 5 dead\n@ MX 10 mail\ndead A 127.0.0.9\nmail A 127.0.0.1",
        // No MX: the domain's own address.
        "@ A 127.0.0.1",
        // An exchanger without address is passed over.
        "@ MX 5 nowhere\n@ MX 10 mail\nmail A 127.0.0.1",
        // Two addresses, of which the first is dead.
        "@ MX 10 mail\nmail AAAA ::1\nmail A 127.0.0.1",
    ] {
        let (node, _server) = node(zone, destination.port);
        send(&node);
        node.wait_for_status("user@onprem.test", "Delivered");
    }
}

#[test]
fn what_dns_says_instead_is_told() {
    for (zone, status, kind, cause) in [
        ("@ MX 0 .", "Failed", "null-mx", "domain-takes-no-mail"),
        ("@ TXT nothing", "Pending", "host-not-found", "dns-failure"),
        ("@ MX 10 nowhere", "Pending", "host-not-found", "dns-failure"),
        ("@ MX 10 edge.test.", "Failed", "mail-loop", "mail-loop"),
    ] {
        let (node, _server) = node(zone, free_port());
        send(&node);
        let row = crate::support::wait_for(kind, || {
            node.trace().into_iter().find(|row| row["recipient"] == "user@onprem.test" && !row["failure"].is_null())
        });
        assert_eq!((row["status"].as_str(), row["failure"]["kind"].as_str()), (Some(status), Some(kind)), "{row:#}");
        assert_eq!(row["failure"]["phase"], "resolve");
        let output = node.run(&["why", "--format", "json"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let first = &found["findings"][0];
        assert!(first["cause"] == cause && first["confidence"].as_f64() > Some(0.5), "{first:#}");
    }
}

#[test]
fn a_name_server_that_is_silent_is_a_dns_failure() {
    let node =
        Node::to(&["mx"]).more(&format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"300ms\"\n", free_port()));
    let node = node.start();
    send(&node);
    let row = node.wait_for_failure();
    assert_eq!(row["failure"]["kind"], "dns-failure", "{row:#}");
    assert!(fs::exists(node.path("data")).unwrap());
}
