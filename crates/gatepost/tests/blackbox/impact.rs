//! `gatepost policy impact`: who would break is foreseen from handshakes that were seen.

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{Node, swaks};

/// What is foreseen, and the exit status.
fn impact(node: &Node, policy: &str) -> (Value, Option<i32>) {
    let output = node.run(&["policy", "impact", policy, "--format", "json"]);
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

fn of<'a>(report: &'a Value, connector: &str) -> &'a Value {
    report["destinations"].as_array().unwrap().iter().find(|row| row["connector"] == connector).unwrap()
}

#[test]
fn it_tells_who_would_break_who_would_not_and_what_is_not_decided() {
    let start = |device| Server::start(device, Options::default()).unwrap();
    let (healthy, rc4, in_the_clear) = (start(Device::Healthy), start(Device::Rc4Only), start(Device::Rc4Only));
    let more = |name: &str, server: &Server, keys: &str| {
        format!(
            "[[accepted_domain]]\nname = \"{name}.test\"\nconnector = \"{name}\"\n\
             [[connector]]\nname = \"{name}\"\nhosts = [\"127.0.0.1:{}\"]\ntls_policy = \"legacy\"\n{keys}\n",
            server.port()
        )
    };
    let plaintext = "on_handshake_failure = \"plaintext\"\n";
    let node = Node::to_port(healthy.port())
        .connector("tls_policy = \"legacy\"\n")
        .more(&more("rc4", &rc4, ""))
        .more(&more("clear", &in_the_clear, plaintext))
        .start();
    let nothing = node.run(&["policy", "impact", "modern"]);
    assert!(String::from_utf8_lossy(&nothing.stdout).starts_with("No delivery attempts since "));
    assert_eq!(nothing.status.code(), Some(0));

    for domain in ["onprem.test", "rc4.test", "clear.test"] {
        (1..=2).for_each(|number| drop(swaks(node.port, &["--to", &format!("user{number}@{domain}")])));
    }
    node.wait_until_empty();

    // All went out under legacy: what is foreseen was never tried.
    let (report, status) = impact(&node, "modern");
    assert_eq!(status, Some(1), "{report:#}");
    assert_eq!((&report["queued"], &report["plaintext"], &report["undecided"]), (&2.into(), &2.into(), &0.into()));
    assert!(of(&report, "onprem")["verdict"] == "works" && of(&report, "onprem")["effect"].is_null(), "{report:#}");
    for (connector, effect) in [("rc4", "queued"), ("clear", "plaintext")] {
        let row = of(&report, connector);
        assert_eq!((&row["verdict"], &row["effect"]), (&"breaks".into(), &effect.into()), "{row:#}");
        assert_eq!(row["because"], "chose TLS 1.0 when TLS 1.3 was offered, so it supports nothing newer");
        assert_eq!((&row["messages"], &row["messages_a_day"]), (&2.into(), &2.0.into()));
    }
    let text = String::from_utf8(node.run(&["policy", "impact", "modern"]).stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("queued 2 messages to 1 destination, and sent in plaintext 2 messages to 1"), "{text}");

    // The version is there, and whether RC4 is all that the server has, nobody knows.
    let (report, status) = impact(&node, "intermediate");
    assert_eq!(status, Some(0), "{report:#}");
    let row = of(&report, "rc4");
    assert_eq!(row["verdict"], "undecided", "{row:#}");
    assert!(row["because"].as_str().unwrap().contains("no handshake without TLS_RSA_WITH_RC4_128"));
    assert_eq!(row["check"], format!("gatepost probe 127.0.0.1:{}", rc4.port()));
    let (report, status) = impact(&node, "legacy");
    assert!(status == Some(0) && report["undecided"] == 0, "{report:#}");

    let unknown = node.run(&["policy", "impact", "newest"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("unknown TLS policy \"newest\"; policies are: modern, "));
}

/// A server that has refused what a policy offers, or more, would do so again.
#[test]
fn what_was_refused_under_one_policy_breaks_under_a_stricter_one() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let node = Node::to_port(server.port()).connector("tls_policy = \"intermediate\"\n").start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_failure();
    for (policy, verdict) in [("intermediate", "breaks"), ("modern", "breaks"), ("legacy", "undecided")] {
        let (report, _) = impact(&node, policy);
        let row = of(&report, "onprem");
        assert_eq!(row["verdict"], verdict, "{policy}: {row:#}");
    }
}

/// What a policy has broken is counted, also after the destination was repaired by turning STARTTLS off.
#[test]
fn what_a_policy_has_broken_is_said_after_it_has_broken_it() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let node = Node::to_port(server.port())
        .connector("tls_policy = \"intermediate\"\n")
        .retry("back_off_first = \"100ms\"\nback_off_max = \"100ms\"\n")
        .start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_failure();
    server.become_device(Device::StartTlsNotOffered).unwrap();
    assert!(node.run(&["queue", "retry", "--connector", "onprem"]).status.success());
    node.wait_for_status("user@onprem.test", "Delivered");
    let (report, status) = impact(&node, "intermediate");
    let row = of(&report, "onprem");
    assert_eq!((&row["verdict"], status), (&"breaks".into(), Some(1)), "{report:#}");
    assert!(row["broken"]["attempts"].as_u64() >= Some(1) && row["broken"]["messages"] == 1, "{row:#}");
    assert!(row["because"].as_str().unwrap().ends_with("; now it does not offer STARTTLS"), "{row:#}");
    let text = String::from_utf8(node.run(&["policy", "impact", "intermediate"]).stdout).unwrap();
    assert!(text.contains("have failed already"), "{text}");
    // Another policy has broken nothing.
    let (report, _) = impact(&node, "modern");
    assert!(of(&report, "onprem")["broken"].is_null(), "{report:#}");
}

/// No policy can help where the certificate has expired.
#[test]
fn an_expired_certificate_is_not_broken_by_a_policy() {
    let options = Options { host_name: "localhost".to_owned(), ..Options::default() };
    let server = Server::start(Device::CertificateExpired, options).unwrap();
    let node = Node::to(&[&format!("localhost:{}", server.port())])
        .connector("tls = \"verify\"\ntls_authorities = \"authority.pem\"\n")
        .file("authority.pem", &server.authority_pem())
        .start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_failure();
    let (report, status) = impact(&node, "modern");
    assert!(report["queued"] == 0 && status == Some(0), "{report:#}");
    assert_eq!(report["destinations"][0]["verdict"], "works", "{report:#}");
}
