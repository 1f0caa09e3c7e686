//! TLS policies before real old servers: what each policy reaches, and what is told where it does not.

use serde_json::json;

use crate::support::{Exim, Node, swaks};

/// The story that the product was born from: one destination, TLS 1.0 with RC4, before two policies.
#[test]
fn rc4_is_reached_under_legacy_alone() {
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
fn plaintext_after_a_failed_handshake_is_recorded() {
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

#[test]
fn policies_are_listed_with_their_connectors() {
    let node = Node::to_port(9).connector("tls_policy = \"legacy\"").start();
    let policies = node.json(&["policy", "list"])["policies"].clone();
    let names: Vec<_> = policies.as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    assert_eq!(names, ["modern", "intermediate", "legacy"]);
    assert_eq!((&policies[0]["minimum"], &policies[0]["connectors"]), (&json!("TLS 1.2"), &json!([])));
    assert_eq!((&policies[2]["minimum"], &policies[2]["connectors"]), (&json!("TLS 1.0"), &json!(["onprem"])));
}
