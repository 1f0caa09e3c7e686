//! The lab's faulty devices: where each stops an attempt, and what the attempt's facts say.

use std::{fs, time::Duration};

use lab::{Device, Options, Server};
use serde_json::{Value, json};

use crate::support::{Node, node::Setup, swaks};

/// Short waits, so that silence is noticed soon.
const IMPATIENT: &str = "timeouts = { banner = \"1s\", ehlo = \"1s\", starttls = \"1s\", content = \"2s\", \
                         mail = \"2s\", rcpt = \"2s\", data = \"2s\", end_of_data = \"2s\" }\n";

fn node(device: &Server, settings: &str) -> Setup {
    // By name, so that there is a name for a certificate to match.
    Node::to(&[&format!("localhost:{}", device.port())]).connector(IMPATIENT).connector(settings)
}

fn start(device: Device) -> Server {
    let options = Options {
        host_name: "localhost".to_owned(),
        delay: Duration::from_secs(20),
        connections_max: 0,
        ..Options::default()
    };
    Server::start(device, options).unwrap()
}

/// The attempt of the row's last event of that kind.
fn attempt(row: &Value, kind: &str) -> Value {
    let events = row["events"].as_array().unwrap();
    events.iter().rev().find(|event| event["event"] == kind).unwrap()["attempt"].clone()
}

fn deferred(node: &Node) -> (Value, Value) {
    let failure = node.wait_for_failure()["failure"].clone();
    let rows = node.trace();
    (failure, attempt(&rows[0], "deferred"))
}

#[test]
fn each_device_stops_an_attempt_where_it_says() {
    let verify = "tls = \"verify\"\ntls_authorities = \"authority.pem\"\n";
    let large = &["--attach-type", "text/plain", "--attach", "@large.txt"][..];
    // Where in the handshake's facts, and what.
    type Fact = (&'static str, Value);
    // Device, settings, arguments to swaks, phase, kind.
    type Stop<'a> = (Device, &'a str, &'a [&'a str], &'a str, &'a str, Fact);
    let none: Fact = ("/none", Value::Null);
    let alert = |description: u8| -> Fact { ("/alerts/0/description", json!(description)) };
    let fault = |fault: &str| -> Fact { ("/certificate_fault", json!(fault)) };
    let table: Vec<Stop<'_>> = vec![
        (Device::Rc4Only, "", &[], "handshake", "handshake-failed", alert(70)),
        (Device::Rc4Only, "tls_policy = \"intermediate\"", &[], "handshake", "handshake-failed", alert(40)),
        (Device::Tls10Only, "", &[], "handshake", "handshake-failed", alert(70)),
        (
            Device::AesThenSilence,
            "tls_policy = \"intermediate\"",
            &[],
            "ehlo",
            "timed-out",
            ("/completed", json!(true)),
        ),
        (
            Device::HandshakeReset,
            "",
            &[],
            "handshake",
            "connection-reset",
            ("/ended", json!({"by": "server", "how": "reset"})),
        ),
        (
            Device::HandshakeSwallowed,
            "",
            &[],
            "handshake",
            "timed-out",
            ("/ended", json!({"by": "server", "how": "silence"})),
        ),
        (Device::StartTlsMasked, "tls = \"require\"", &[], "starttls", "starttls-masked", none.clone()),
        (Device::StartTlsNotOffered, "tls = \"require\"", &[], "starttls", "starttls-not-offered", none.clone()),
        (Device::StartTlsRefused, "", &[], "starttls", "rejected", none.clone()),
        (Device::CertificateExpired, verify, &[], "handshake", "handshake-failed", fault("expired")),
        (Device::CertificateSelfSigned, verify, &[], "handshake", "handshake-failed", fault("self-signed")),
        (Device::CertificateWrongName, verify, &[], "handshake", "handshake-failed", fault("name-mismatch")),
        (Device::CertificateSha1, verify, &[], "handshake", "handshake-failed", fault("weak")),
        (Device::Healthy, "tls = \"verify\"", &[], "handshake", "handshake-failed", fault("untrusted")),
        (Device::ClientCertificateRequired, "", &[], "handshake", "handshake-failed", alert(116)),
        (
            Device::WeakDh,
            "",
            &[],
            "handshake",
            "handshake-failed",
            ("/server_hello/key_exchange/diffie-hellman/prime_bits", json!(512)),
        ),
        (Device::Greylisting, "", &[], "rcpt", "rejected", ("/completed", json!(true))),
        (Device::TooManyConnections, "", &[], "banner", "rejected", none.clone()),
        (Device::SlowBanner, "", &[], "banner", "timed-out", none.clone()),
        (Device::DropAfterData, "", &[], "end-of-data", "connection-reset", ("/completed", json!(true))),
        (Device::LargeMessagesStall, "", large, "data", "timed-out", ("/completed", json!(true))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.txt");
    fs::write(&file, "a line of a large message\r\n".repeat(400_000)).unwrap();
    for (device, settings, arguments, phase, kind, (pointer, value)) in table {
        let server = start(device);
        let node = node(&server, settings).file("authority.pem", &server.authority_pem()).start();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| argument.replace("large.txt", file.to_str().unwrap())).collect();
        let arguments: Vec<&str> =
            ["--to", "user@onprem.test"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        swaks(node.port, &arguments);
        let (failure, attempt) = deferred(&node);
        let name = device.name();
        assert_eq!(
            (&failure["phase"], &failure["kind"]),
            (&json!(phase), &json!(kind)),
            "{name} {settings}: {failure:#} {attempt:#}"
        );
        let fact = attempt["handshake"].pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(fact, value, "{name} {settings}: {attempt:#}");
        assert!(server.messages().is_empty(), "{name}");
    }
}

#[test]
fn what_a_device_takes_is_delivered_and_the_ledger_says_what_was_weak() {
    let verify = "tls = \"verify\"\ntls_authorities = \"authority.pem\"\n";
    let client = "tls_certificate = \"client.pem\"\ntls_key = \"client.key\"\n";
    let table: &[(Device, &str, Value, Option<&str>)] = &[
        (Device::Healthy, "", json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}), None),
        (Device::Healthy, verify, json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}), None),
        (
            Device::Rc4Only,
            "tls_policy = \"legacy\"",
            json!({"version": "TLSv1", "cipher": "RC4-SHA"}),
            Some("old-version"),
        ),
        (
            Device::Tls10Only,
            "tls_policy = \"intermediate\"",
            json!({"version": "TLSv1", "cipher": "AES128-SHA"}),
            Some("old-version"),
        ),
        (Device::StartTlsNotOffered, "", Value::Null, Some("starttls-not-offered")),
        (Device::StartTlsMasked, "", Value::Null, Some("starttls-not-offered")),
        (Device::Healthy, "tls = \"none\"", Value::Null, Some("configured")),
        (Device::HandshakeReset, "on_handshake_failure = \"plaintext\"", Value::Null, Some("handshake-failed")),
        (Device::CertificateExpired, "", json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}), None),
        (
            Device::ClientCertificateRequired,
            client,
            json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}),
            None,
        ),
        (Device::LargeMessagesStall, "", json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}), None),
    ];
    for (device, settings, tls, weak) in table {
        let server = start(*device);
        let identity = server.client_identity("edge.test").unwrap();
        let node = node(&server, settings)
            .file("authority.pem", &server.authority_pem())
            .file("client.pem", &identity.certificate_pem())
            .file("client.key", &identity.key_pem())
            .start();
        swaks(node.port, &["--to", "user@onprem.test"]);
        let row = node.wait_for_status("user@onprem.test", "Delivered");
        let name = device.name();
        assert_eq!(&attempt(&row, "delivered")["tls"], tls, "{name} {settings}");
        let ledger = node.json(&["policy", "ledger"])["ledger"].clone();
        let why: Vec<&Value> = ledger.as_array().unwrap().iter().map(|entry| &entry["why"]).collect();
        assert_eq!(
            why,
            weak.iter().copied().map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>(),
            "{name} {settings}"
        );
        let messages = server.messages();
        assert_eq!(messages.len(), 1, "{name}");
        assert_eq!(messages[0].tls.is_some(), !tls.is_null(), "{name}");
    }
}
