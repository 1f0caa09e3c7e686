//! What the logs of other senders tell: Postfix sends to the lab's devices, and `gatepost why` reads what it wrote.

use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{
    Postfix,
    foreign::{MailServer, open_folder},
    wait_for,
};

/// What the log tells of a device, with smtp_tls_loglevel = 1. `None`: mail arrives.
fn named(device: Device, log: &str) -> Option<&'static str> {
    match device {
        // It has TLS 1.0 still.
        Device::Healthy | Device::Tls10Only => None,
        // It does not see what was written over the word.
        Device::StartTlsMasked => Some("starttls-not-offered"),
        // The alert comes after TLS 1.3's handshake, and is lost where the connection is reset before it is read.
        Device::ClientCertificateRequired if !log.contains("alert certificate required") => {
            Some("hang-after-handshake")
        }
        device => device.cause().or(Some("unknown")),
    }
}

struct Destination {
    device: Device,
    server: Server,
}

impl Destination {
    fn start(device: Device) -> Self {
        let options = Options {
            host_name: "localhost".to_owned(),
            delay: Duration::from_secs(20),
            connections_max: 0,
            ..Options::default()
        };
        Self { device, server: Server::start(device, options).unwrap() }
    }

    fn domain(&self) -> String {
        format!("{}.test", self.device.name())
    }

    fn next_hop(&self) -> String {
        format!("[localhost]:{}", self.server.port())
    }

    /// Of Postfix's TLS policy table.
    fn policy(&self, folder: &Path) -> String {
        match self.device {
            Device::StartTlsDemanded => "none".to_owned(),
            Device::CertificateSelfSigned => "verify".to_owned(),
            Device::CertificateExpired | Device::CertificateWrongName | Device::CertificateSha1 => {
                let authority = folder.join(format!("{}.pem", self.device.name()));
                fs::write(&authority, self.server.authority_pem()).unwrap();
                format!("verify tafile={}", authority.display())
            }
            _ => "encrypt".to_owned(),
        }
    }

    fn send(&self, postfix: &MailServer) {
        let lines = if self.device == Device::LargeMessagesStall { 100_000 } else { 1 };
        let content = format!("Subject: a report\r\n\r\n{}", "a line of mail\r\n".repeat(lines));
        lab::send(([127, 0, 0, 1], postfix.port).into(), "", &format!("user@{}", self.domain()), &content).unwrap();
    }
}

/// A Postfix that relays to each destination, and waits for none of them.
fn relaying(destinations: &[Destination], folder: &Path) -> MailServer {
    let (mut transports, mut policies) = (String::new(), String::new());
    for destination in destinations {
        let (domain, hop) = (destination.domain(), destination.next_hop());
        write!(transports, " {domain}=smtp:{hop},").unwrap();
        write!(policies, " {{{hop} = {}}},", destination.policy(folder)).unwrap();
    }
    Postfix::start_with(&format!(
        "mynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
         transport_maps = inline:{{{transports}}}\nsmtp_tls_policy_maps = inline:{{{policies}}}\n\
         smtp_tls_loglevel = 1\n\
         smtp_connect_timeout = 2s\nsmtp_helo_timeout = 2s\nsmtp_starttls_timeout = 2s\nsmtp_mail_timeout = 2s\n\
         smtp_rcpt_timeout = 2s\nsmtp_data_init_timeout = 2s\nsmtp_data_xfer_timeout = 2s\nsmtp_data_done_timeout = 2s\n\
         smtp_quit_timeout = 1s\n"
    ))
}

#[test]
fn postfix_s_log_tells_what_is_wrong_with_devices() {
    let folder = open_folder();
    let destinations: Vec<Destination> = Device::ALL.into_iter().map(Destination::start).collect();
    let postfix = relaying(&destinations, folder.path());
    for destination in &destinations {
        destination.send(&postfix);
    }
    let attempts = || postfix.log().lines().filter(|line| line.contains("/smtp[") && line.contains(" status=")).count();
    wait_for("an attempt at each device", || (attempts() >= destinations.len()).then_some(()));
    let (log, text) = (folder.path().join("mail.log"), postfix.log());
    fs::write(&log, &text).unwrap();
    let mut why = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = why.args(["why", "--format", "json", "--postfix-log"]).arg(&log).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = value["findings"].as_array().unwrap();
    let (mut table, mut is_right) = (String::new(), true);
    for destination in &destinations {
        let host = format!("localhost:{}", destination.server.port());
        let first = findings.iter().find(|finding| finding["scope"]["destination"] == *host);
        let cause = first.and_then(|finding| finding["cause"].as_str());
        let named = named(destination.device, &text);
        is_right &= cause == named;
        let mark = if cause == named { "" } else { "WRONG " };
        writeln!(table, "{mark}{}: {cause:?}, not {named:?}: {first:#?}", destination.device.name()).unwrap();
    }
    assert!(is_right, "{table}");
    // What was agreed on is known too.
    let silent = findings.iter().find(|finding| finding["cause"] == "hang-after-handshake").unwrap();
    assert!(silent["evidence"][0]["where"].as_str().unwrap().contains("mail.log:"), "{silent:#}");
}
