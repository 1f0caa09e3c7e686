//! Faults of the sending side, known for sure: Postfix and Exim that are misconfigured for real send to a healthy server,
//! and `gatepost why` reads what they wrote.

use std::{fs, path::Path, process::Command, thread};

use lab::{Device, Identity, Options, Server, exim::Relay};
use serde_json::Value;

use crate::support::{
    Exim, Postfix,
    foreign::{MailServer, open_folder},
    wait_for,
};

const CREDENTIALS: &str = "local-tls-credentials";
const CONFIGURATION: &str = "local-configuration-error";

/// Two certificates and their keys, which anybody may read.
fn identities(folder: &Path) {
    for name in ["a", "b"] {
        let identity = Identity::for_host("client.test").unwrap();
        fs::write(folder.join(format!("{name}.pem")), identity.certificate_pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), identity.key_pem()).unwrap();
    }
}

pub(crate) fn send(sender: &MailServer, recipient: &str) {
    lab::send(([127, 0, 0, 1], sender.port).into(), "", recipient, "Subject: a report\r\n\r\ntext").unwrap();
}

/// Exit status and JSON of `gatepost why LOG`, which finds out itself whose log it is.
pub(crate) fn why(log: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail.log");
    fs::write(&file, log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(["why", "--format", "json"]).arg(&file).output().unwrap();
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}\n{log}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), value)
}

/// What is wrong, the cause, and the words of the log that the evidence must show.
type Row = (&'static str, String, &'static str, &'static str);

/// Reads each log when it has the words that end it.
fn check(rows: Vec<Row>, end: &[&str], start: impl Fn(&str, &str) -> MailServer + Sync) {
    let start = &start;
    let wrong = |(name, settings, cause, words): Row| {
        let sender = start(name, &settings);
        send(&sender, &format!("user@{name}.test"));
        let log = wait_for(name, || Some(sender.log()).filter(|log| end.iter().any(|end| log.contains(end))));
        let (status, value) = why(&log);
        let first = &value["findings"][0];
        let is_right = status == Some(1) && first["cause"] == cause && first["confidence"].as_f64() > Some(0.5);
        let is_shown = first["evidence"].to_string().contains(words);
        (!(is_right && is_shown)).then(|| format!("{name}: not {cause} with {words:?}, but {first:#}\n{log}"))
    };
    // All at once: most of a start is waiting. A server ends with the thread that started it.
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = rows.into_iter().map(|row| scope.spawn(|| wrong(row))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files are in this folder.
fn wrong_for_postfix(folder: &Path) -> Vec<Row> {
    let file = |name: &str| folder.join(name).display().to_string();
    let encrypt = |settings: String| format!("smtp_tls_security_level = encrypt\n{settings}");
    let may = |settings: String| format!("smtp_tls_security_level = may\n{settings}");
    let certificate = |certificate, key| {
        encrypt(format!("smtp_tls_cert_file = {}\nsmtp_tls_key_file = {}\n", file(certificate), file(key)))
    };
    vec![
        ("no-certificate", certificate("nosuch.pem", "a.key"), CREDENTIALS, "cannot get RSA certificate from file"),
        ("no-key", certificate("a.pem", "nosuch.key"), CREDENTIALS, "cannot get RSA private key from file"),
        ("other-key", certificate("a.pem", "b.key"), CREDENTIALS, "cannot get RSA private key from file"),
        (
            "no-authorities",
            encrypt(format!("smtp_tls_CAfile = {}\n", file("nosuch.pem"))),
            CONFIGURATION,
            "cannot load Certification Authority data",
        ),
        (
            "no-ciphers",
            encrypt("tls_high_cipherlist = NOSUCH\nsmtp_tls_mandatory_ciphers = high\n".to_owned()),
            CONFIGURATION,
            "error setting cipher grade",
        ),
        (
            "no-grade",
            encrypt("smtp_tls_mandatory_ciphers = hihg\n".to_owned()),
            CONFIGURATION,
            "invalid cipher grade: \\\"hihg\\\"",
        ),
        (
            "no-protocol",
            encrypt("smtp_tls_mandatory_protocols = TLSv9\n".to_owned()),
            CONFIGURATION,
            "Invalid TLS protocol list",
        ),
        ("no-level", may("smtp_tls_policy_maps = static:encrpt\n".to_owned()), CONFIGURATION, "invalid security level"),
        (
            "no-attribute",
            may("smtp_tls_policy_maps = static:{encrypt cypher=high}\n".to_owned()),
            CONFIGURATION,
            "invalid attribute name",
        ),
        (
            "no-table",
            may(format!("smtp_tls_policy_maps = texthash:{}\n", file("nosuch"))),
            CONFIGURATION,
            "client TLS configuration problem",
        ),
        // The process ends before it names a message.
        (
            "no-address",
            "smtp_bind_address = 127.0.0.300\n".to_owned(),
            CONFIGURATION,
            "bad smtp_bind_address parameter: 127.0.0.300",
        ),
        (
            "no-sasl",
            "smtp_sasl_auth_enable = yes\nsmtp_sasl_type = dovecot\nsmtp_sasl_password_maps = static:a:b\n".to_owned(),
            CONFIGURATION,
            "fatal: SASL library initialization",
        ),
    ]
}

#[test]
fn postfix_s_log_tells_what_is_wrong_with_postfix() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let folder = open_folder();
    identities(folder.path());
    check(wrong_for_postfix(folder.path()), &[" status=deferred ", "bad command startup"], |_, settings| {
        Postfix::start_with(&format!(
            "mynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
             transport_maps = static:smtp:[127.0.0.1]:{}\nsmtp_tls_loglevel = 1\n{settings}",
            server.port()
        ))
    });
}

#[test]
fn root_exim_s_log_tells_what_is_wrong_with_exim() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let folder = open_folder();
    identities(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let certificate = |certificate, key| {
        let (certificate, key) = (file(certificate), file(key));
        format!(" tls_certificate = {certificate}\n tls_privatekey = {key}\n hosts_require_tls = *\n")
    };
    let rows = vec![
        ("no-certificate", certificate("nosuch.pem", "a.key"), CREDENTIALS, "Error while reading file"),
        ("other-key", certificate("a.pem", "b.key"), CREDENTIALS, "do not match"),
        (
            "no-ciphers",
            " tls_require_ciphers = NOSUCH\n hosts_require_tls = *\n".to_owned(),
            CONFIGURATION,
            "gnutls_priority_init(NOSUCH)",
        ),
        (
            "no-authorities",
            format!(" tls_verify_certificates = {}\n tls_verify_hosts = *\n hosts_require_tls = *\n", file("nosuch")),
            CONFIGURATION,
            "TLS session: NULL",
        ),
        (
            "no-file",
            format!(" helo_data = ${{lookup{{x}}lsearch{{{}}}}}\n", file("nosuch")),
            CONFIGURATION,
            "failed to expand helo_data",
        ),
        ("no-address", " interface = 192.0.2.77\n".to_owned(), CONFIGURATION, "Cannot assign requested address"),
    ];
    check(rows, &[" == "], |name, settings| {
        let routes = vec![(format!("{name}.test"), server.port())];
        let relay = Relay { routes, transport: settings.to_owned() };
        Exim::start_relaying("disable_ipv6 = true\nlog_selector = +outgoing_port +tls_cipher\n", &relay)
    });
}
