//! Each TLS policy against each foreign server: what is agreed on, or why nothing is. The table in the documents is what
//! was measured here.

use std::{fmt::Write, fs, path::Path};

use serde_json::Value;

use crate::support::{
    Exim, Node, Postfix,
    foreign::{GnuTlsServ, TlsLite},
    node::Setup,
    swaks, wait_for,
};

const POLICIES: [&str; 3] = ["modern", "intermediate", "legacy"];
const DOCUMENT: &str = "../../docs/reference/tls-interoperability.md";

/// A node under a policy, which has to deliver one message.
fn attempt(port: u16, policy: &str) -> Value {
    let node: Setup =
        Node::to_port(port).connector(&format!("tls_policy = \"{policy}\"\ntimeouts = {{ ehlo = \"1s\" }}\n"));
    let node = node.start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    wait_for("an attempt", || {
        let events = node.trace()[0]["events"].as_array().unwrap().clone();
        events.iter().find(|event| !event["attempt"].is_null()).map(|event| event["attempt"].clone())
    })
}

/// What the attempt came to, in a cell.
fn outcome(attempt: &Value) -> String {
    let handshake = &attempt["handshake"];
    if handshake["completed"] == true {
        let (version, cipher) =
            (attempt["tls"]["version"].as_str().unwrap(), attempt["tls"]["cipher"].as_str().unwrap());
        return format!("{version} {cipher}");
    }
    match handshake["alerts"].as_array().and_then(|alerts| alerts.first()) {
        Some(alert) => format!("no: {} sends alert {}", alert["by"].as_str().unwrap(), alert["description"]),
        None => format!("no: {} closes", handshake["ended"]["by"].as_str().unwrap_or("nobody")),
    }
}

fn row(table: &mut String, server: &str, port: u16) {
    let cells = POLICIES.map(|policy| outcome(&attempt(port, policy)));
    writeln!(table, "| {server} | {} |", cells.join(" | ")).unwrap();
}

#[test]
fn root_the_table_in_the_documents_is_what_is_measured() {
    let mut table = format!("| server | {} |\n| --- | --- | --- | --- |\n", POLICIES.join(" | "));
    row(&mut table, "Exim (GnuTLS), as it comes", Exim::start().port);
    row(&mut table, "Exim (GnuTLS), TLS 1.0 with RC4 only", Exim::start_with_rc4_only().port);
    row(&mut table, "Postfix (OpenSSL), as it comes", Postfix::start().port);
    let old = "smtpd_tls_protocols = TLSv1\nsmtpd_tls_ciphers = low\ntls_low_cipherlist = ALL:@SECLEVEL=0\n";
    row(&mut table, "Postfix (OpenSSL), TLS 1.0 only", Postfix::start_with(old).port);
    let elder = "smtpd_tls_protocols = TLSv1.2\nsmtpd_tls_ciphers = low\ntls_low_cipherlist = ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0\n";
    row(&mut table, "Postfix (OpenSSL), TLS 1.2 with AES-CBC only", Postfix::start_with(elder).port);
    let serv = [
        ("gnutls-serv, as it comes", "NORMAL"),
        ("gnutls-serv, TLS 1.2 only", "NORMAL:-VERS-ALL:+VERS-TLS1.2"),
        (
            "gnutls-serv, TLS 1.0 with 3DES only",
            "NONE:+VERS-TLS1.0:+3DES-CBC:+SHA1:+RSA:+COMP-NULL:+SIGN-ALL:+GROUP-ALL",
        ),
    ];
    for (name, priority) in serv {
        row(&mut table, name, GnuTlsServ::start(priority).port);
    }
    let lite = [
        ("tlslite-ng, as it comes", ""),
        ("tlslite-ng, up to TLS 1.1", "maxVersion = (3, 2); versions = [(3, 2), (3, 1)]"),
        ("tlslite-ng, TLS 1.2 with 3DES only", "maxVersion = (3, 3); cipherNames = ['3des']"),
    ];
    for (name, settings) in lite {
        row(&mut table, name, TlsLite::start(settings).port);
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = fs::read_to_string(&document).unwrap_or_default();
    assert!(text.contains(&table), "{} does not have what was measured:\n\n{table}", document.display());
}
