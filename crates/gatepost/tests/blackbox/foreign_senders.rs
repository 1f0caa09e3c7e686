//! What the logs of other senders tell: Postfix and Exim send to the lab's devices, and `gatepost why` reads what they wrote.

use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};

use lab::{Device, Options, Server, exim::Relay};
use serde_json::Value;

use crate::support::{
    Exim, Postfix,
    foreign::{MailServer, open_folder},
    wait_for,
};

/// What the log tells of a device, with smtp_tls_loglevel = 1. `None`: mail arrives.
fn named(device: Device, log: &str) -> Option<&'static str> {
    match device {
        // It has TLS 1.0 still, and resumes no session.
        Device::Healthy | Device::Tls10Only | Device::TicketsRefused => None,
        // Silence on a port that says nothing of what is expected there.
        Device::ImplicitTls => Some("banner-timeout"),
        // It does not see what was written over the word.
        Device::StartTlsMasked => Some("starttls-not-offered"),
        // The alert comes after TLS 1.3's handshake, and is lost where the connection is reset before it is read.
        Device::ClientCertificateRequired if !log.contains("alert certificate required") => {
            Some("hang-after-handshake")
        }
        device => device.cause().or(Some("unknown")),
    }
}

/// What Exim with GnuTLS tells. It says less of certificates and of silence.
fn named_by_exim(device: Device, log: &str) -> Option<&'static str> {
    match device {
        // "certificate invalid", or nothing; and "error on first read" for whatever follows the handshake.
        Device::AesThenSilence
        | Device::ClientCertificateRequired
        | Device::CertificateExpired
        | Device::CertificateSelfSigned
        | Device::CertificateWrongName
        | Device::CertificateSha1 => Some("unknown"),
        device => named(device, log),
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
        // Where /etc/hosts has ::1 for localhost as well, an IPv4 look-up gives 127.0.0.1 twice.
        "smtp_mx_address_limit = 1\nmynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
         transport_maps = inline:{{{transports}}}\nsmtp_tls_policy_maps = inline:{{{policies}}}\n\
         smtp_tls_loglevel = 1\n\
         smtp_connection_max_messages = 1\n connect_timeout = 2s\nsmtp_helo_timeout = 2s\nsmtp_starttls_timeout = 2s\nsmtp_mail_timeout = 2s\n\
         smtp_rcpt_timeout = 2s\nsmtp_data_init_timeout = 2s\nsmtp_data_xfer_timeout = 2s\nsmtp_data_done_timeout = 2s\n\
         smtp_quit_timeout = 1s\n"
    ))
}

/// Sends to each destination, and holds what the log tells alone against what it must.
fn check(
    sender: &MailServer,
    destinations: &[Destination],
    option: &str,
    is_attempt: impl Fn(&str) -> bool,
    named: impl Fn(Device, &str) -> Option<&'static str>,
) {
    for destination in destinations {
        destination.send(sender);
    }
    wait_for("an attempt at each device", || {
        let log = sender.log();
        let attempts: Vec<&str> = log.lines().filter(|line| is_attempt(line)).collect();
        let is_tried = |destination: &Destination| {
            let recipient = format!("user@{}", destination.domain());
            attempts.iter().any(|line| line.contains(&recipient))
        };
        destinations.iter().all(is_tried).then_some(())
    });
    let folder = tempfile::tempdir().unwrap();
    let (log, text) = (folder.path().join("mail.log"), sender.log());
    fs::write(&log, &text).unwrap();
    let mut why = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = why.args(["why", "--format", "json", option]).arg(&log).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = value["findings"].as_array().unwrap();
    let (mut table, mut is_right) = (String::new(), true);
    for destination in destinations {
        let host = format!("localhost:{}", destination.server.port());
        let first = findings.iter().find(|finding| finding["scope"]["destination"] == *host);
        let cause = first.and_then(|finding| finding["cause"].as_str());
        let named = named(destination.device, &text);
        is_right &= cause == named;
        let mark = if cause == named { "" } else { "WRONG " };
        writeln!(table, "{mark}{}: {cause:?}, not {named:?}: {first:?}", destination.device.name()).unwrap();
    }
    assert!(is_right, "{table}");
}

#[test]
fn postfix_s_log_tells_what_is_wrong_with_devices() {
    let folder = open_folder();
    let destinations: Vec<Destination> = Device::ALL.into_iter().map(Destination::start).collect();
    let postfix = relaying(&destinations, folder.path());
    let is_attempt = |line: &str| line.contains("/smtp[") && line.contains(" status=");
    check(&postfix, &destinations, "--postfix-log", is_attempt, named);
}

#[test]
fn root_exim_s_log_tells_what_is_wrong_with_devices() {
    let folder = open_folder();
    let destinations: Vec<Destination> = Device::ALL.into_iter().map(Destination::start).collect();
    let mut authorities = String::new();
    for Destination { device, server } in &destinations {
        let authority = folder.path().join(format!("{}.pem", device.name()));
        fs::write(&authority, server.authority_pem()).unwrap();
        writeln!(authorities, "{}.test: {}", device.name(), authority.display()).unwrap();
    }
    let authorities_file = folder.path().join("authorities");
    fs::write(&authorities_file, authorities).unwrap();
    let relay = Relay {
        routes: destinations.iter().map(|destination| (destination.domain(), destination.server.port())).collect(),
        transport: format!(
            " hosts_require_tls = ${{if eq{{$domain}}{{starttls-demanded.test}}{{}}{{*}}}}\n\
             hosts_avoid_tls = ${{if eq{{$domain}}{{starttls-demanded.test}}{{*}}{{}}}}\n\
             tls_verify_hosts = ${{if match{{$domain}}{{^certificate-}}{{*}}{{}}}}\n\
             tls_verify_certificates = ${{lookup{{$domain}}lsearch{{{}}}}}\n\
             connection_max_messages = 1\n connect_timeout = 2s\n command_timeout = 2s\n data_timeout = 2s\n final_timeout = 2s\n",
            authorities_file.display()
        ),
    };
    let exim = Exim::start_relaying("disable_ipv6 = true\nlog_selector = +outgoing_port +tls_cipher\n", &relay);
    let is_attempt = |line: &str| [" => ", " == ", " ** "].iter().any(|sign| line.contains(sign));
    check(&exim, &destinations, "--exim-log", is_attempt, named_by_exim);
}
