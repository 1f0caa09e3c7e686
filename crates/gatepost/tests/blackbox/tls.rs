//! TLS policies before real old servers: what each policy reaches, and what is told where it does not.

use std::fs;

use lab::{Device, Options, Server};
use serde_json::json;

use crate::support::{Exim, Node, swaks, wait_for};

/// The story that the product was born from: one destination, TLS 1.0 with RC4, before two policies.
#[test]
fn root_rc4_is_reached_under_legacy_alone() {
    let server = Exim::start_with_rc4_only();
    for policy in ["modern", "intermediate"] {
        let node = Node::to_port(server.port).connector(&format!("tls_policy = \"{policy}\"")).start();
        swaks(node.port, &["--to", "user@onprem.test"]);
        let row = node.wait_for_failure();
        let failure = &row["failure"];
        assert_eq!((&failure["phase"], &failure["kind"]), (&json!("handshake"), &json!("handshake-failed")), "{row:#}");
        assert!(server.messages().is_empty(), "{policy}");
    }
    let node = Node::to_port(server.port).connector("tls_policy = \"legacy\"").start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    let row = node.wait_for_status("user@onprem.test", "Delivered");
    let attempt =
        &row["events"].as_array().unwrap().iter().find(|event| event["event"] == "delivered").unwrap()["attempt"];
    assert_eq!(attempt["tls"], json!({"version": "TLSv1", "cipher": "RC4-SHA"}), "{attempt}");
    assert_eq!(attempt["tls_policy"], "legacy");
    assert_eq!(server.wait_for_messages(1).len(), 1);
}

/// A connector may choose delivery over encryption; the history says that it did, and why.
#[test]
fn root_plaintext_after_a_failed_handshake_is_recorded() {
    let server = Exim::start_with_rc4_only();
    let node = Node::to_port(server.port).connector("on_handshake_failure = \"plaintext\"").start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    let row = node.wait_for_status("user@onprem.test", "Delivered");
    let attempt =
        &row["events"].as_array().unwrap().iter().find(|event| event["event"] == "delivered").unwrap()["attempt"];
    assert!(attempt["tls"].is_null(), "{attempt}");
    assert_eq!(attempt["plaintext_because"]["kind"], "handshake-failed", "{attempt}");
    // Where TLS is required, it stays so.
    let settings = "tls = \"require\"\non_handshake_failure = \"plaintext\"";
    let node = Node::to_port(server.port).connector(settings).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    assert_eq!(node.wait_for_failure()["failure"]["phase"], "handshake");
    assert_eq!(server.wait_for_messages(1).len(), 1);
}

/// A busy lane does not keep the connection that it had under the old settings.
#[test]
fn a_reload_holds_for_connections_that_are_open() {
    let server = Server::start(Device::StartTlsNotOffered, Options::default()).unwrap();
    let setup = Node::to_port(server.port());
    let strict = Node::to_port(server.port()).connector("tls = \"require\"\n");
    let node = setup.start();
    swaks(node.port, &["--to", "one@onprem.test"]);
    node.wait_for_status("one@onprem.test", "Delivered");
    // Within the two seconds for which a connection is kept.
    fs::write(node.path("gatepost.toml"), strict.configuration(node.port)).unwrap();
    node.signal("-HUP");
    wait_for("the reload", || node.log().contains("configuration reloaded").then_some(()));
    swaks(node.port, &["--to", "two@onprem.test"]);
    assert_eq!(node.wait_for_failure()["failure"]["kind"], "starttls-not-offered");
    assert_eq!(server.messages_taken(), 1);
}

/// One's own authorities stand in the place of the system's, and no cipher without certificate is ever offered.
#[test]
fn verify_trusts_only_what_it_is_told_to() {
    let server =
        Server::start(Device::Healthy, Options { host_name: "localhost".to_owned(), ..Options::default() }).unwrap();
    let other = Server::start(Device::Healthy, Options { seed: 2, ..Options::default() }).unwrap();
    let (trusted, foreign) = (server.authority_pem(), other.authority_pem());
    let policy = "[[tls_policy]]\nname = \"all\"\nminimum = \"1.0\"\nmaximum = \"1.2\"\nciphers = \"ALL:eNULL\"\n\
                  security_level = 0\n";
    let node = |authority: &[u8]| {
        Node::to(&[&format!("localhost:{}", server.port())])
            .connector("tls = \"verify\"\ntls_policy = \"all\"\ntls_authorities = \"authority.pem\"\n")
            .file("authority.pem", authority)
            .file("system.pem", &trusted)
            .more(policy)
            .start_with(|mut command| {
                // What OpenSSL would take for the system's.
                let folder = command.get_args().nth(1).map(std::path::PathBuf::from).unwrap();
                command.env("SSL_CERT_FILE", folder.with_file_name("system.pem"));
                command
            })
    };
    let strict = node(&foreign);
    swaks(strict.port, &["--to", "user@onprem.test"]);
    strict.wait_for_failure();
    let attempt = strict.trace()[0]["events"][1]["attempt"].clone();
    assert_eq!(attempt["handshake"]["certificate_fault"], "untrusted", "{attempt:#}");
    let suites = attempt["handshake"]["client_hello"]["cipher_suites"].as_array().unwrap().clone();
    // TLS_RSA_WITH_NULL_SHA, TLS_DH_anon_WITH_AES_256_CBC_SHA; RC4 is a matter of the policy.
    assert!(!suites.contains(&2.into()) && !suites.contains(&58.into()) && suites.contains(&5.into()), "{suites:?}");
    let fine = node(&trusted);
    swaks(fine.port, &["--to", "user@onprem.test"]);
    fine.wait_for_status("user@onprem.test", "Delivered");
}

#[test]
fn policies_are_listed_with_their_connectors() {
    let node = Node::to_port(9).connector("tls_policy = \"legacy\"").start();
    let policies = node.json(&["policy", "list"])["policies"].clone();
    let names: Vec<_> = policies.as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    assert_eq!(names, ["modern", "intermediate", "legacy"]);
    assert_eq!((&policies[0]["minimum"], &policies[0]["connectors"]), (&json!("TLS 1.2"), &json!([])));
    assert_eq!((&policies[2]["minimum"], &policies[2]["connectors"]), (&json!("TLS 1.0"), &json!(["onprem"])));
}
