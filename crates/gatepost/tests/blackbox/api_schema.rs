//! The API does what its OpenAPI document says, and nothing else: schemathesis asks each operation with what the document
//! allows and with what it forbids.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Node, free_port, load::Sink, python_packages, swaks};

const TOKEN: &str = "gatepost_test";
/// SHA-256 of [`TOKEN`].
const HASH: &str = "a060ab00c55b81a4d47543b47a2119b5b7d7b218c64591971f12be8f2a138650";

/// All phases and checks.
fn schemathesis(port: u16, examples: &str) -> Output {
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support/schemathesis.toml");
    let folder = tempfile::tempdir().unwrap();
    Command::new("python3")
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(configuration)
        .args(["run", &format!("http://127.0.0.1:{port}/api/v1/openapi.json"), "--max-examples", examples])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--continue-on-failure"])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--seed", "1", "--workers", "1"])
        .env("PYTHONPATH", python_packages())
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn the_api_is_as_its_document_says(examples: &str) {
    let (sink, port) = (Sink::start(), free_port());
    let token = format!("[[api_token]]\nname = \"a\"\nsha256 = \"{HASH}\"\nscopes = [\"administer\"]\n");
    let node = Node::to_port(sink.port)
        .more("[[accepted_domain]]\nname = \"other.test\"\nconnector = \"dead\"\n")
        .more("[[connector]]\nname = \"dead\"\nhosts = [\"127.0.0.1:9\"]\n")
        .more(&format!(
            "[watch]\ninterval = \"100ms\"\noldest_named = \"1ms\"\n[api]\nlisten = [\"127.0.0.1:{port}\"]\n{token}"
        ))
        .start();
    for recipient in ["user@onprem.test", "user@other.test"] {
        swaks(node.port, &["--to", recipient]);
    }
    node.wait_for_failure();
    let found = schemathesis(port, examples);
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success(), "{said}\n{}", String::from_utf8_lossy(&found.stderr));
    fs::write(node.path("said"), said.as_bytes()).unwrap();
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[test]
fn schemathesis_finds_nothing() {
    the_api_is_as_its_document_says("5");
}

#[test]
fn soak_schemathesis_finds_nothing_in_many_examples() {
    the_api_is_as_its_document_says("100");
}
