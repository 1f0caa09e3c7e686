//! `gatepost connector`: what mail would meet, step by step, without mail.

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::Node;

/// The result, and the exit status.
fn validate(node: &Node, more: &[&str]) -> (Value, Option<i32>) {
    let output = node.run(&[&["connector", "validate", "onprem", "--format", "json"], more].concat());
    let value = serde_json::from_slice(&output.stdout);
    (value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))), output.status.code())
}

/// Name and state of each step at the only address.
fn steps(validation: &Value) -> Vec<(&str, &str)> {
    let steps = validation["hosts"][0]["addresses"][0]["steps"].as_array().unwrap();
    steps.iter().map(|step| (step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
}

fn detail<'a>(validation: &'a Value, name: &str) -> &'a str {
    let steps = validation["hosts"][0]["addresses"][0]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap()["detail"].as_str().unwrap_or_default()
}

#[test]
fn a_connector_is_validated_step_by_step() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    let (validation, status) = validate(&node, &[]);
    assert_eq!((status, &validation["works"]), (Some(0), &true.into()), "{validation:#}");
    let plain = [
        ("connect", "worked"),
        ("greeting", "worked"),
        ("starttls", "worked"),
        ("handshake", "worked"),
        ("certificate", "warned"),
    ];
    assert_eq!(steps(&validation), plain, "{validation:#}");
    assert!(detail(&validation, "certificate").contains("does not check certificates"), "{validation:#}");
    assert!(detail(&validation, "handshake").starts_with("TLSv1.3 "), "{validation:#}");
    let (validation, _) = validate(&node, &["--recipient", "user@onprem.test"]);
    assert_eq!(steps(&validation).last(), Some(&("recipient", "worked")), "{validation:#}");
    assert_eq!(server.messages().len(), 0, "no mail was sent");
    let (validation, _) = validate(&node, &["--recipient", "user@onprem.test", "--test-mail"]);
    assert_eq!(steps(&validation).last(), Some(&("test-mail", "worked")), "{validation:#}");
    assert_eq!(server.messages().len(), 1);
    let listed = node.json(&["connector", "list"]);
    let names: Vec<&str> =
        listed["connectors"].as_array().unwrap().iter().map(|connector| connector["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["onprem", "internet"]);
    let output = node.run(&["connector", "validate", "onprme"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean onprem?"));
}

#[test]
fn a_validation_says_which_step_fails() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let node = Node::to_port(server.port()).connector("tls_policy = \"intermediate\"\n").start();
    let (validation, status) = validate(&node, &["--recipient", "user@onprem.test"]);
    assert_eq!((status, &validation["works"]), (Some(1), &false.into()), "{validation:#}");
    let expected = [
        ("connect", "worked"),
        ("greeting", "worked"),
        ("starttls", "worked"),
        ("handshake", "failed"),
        ("certificate", "skipped"),
        ("recipient", "skipped"),
    ];
    assert_eq!(steps(&validation), expected, "{validation:#}");
    let output = node.run(&["connector", "validate", "onprem"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("mail cannot leave by it") && text.contains("TLS handshake"), "{text}");
}
