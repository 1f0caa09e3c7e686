//! Mail that left in plaintext, since TLS had failed: by default Postfix and Exim send it so, and their logs call it sent.

use std::fmt::Write as _;

use lab::{Device, Options, Server, exim::Relay};
use serde_json::Value;

use crate::{
    own_faults::{send, why},
    support::{Exim, Postfix, foreign::MailServer, wait_for},
};

struct Destination {
    server: Server,
    name: &'static str,
}

impl Destination {
    fn start(device: Device) -> Self {
        Self { server: Server::start(device, Options::default()).unwrap(), name: device.name() }
    }
}

/// What is said of one destination, in a finding that names each with its count and why TLS had failed there.
fn reason(finding: &Value, port: u16) -> String {
    let summary = finding["summary"].as_str().unwrap_or_default();
    let rest =
        summary.split_once(&format!("127.0.0.1:{port} (")).or(summary.split_once(&format!("localhost:{port} (")));
    rest.and_then(|(_, rest)| rest.split_once(')')).map_or(String::new(), |(reason, _)| reason.to_owned())
}

/// Two messages to each destination, one to a healthy one, and what the log tells of them.
fn check(sender: &MailServer, destinations: &[(Destination, &str)], sent: &str) {
    let (healthy, all) = (1, 2 * destinations.len() + 1);
    for (Destination { name, .. }, _) in destinations {
        send(sender, &format!("a@{name}.test"));
        send(sender, &format!("b@{name}.test"));
    }
    send(sender, "a@healthy.test");
    let log = wait_for("all messages", || Some(sender.log()).filter(|log| log.matches(sent).count() == all));
    let (status, value) = why(&log);
    let findings = value["findings"].as_array().unwrap();
    let is_meant = |finding: &&Value| finding["cause"] == "delivered-without-tls";
    let finding = findings.iter().find(is_meant).unwrap_or_else(|| panic!("{value:#}\n{log}"));
    // It is a warning: the mail arrived, in the end.
    assert_eq!((status, &finding["severity"]), (Some(0), &"warning".into()), "{value:#}");
    assert_eq!(finding["scope"]["failed"], all - healthy, "{finding:#}\n{log}");
    assert!(finding["check"].as_str().unwrap().contains(" --status delivered "), "{finding:#}");
    let mut wrong = String::new();
    for (Destination { name, server }, expected) in destinations {
        let reason = reason(finding, server.port());
        if reason != *expected {
            writeln!(wrong, "{name}: {reason:?}, not {expected:?}").unwrap();
        }
        assert!(server.messages().iter().all(|message| message.tls.is_none()), "{name}");
    }
    assert!(wrong.is_empty(), "{wrong}{finding:#}\n{log}");
}

/// Postfix does so from the second attempt on, when the message is older than `minimal_backoff_time`.
#[test]
fn postfix_s_log_tells_what_left_in_plaintext() {
    let destinations = [
        (Destination::start(Device::HandshakeReset), "handshake-reset"),
        (Destination::start(Device::HandshakeSwallowed), "handshake-timeout"),
        (Destination::start(Device::Rc4Only), "no-shared-tls-version"),
        (Destination::start(Device::WeakDh), "weak-dh"),
    ];
    let healthy = Server::start(Device::Healthy, Options::default()).unwrap();
    let mut transports = format!("healthy.test=smtp:[127.0.0.1]:{}", healthy.port());
    for (Destination { server, name }, _) in &destinations {
        write!(transports, ", {name}.test=smtp:[127.0.0.1]:{}", server.port()).unwrap();
    }
    let postfix = Postfix::start_with(&format!(
        "mynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
         transport_maps = inline:{{{transports}}}\nsmtp_tls_security_level = may\nsmtp_tls_loglevel = 1\n\
         smtp_tls_protocols = >=TLSv1.2\nsmtp_starttls_timeout = 1s\n\
         queue_run_delay = 1s\nminimal_backoff_time = 3s\nmaximal_backoff_time = 3s\n"
    ));
    check(&postfix, &destinations, " status=sent ");
}

/// Its own certificate cannot be used, so all mail leaves without TLS.
#[test]
fn postfix_s_log_tells_what_left_in_plaintext_for_its_own_fault() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let postfix = Postfix::start_with(&format!(
        "mynetworks = 127.0.0.0/8\nrelay_domains = static:all\nvirtual_mailbox_domains =\nsmtp_host_lookup = native\n\
         transport_maps = static:smtp:[127.0.0.1]:{}\nsmtp_tls_security_level = may\nsmtp_tls_cert_file = /nosuch.pem\n\
         smtp_tls_loglevel = 1\n",
        server.port()
    ));
    send(&postfix, "a@partner.test");
    let log = wait_for("the message", || Some(postfix.log()).filter(|log| log.contains(" status=sent ")));
    assert!(server.messages()[0].tls.is_none());
    let (status, value) = why(&log);
    let first = &value["findings"][0];
    assert_eq!((status, &first["cause"]), (Some(0), &"delivered-without-tls".into()), "{value:#}\n{log}");
    assert_eq!(reason(first, server.port()), "local-tls-credentials", "{first:#}");
    // The destination has nothing to fix.
    let remedies = first["remedy"].as_array().unwrap();
    assert!(remedies[0]["action"].as_str().unwrap().contains("smtp_tls_cert_file"), "{first:#}");
    assert!(remedies.iter().all(|remedy| remedy["side"] == "gateway"), "{first:#}");
}

#[test]
fn root_exim_s_log_tells_what_left_in_plaintext() {
    let destinations = [
        (Destination::start(Device::HandshakeReset), "handshake-reset"),
        (Destination::start(Device::HandshakeSwallowed), "handshake-timeout"),
        (Destination::start(Device::Tls10Only), "no-shared-tls-version"),
        (Destination::start(Device::Rc4Only), "no-shared-cipher"),
        (Destination::start(Device::WeakDh), "weak-dh"),
    ];
    let healthy = Server::start(Device::Healthy, Options::default()).unwrap();
    let route = |(Destination { server, name }, _): &(Destination, _)| (format!("{name}.test"), server.port());
    let mut routes: Vec<_> = destinations.iter().map(route).collect();
    routes.push(("healthy.test".to_owned(), healthy.port()));
    let transport = " tls_require_ciphers = ${if eq{$domain}{tls10-only.test}{NORMAL:-VERS-ALL:+VERS-TLS1.3}{NORMAL}}\n \
                     command_timeout = 2s\n";
    let relay = Relay { routes, transport: transport.to_owned() };
    let exim = Exim::start_relaying("disable_ipv6 = true\nlog_selector = +outgoing_port +tls_cipher\n", &relay);
    check(&exim, &destinations, " => ");
}
