//! A firewall in a network namespace: what it drops goes into a link with nothing behind it, so connections time out.
//! Hosts of unrelated networks stand for destinations on the internet.

use std::process::Command;

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::{
    foreign_causes::protocol_log_when,
    own_faults::{send, why},
    support::{Node, Postfix, foreign::NameServer, wait_for},
    wire::network::{in_own_namespace, ip},
};

/// Of unrelated networks (RFC 5737).
const HOSTS: [(&str, &str); 3] =
    [("one.test", "192.0.2.1"), ("two.test", "198.51.100.1"), ("three.test", "203.0.113.1")];

/// As the protocol log has it.
const SILENCE: &str = "no answer within 1 s";

/// The default route leads nowhere.
fn cut_off() {
    for command in [
        "link set lo up",
        "link add out type veth peer name nowhere",
        "link set out arp off",
        "link set out up",
        "link set nowhere up",
        "address add 192.0.2.250/32 dev lo",
        "route add default dev out src 192.0.2.250",
    ] {
        ip(command);
    }
}

/// The hosts are on this machine, and only connections to port 25 lead nowhere.
fn block_port_25() {
    cut_off();
    for (_, host) in HOSTS {
        ip(&format!("address add {host}/32 dev lo"));
    }
    for command in [
        "route add default dev out table 25",
        // By number: a machine need not have /etc/protocols.
        "rule add pref 10 ipproto 6 dport 25 lookup 25",
        // Before it, the rule for addresses of this machine would catch all.
        "rule add pref 20 lookup local",
        "rule del pref 0",
    ] {
        ip(command);
    }
}

/// A connector for each domain, and a message that was tried once.
fn node(destinations: &[(&str, String)]) -> Node {
    let table = |(domain, host): &(&str, String)| {
        format!(
            "[[accepted_domain]]\nname = \"{domain}\"\nconnector = \"{domain}\"\n\
             [[connector]]\nname = \"{domain}\"\nhosts = [\"{host}\"]\ntimeouts = {{ connect = \"1s\" }}\n"
        )
    };
    let node = Node::to_port(9).more(&destinations.iter().map(table).collect::<String>()).start();
    for (domain, _) in destinations {
        lab::send(([127, 0, 0, 1], node.port).into(), "", &format!("user@{domain}"), "Subject: x\r\n\r\ntext").unwrap();
    }
    wait_for("an attempt of each message", || {
        let rows = node.trace();
        let is_tried = |row: &&Value| {
            row["events"].as_array().is_some_and(|events| events.iter().any(|event| !event["attempt"].is_null()))
        };
        (rows.iter().filter(is_tried).count() == destinations.len()).then_some(())
    });
    node
}

/// By the history, and by the protocol log alone, when it has this failure so often.
fn findings(node: &Node, failure: &str, count: usize) -> [Vec<Value>; 2] {
    let findings = |command: &mut Command| {
        let output = command.args(["--format", "json"]).output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["findings"].as_array().unwrap().clone()
    };
    let mut by_log = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let logs = protocol_log_when(node, |text| text.matches(failure).count() >= count);
    [findings(node.command().arg("why")), findings(by_log.arg("why").args(logs))]
}

fn assert_blocked_everywhere(findings: &[Value]) {
    let [finding] = findings else { panic!("{findings:#?}") };
    assert_eq!(finding["cause"], "outbound-port-blocked", "{finding:#}");
    assert!(finding["confidence"].as_f64() > Some(0.5), "{finding:#}");
    assert_eq!(finding["scope"]["everywhere"]["destinations"], HOSTS.len(), "{finding:#}");
    // This side's remedies, and none of the destinations'.
    let remedies = finding["remedy"].as_array().unwrap();
    assert!(remedies[0]["action"].as_str().unwrap().contains("firewall"), "{finding:#}");
    assert!(remedies.iter().all(|remedy| remedy["side"] != "destination"), "{finding:#}");
}

#[test]
fn namespace_a_firewall_that_drops_all_connections_is_one_finding() {
    if !in_own_namespace("firewall::namespace_a_firewall_that_drops_all_connections_is_one_finding") {
        return;
    }
    cut_off();
    let node = node(&HOSTS.map(|(domain, host)| (domain, format!("{host}:25"))));
    for findings in findings(&node, SILENCE, HOSTS.len()) {
        assert_blocked_everywhere(&findings);
    }
    // Postfix says so in its own words.
    let transports = HOSTS.map(|(domain, host)| format!("{domain}=smtp:[{host}]:25")).join(", ");
    let postfix = Postfix::start_with(&format!(
        "mynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
         smtp_connect_timeout = 1s\ntransport_maps = inline:{{{transports}}}\n"
    ));
    for (domain, _) in HOSTS {
        send(&postfix, &format!("user@{domain}"));
    }
    let log = wait_for("an attempt of each message", || {
        Some(postfix.log()).filter(|log| log.matches(" status=deferred ").count() == HOSTS.len())
    });
    let (_, value) = why(&log);
    assert_blocked_everywhere(value["findings"].as_array().unwrap());
}

/// As providers do: a smart host on port 587 still works.
#[test]
fn namespace_a_firewall_that_drops_port_25_is_one_finding() {
    if !in_own_namespace("firewall::namespace_a_firewall_that_drops_port_25_is_one_finding") {
        return;
    }
    block_port_25();
    let listen = format!("{}:587", HOSTS[0].1).parse().unwrap();
    let _relay = Server::start(Device::Healthy, Options { listen, ..Options::default() }).unwrap();
    let mut destinations = HOSTS.map(|(domain, host)| (domain, format!("{host}:25"))).to_vec();
    destinations.push(("relayed.test", listen.to_string()));
    let node = node(&destinations);
    node.wait_for_status("user@relayed.test", "Delivered");
    for findings in findings(&node, SILENCE, HOSTS.len()) {
        assert_blocked_everywhere(&findings);
    }
}

/// A host whose IPv6 address no route leads to, and whose IPv4 address refuses connections: the first is no news.
#[test]
fn namespace_an_unreachable_ipv6_address_is_not_the_cause_beside_ipv4() {
    if !in_own_namespace("firewall::namespace_an_unreachable_ipv6_address_is_not_the_cause_beside_ipv4") {
        return;
    }
    ip("link set lo up");
    ip("address add 192.0.2.1/32 dev lo");
    let names = NameServer::start("firm.test", "mail A 192.0.2.1\nmail AAAA 2001:db8::1");
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\n", names.port);
    let node = Node::to(&["mail.firm.test:25"]).connector("timeouts = { connect = \"1s\" }\n").more(&dns).start();
    lab::send(([127, 0, 0, 1], node.port).into(), "", "user@onprem.test", "Subject: x\r\n\r\ntext").unwrap();
    node.wait_for_failure();
    for findings in findings(&node, "connection refused", 1) {
        let [finding] = &findings[..] else { panic!("{findings:#?}") };
        assert_eq!(finding["cause"], "connection-refused", "{finding:#}");
        assert!(finding["scope"]["everywhere"].is_null(), "{finding:#}");
    }
}
