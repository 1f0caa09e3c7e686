//! How mail leaves.

use std::path::PathBuf;

use insight::{
    ConnectorTls, Connectors,
    units::{Duration, Rate},
};
use protocol::smtp::client;
use protocol::tls::TlsPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{hosts::Hosts, network::Network};
use super::{Config, INTERNET};

/// How mail for accepted domains leaves.
///
/// The default is the built-in connector [`INTERNET`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["name", "hosts"]), description = "How mail for accepted domains leaves.")]
#[serde(default, deny_unknown_fields)]
pub struct Connector {
    /// What [[accepted_domain]] and the queue call it. The name "internet" belongs to the built-in connector, which
    /// delivers by MX.
    #[schemars(extend("format" = "name"), example = &"onprem")]
    pub name: String,
    /// Smart hosts in order of preference: the next one is tried where one does not answer. Or ["mx"]: the hosts that
    /// the MX records of the recipient's domain name.
    #[schemars(example = &["127.0.0.1:2600"])]
    pub hosts: Hosts,
    /// Port of hosts that name none, and of hosts found by MX.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Use of STARTTLS.
    pub tls: TlsLevel,
    /// Which TLS versions and cipher suites may be agreed on: the name of a [[tls_policy]], or one of "modern",
    /// "intermediate" and "legacy". A rollout may put another policy in its place, see gatepost rollout --help.
    #[schemars(extend("format" = "name"))]
    pub tls_policy: String,
    /// What to do where STARTTLS is offered and the handshake fails. Holds for tls = "opportunistic".
    pub on_handshake_failure: OnHandshakeFailure,
    /// Certificates of authorities to trust, in PEM, for tls = "verify". Unset: those of the system.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/office-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_authorities: Option<PathBuf>,
    /// Certificate chain in PEM for a destination that asks for one.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/client.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of tls_certificate in PEM; the two are set together.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/client.key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Most connections open at once, from one node.
    #[schemars(range(min = 1))]
    pub concurrency: u32,
    /// Maximum number of connections open at once to the hosts of one recipient domain, from one node. Holds for
    /// hosts = ["mx"], so that a slow domain leaves connections to the others.
    #[schemars(range(min = 1))]
    pub domain_concurrency: u32,
    /// Most messages sent in a span of time, from one node. Unset: no limit.
    #[schemars(example = &"600/min")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Messages after which a connection is closed and a new one opened.
    #[schemars(range(min = 1))]
    pub messages_per_connection: u32,
    /// The name that EHLO says. Empty: the node's hostname.
    #[schemars(extend("format" = "host-name"))]
    pub hello: String,
    /// Write what is said with destinations into the protocol log, see [protocol_log].
    pub protocol_log: bool,
    pub timeouts: Timeouts,
}

impl Default for Connector {
    fn default() -> Self {
        Self {
            name: INTERNET.to_owned(),
            hosts: Hosts::Mx,
            port: 25,
            tls: TlsLevel::Opportunistic,
            tls_policy: TlsPolicy::modern().name,
            on_handshake_failure: OnHandshakeFailure::Retry,
            tls_authorities: None,
            tls_certificate: None,
            tls_key: None,
            concurrency: 20,
            domain_concurrency: 5,
            rate: None,
            messages_per_connection: 100,
            hello: String::new(),
            protocol_log: true,
            timeouts: Timeouts::default(),
        }
    }
}

/// The built-in connector "internet": it delivers by MX, notices above all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Internet {
    /// Networks outside the public internet that mail to foreign domains may go to, such as "127.0.0.0/8" for tests.
    /// A stranger chooses the domain of a sender, and so where notices go. Mail to private, loopback and other special
    /// addresses therefore fails unless a network here contains the address. This also holds for a [[connector]] with
    /// hosts = ["mx"] and domains that are not accepted.
    #[schemars(example = &["10.0.0.0/8"])]
    pub allow: Vec<Network>,
}

/// What a connector does about TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsLevel {
    /// Never.
    None,
    /// Where the destination offers it; certificates are not checked.
    Opportunistic,
    /// Always: mail waits where the destination does not offer it. Certificates are not checked.
    Require,
    /// Always, and only to a destination whose certificate is valid, trusted, and names the host that was looked up.
    Verify,
}

impl Connectors for Config {
    fn exists(&self, name: &str) -> bool {
        self.connector(name).is_some()
    }

    fn tls(&self, name: &str) -> ConnectorTls {
        let connector = self.connector(name).unwrap_or_default();
        let falls_back = connector.on_handshake_failure == OnHandshakeFailure::Plaintext;
        ConnectorTls { level: connector.tls.into(), falls_back }
    }
}

impl From<TlsLevel> for client::TlsLevel {
    fn from(level: TlsLevel) -> Self {
        match level {
            TlsLevel::None => Self::None,
            TlsLevel::Opportunistic => Self::Opportunistic,
            TlsLevel::Require => Self::Require,
            TlsLevel::Verify => Self::Verify,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnHandshakeFailure {
    /// The mail waits, and the failure is told.
    Retry,
    /// It is sent at once in the clear, and the history says why.
    Plaintext,
}

/// Longest waits for a destination, phase by phase; each is for a whole reply, however slowly it comes. The defaults are those of RFC 5321 section 4.5.3.2, except where
/// that would hold a connection for nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For the attempt as a whole, from the first lookup to the last byte of the message, over all hosts and addresses.
    pub attempt: Duration,
    /// For the connection to one address.
    pub connect: Duration,
    /// For the first reply.
    pub banner: Duration,
    /// For the reply to EHLO or HELO.
    pub ehlo: Duration,
    /// For the reply to STARTTLS, and again for the TLS handshake.
    pub starttls: Duration,
    /// For the reply to MAIL.
    pub mail: Duration,
    /// For the reply to RCPT.
    pub rcpt: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For the destination to take the next piece of the content.
    pub content: Duration,
    /// For the reply to the end of the content. Too short a wait makes duplicates (RFC 1047).
    pub end_of_data: Duration,
    /// For the reply to QUIT, after which nothing can be lost.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            attempt: Duration::minutes(30),
            connect: Duration::seconds(30),
            banner: Duration::minutes(5),
            ehlo: Duration::minutes(5),
            starttls: Duration::minutes(2),
            mail: Duration::minutes(5),
            rcpt: Duration::minutes(5),
            data: Duration::minutes(2),
            content: Duration::minutes(3),
            end_of_data: Duration::minutes(10),
            quit: Duration::seconds(5),
        }
    }
}
