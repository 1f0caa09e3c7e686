//! Settings for how mail leaves.

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
#[schemars(extend("required" = ["name", "hosts"]), description = "A connector: how mail for accepted domains leaves.")]
#[serde(default, deny_unknown_fields)]
pub struct Connector {
    /// Name of this connector in [[accepted_domain]] and in the queue. The name "internet" is reserved for the built-in
    /// connector, which delivers by MX.
    #[schemars(extend("format" = "name"), example = &"onprem")]
    pub name: String,
    /// Smart hosts in order of preference. If one does not answer, Gatepost tries the next. ["mx"]: the hosts that the
    /// MX records of the recipient's domain name.
    #[schemars(example = &["127.0.0.1:2600"])]
    pub hosts: Hosts,
    /// Port of hosts without a port of their own, and of hosts found by MX.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Whether Gatepost uses STARTTLS, and whether it requires it.
    pub tls: TlsLevel,
    /// Name of the TLS policy, which says which TLS versions and cipher suites Gatepost offers: a [[tls_policy]], or
    /// one of "modern", "intermediate" and "legacy". A rollout can replace this policy, see gatepost rollout --help.
    #[schemars(extend("format" = "name"))]
    pub tls_policy: String,
    /// What Gatepost does when the destination offers STARTTLS but the TLS handshake fails. Applies to tls =
    /// "opportunistic".
    pub on_handshake_failure: OnHandshakeFailure,
    /// File of trusted certificate authorities in PEM, for tls = "verify". Unset: the authorities of the system.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/office-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_authorities: Option<PathBuf>,
    /// File of the certificate chain in PEM that Gatepost shows to a destination that asks for a client certificate.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/client.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// File of the private key of tls_certificate in PEM. Set both or neither.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/client.key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Maximum number of connections open at once, from all nodes of the fleet together.
    #[schemars(range(min = 1))]
    pub concurrency: u32,
    /// Maximum number of connections open at once to the hosts of one recipient domain, from one node. Applies to hosts
    /// = ["mx"], so that a slow domain leaves connections for the others.
    #[schemars(range(min = 1))]
    pub domain_concurrency: u32,
    /// Maximum number of messages that all nodes of the fleet together send in a period. Unset: no limit.
    #[schemars(example = &"600/min")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Maximum number of messages on one connection. Gatepost then closes the connection and opens a new one.
    #[schemars(range(min = 1))]
    pub messages_per_connection: u32,
    /// Whether Gatepost sends several commands at once to a destination that announces PIPELINING (RFC 2920). Set false
    /// for a destination that announces it and fails on such commands.
    pub pipelining: bool,
    /// Host name in EHLO. Empty: the node's hostname.
    #[schemars(extend("format" = "host-name"))]
    pub hello: String,
    /// Whether Gatepost writes the sessions with destinations to the protocol log, see [protocol_log].
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
            pipelining: true,
            hello: String::new(),
            protocol_log: true,
            timeouts: Timeouts::default(),
        }
    }
}

/// The built-in connector "internet". It delivers by MX, mostly notices to senders.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Internet {
    /// Networks outside the public internet that mail to foreign domains may go to, such as "127.0.0.0/8" for tests.
    /// Anybody can forge a sender's domain, and so choose where notices go. Mail to private, loopback and other special
    /// addresses therefore fails unless a network here contains the address. This also applies to a [[connector]] with
    /// hosts = ["mx"] and domains that are not accepted.
    #[schemars(example = &["10.0.0.0/8"])]
    pub allow: Vec<Network>,
}

/// How a connector uses TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsLevel {
    /// Never use TLS.
    None,
    /// Use TLS if the destination offers it. Certificates are not checked.
    Opportunistic,
    /// Always use TLS. Mail waits if the destination does not offer it. Certificates are not checked.
    Require,
    /// Always use TLS, and only with a destination whose certificate is valid, trusted and issued for the host name.
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
    /// The mail waits for the next attempt, and the history shows the failure.
    Retry,
    /// Gatepost sends the mail in plaintext at once, and the history shows why.
    Plaintext,
}

/// Maximum time that Gatepost waits for a destination in each phase. Each timeout covers a whole reply, however slowly
/// it comes. The defaults are those of RFC 5321 section 4.5.3.2, except where that would keep a connection open for no
/// benefit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Maximum time for one attempt, from the first lookup to the last byte of the message, for all hosts and addresses
    /// together.
    pub attempt: Duration,
    /// Maximum wait for the connection to one address.
    pub connect: Duration,
    /// Maximum wait for the greeting.
    pub banner: Duration,
    /// Maximum wait for the reply to EHLO or HELO.
    pub ehlo: Duration,
    /// Maximum wait for the reply to STARTTLS, and again for the TLS handshake.
    pub starttls: Duration,
    /// Maximum wait for the reply to MAIL.
    pub mail: Duration,
    /// Maximum wait for the reply to RCPT.
    pub rcpt: Duration,
    /// Maximum wait for the reply to DATA.
    pub data: Duration,
    /// Maximum wait until the destination accepts the next piece of the content.
    pub content: Duration,
    /// Maximum wait for the reply to the end of the content. If this is too short, recipients get duplicates (RFC
    /// 1047).
    pub end_of_data: Duration,
    /// Maximum wait for the reply to QUIT. No mail is lost if the reply does not come.
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
