//! The settings and their defaults. The doc comments here are the text of `gatepost config reference`, and the schema
//! derived from here is what a file is checked against: one source for all three.
//!
//! Invariant: a [`Config`] that came out of [`Config::parse`](super::Config::parse) has no empty names, no dangling
//! names and no duplicates.

use std::{net::SocketAddr, path::PathBuf};

use insight::{
    ConnectorTls, Connectors,
    units::{ByteSize, Deadline, Duration, Period, Rate},
};
use protocol::{
    smtp::client,
    tls::{TlsPolicy, TlsVersion},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{hosts::Hosts, network::Network};

/// Name of the built-in connector that delivers by MX; no other connector may have it.
pub const INTERNET: &str = "internet";

/// The whole file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub inbound: Inbound,
    #[serde(rename = "accepted_domain")]
    pub accepted_domains: Vec<AcceptedDomain>,
    #[serde(rename = "connector")]
    pub connectors: Vec<Connector>,
    pub internet: Internet,
    #[serde(rename = "tls_policy")]
    pub tls_policies: Vec<NamedPolicy>,
    pub retry: Retry,
    pub rollout: Rollout,
    pub notices: Notices,
    pub dns: Dns,
    pub log: Log,
    pub protocol_log: ProtocolLog,
    pub history: History,
    pub watch: Watch,
    pub api: Api,
    #[serde(rename = "api_token")]
    pub api_tokens: Vec<ApiToken>,
}

/// This process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// How this node is called in leases, events and logs. Unique among the nodes that share a store. Empty: the
    /// machine's host name. A change needs a restart.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// Folder of the queue and its history, relative to the folder of this file. A change needs a restart.
    #[schemars(with = "String", extend("format" = "path"))]
    pub data: PathBuf,
    /// The host name that the banner, EHLO and the Received field say. Empty: the machine's host name. A change needs a
    /// restart.
    #[schemars(extend("format" = "host-name"))]
    pub hostname: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: String::new(), data: "data".into(), hostname: String::new() }
    }
}

/// How mail comes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inbound {
    /// IP addresses and ports to listen on. A change needs a restart.
    #[schemars(schema_with = "socket_addresses_required")]
    pub listen: Vec<SocketAddr>,
    /// Largest message that is taken; also what the SIZE extension announces (RFC 1870).
    pub size_max: ByteSize,
    /// Most recipients of one message. RFC 5321 section 4.5.3.1.8 asks for at least 100.
    #[schemars(range(min = 1))]
    pub recipients_max: u32,
    /// Longest line of a message's content. RFC 5321 section 4.5.3.1.6 asks for at least 1000 octets; real mail has
    /// longer ones.
    pub line_max: ByteSize,
    /// A session with this many refused or unknown commands is closed.
    #[schemars(range(min = 1))]
    pub errors_max: u32,
    /// Maximum number of commands that do nothing for a message: NOOP, RSET, VRFY, HELP, a repeated EHLO or recipient,
    /// an empty BDAT. Gatepost then closes the session. Each message that it accepts starts the count again.
    #[schemars(range(min = 1))]
    pub junk_commands_max: u32,
    /// Maximum number of sessions open at once. Gatepost keeps a tenth of them for clients that have no session yet.
    #[schemars(range(min = 1))]
    pub connections_max: u32,
    /// Maximum number of sessions open at once from one client, on all addresses of listen together.
    #[schemars(range(min = 1))]
    pub connections_per_client_max: u32,
    /// Number of leading bits (1 to 32) of an IPv4 address that stand for one client. 24 counts a whole network
    /// of 256 addresses as one client. Requires a restart.
    #[schemars(range(min = 1, max = 32))]
    pub client_prefix_ipv4: u32,
    /// Number of leading bits (1 to 128) of an IPv6 address that stand for one client. One customer usually has a
    /// /64 or a larger network, and can use all its addresses. Requires a restart.
    #[schemars(range(min = 1, max = 128))]
    pub client_prefix_ipv6: u32,
    /// Maximum age of a session. An older session can begin no further message, and its client must connect again. The
    /// content of one message may take as long.
    pub session_max: Duration,
    /// Maximum wait for a client's next command (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Maximum wait for the next bytes of a message's content. Bytes that come more slowly than data_rate_min use up
    /// this time, too.
    pub data_timeout: Duration,
    /// Minimum number of bytes in a second that content must have, averaged over data_timeout.
    pub data_rate_min: ByteSize,
    /// Maximum memory for the content of messages that all sessions are receiving. Gatepost writes content beyond it to
    /// the data folder at once, as it does with large messages.
    pub content_memory_max: ByteSize,
    /// A message with more Received fields than this goes in a circle and is refused (RFC 5321 section 6.3).
    #[schemars(range(min = 1))]
    pub hops_max: u32,
    /// Offer STARTTLS (RFC 3207).
    pub starttls: bool,
    /// Certificate chain in PEM, the node's own certificate first, relative to the folder of this file. Unset: a
    /// self-signed certificate, made at the first start and kept in the data folder.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of tls_certificate in PEM; the two are set together.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 2525))],
            size_max: ByteSize::mebibytes(50),
            recipients_max: 1000,
            line_max: ByteSize::kibibytes(64),
            errors_max: 20,
            junk_commands_max: 100,
            connections_max: 10_000,
            connections_per_client_max: 200,
            client_prefix_ipv4: 32,
            client_prefix_ipv6: 64,
            session_max: Duration::hours(1),
            command_timeout: Duration::minutes(5),
            data_timeout: Duration::minutes(5),
            data_rate_min: ByteSize::of_bytes(500),
            content_memory_max: ByteSize::mebibytes(256),
            hops_max: 50,
            starttls: true,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// A domain that mail is taken for, and the connector that its mail leaves by. Without any, every recipient is refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDomain {
    /// The part of the recipient's address after the @. Its subdomains are domains of their own; "*.onprem.test" means
    /// all of them.
    #[schemars(extend("format" = "domain"), example = &"onprem.test")]
    pub name: String,
    /// Name of a [[connector]].
    #[schemars(example = &"onprem")]
    pub connector: String,
}

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

/// A TLS policy: which versions, cipher suites and groups may be agreed on with destinations. "modern", "intermediate"
/// and "legacy" are built in; gatepost policy list shows all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["name", "minimum"]))]
#[serde(default, deny_unknown_fields)]
pub struct NamedPolicy {
    /// What connectors, rollouts and traces call it.
    #[schemars(extend("format" = "name"), example = &"no-rc4")]
    pub name: String,
    /// Oldest TLS version.
    #[schemars(example = &"1.0")]
    pub minimum: Version,
    /// Newest TLS version.
    pub maximum: Version,
    /// Cipher suites up to TLS 1.2 in order of preference, in the words of OpenSSL's ciphers(1).
    #[schemars(extend("format" = "cipher-list"))]
    pub ciphers: String,
    /// Cipher suites of TLS 1.3 in order of preference.
    #[schemars(extend("format" = "cipher-list"))]
    pub suites: String,
    /// Key exchange groups in order of preference.
    #[schemars(extend("format" = "cipher-list"))]
    pub groups: String,
    /// The least strength of keys, groups and signatures, as OpenSSL's SSL_CTX_set_security_level(3) counts. TLS 1.0 and
    /// 1.1 need 0.
    #[schemars(range(max = 5))]
    pub security_level: u32,
}

impl Default for NamedPolicy {
    fn default() -> Self {
        let TlsPolicy { name: _, minimum, maximum, ciphers, suites, groups, security_level } = TlsPolicy::modern();
        Self {
            name: String::new(),
            minimum: minimum.into(),
            maximum: maximum.into(),
            ciphers,
            suites,
            groups,
            security_level,
        }
    }
}

impl NamedPolicy {
    pub fn policy(&self) -> TlsPolicy {
        TlsPolicy {
            name: self.name.clone(),
            minimum: self.minimum.into(),
            maximum: self.maximum.into(),
            ciphers: self.ciphers.clone(),
            suites: self.suites.clone(),
            groups: self.groups.clone(),
            security_level: self.security_level,
        }
    }
}

/// A TLS version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    #[serde(rename = "1.0")]
    Tls10,
    #[serde(rename = "1.1")]
    Tls11,
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl From<Version> for TlsVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Tls10 => Self::Tls10,
            Version::Tls11 => Self::Tls11,
            Version::Tls12 => Self::Tls12,
            Version::Tls13 => Self::Tls13,
        }
    }
}

impl From<TlsVersion> for Version {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Tls10 => Self::Tls10,
            TlsVersion::Tls11 => Self::Tls11,
            TlsVersion::Tls12 => Self::Tls12,
            TlsVersion::Tls13 => Self::Tls13,
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

/// When a delivery that failed for now is tried again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Waits before the second attempt, the third, and so on. The last one repeats. Each is varied a little, so that
    /// mail deferred together does not come back together.
    #[schemars(length(min = 1))]
    pub schedule: Vec<Duration>,
    /// Age at which a message that could not be delivered fails, and its sender is told.
    pub expire: Duration,
    /// Age at which the sender is told that the message is delayed, or "never".
    pub delay_notice: Deadline,
    /// When all hosts of a connector fail as a whole, nothing is sent to it for this long; doubled at each failure.
    pub back_off_first: Duration,
    /// The longest such pause.
    pub back_off_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            schedule: vec![Duration::minutes(15)],
            expire: Duration::hours(24),
            delay_notice: Deadline::After(Duration::hours(4)),
            back_off_first: Duration::seconds(15),
            back_off_max: Duration::minutes(5),
        }
    }
}

/// What nodes do about a rollout of a TLS policy by themselves, see gatepost rollout --help.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Halt a rollout whose new policy fails where the old one works, and leave mail to the nodes whose policy works.
    pub self_defence: bool,
    /// How long a node leaves what is due to the others then; after that it tries by itself, whether they are there or
    /// not.
    pub leave_for: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { self_defence: true, leave_for: Duration::minutes(1) }
    }
}

/// Failure and delay notices (RFC 3464). Anybody can forge a sender, so that a notice may go to somebody who wrote
/// nothing. One notice tells of all recipients of a message, and has no content of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// Send notices. With false, senders are told nothing; traces still show what became of their mail.
    pub enabled: bool,
    /// Domains whose senders are sent notices; "*.partner.test" means all its subdomains. Empty: all domains.
    #[schemars(schema_with = "domains", example = &["partner.test"])]
    pub sender_domains: Vec<String>,
    /// Most notices to one address in a span of time, counted for all nodes together. Further ones are withheld, and
    /// the trace says so.
    pub per_sender: Rate,
    /// Networks of clients that may ask to be told of success (NOTIFY=SUCCESS, RFC 3461). Others are told only by
    /// destinations that make such notices themselves.
    #[schemars(example = &["192.0.2.0/24"])]
    pub success_to: Vec<Network>,
    /// Name of the [[connector]] by which notices leave for senders outside the accepted domains, such as a smart host
    /// for outgoing mail. Unset: the built-in connector "internet", straight to the sender's domain by MX.
    #[schemars(example = &"outgoing")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            enabled: true,
            sender_domains: Vec::new(),
            per_sender: Rate { messages: 20, per: Period::Hour },
            success_to: Vec::new(),
            connector: None,
        }
    }
}

/// How names are looked up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// IP addresses and ports of name servers. Empty: those of the system (/etc/resolv.conf).
    #[schemars(schema_with = "socket_addresses")]
    pub servers: Vec<SocketAddr>,
    /// Longest wait for one server's answer.
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::seconds(5) }
    }
}

/// What the process writes about itself, to standard error.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How it is written.
    pub format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// SMTP protocol logs: every command and reply of every connection, without content and credentials, in Exchange's own
/// format. Connectors have a switch of their own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolLog {
    /// Folder of the logs, relative to the folder of this file; what is received and what is sent have a folder each in
    /// it. Unset: the folder protocol-log in the node's data. A change needs a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/var/log/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Write down the sessions of clients.
    pub receive: bool,
    /// A new file is begun each hour, and when one is larger than this.
    pub file_size_max: ByteSize,
    /// The oldest files are deleted when those of one side are larger together.
    pub folder_size_max: ByteSize,
    /// Older files are deleted.
    pub age_max: Duration,
}

impl Default for ProtocolLog {
    fn default() -> Self {
        Self {
            folder: None,
            receive: true,
            file_size_max: ByteSize::mebibytes(10),
            folder_size_max: ByteSize::mebibytes(250),
            age_max: Duration::hours(30 * 24),
        }
    }
}

/// What is kept of mail that has come to rest, for traces.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Messages that were received longer ago, and are no longer in the queue, are deleted with their events.
    pub keep: Duration,
    /// Keep subjects. false: they are not written down at all, and cannot be searched for.
    pub subjects: bool,
    /// Keep addresses. false: once a message has come to rest for all its recipients, only their domains and the
    /// sender's are kept. Holds for what comes in from then on.
    pub addresses: bool,
}

impl Default for History {
    fn default() -> Self {
        Self { keep: Duration::hours(90 * 24), subjects: true, addresses: true }
    }
}

/// Watching the queue: mail that is stuck opens an incident with its root cause, and closes it when it flows again.
/// gatepost incident list shows them, the log tells of them, and so does a webhook.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// An incident opens where so many messages are pending for one connector: they failed for now, or have waited
    /// for a minute without an attempt.
    #[schemars(range(min = 1))]
    pub messages: u32,
    /// Or where one has been pending for so long. Not where that lies in the message or its recipient, such as a full
    /// mailbox, nor for connectors of no accepted domain: servers of foreign senders fail every day.
    pub oldest: Duration,
    /// Or for so long by a root cause that is known. Not where it passes by itself, such as greylisting; else as above.
    /// The default passes over the restart of a mail server.
    pub oldest_named: Duration,
    /// Time between two looks at the queue, by whichever node of the fleet.
    pub interval: Duration,
    /// Where to post each incident that opens or closes, as the Standard Webhooks specification has it: https, or http
    /// to this machine.
    #[schemars(extend("format" = "webhook"), example = &"https://alerts.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// File with the secret that calls of the webhook are signed with, such as openssl rand -base64 32 makes; the two
    /// are set together.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"webhook.secret")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Certificates of authorities to trust for the webhook, in PEM. Unset: those of the system.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/office-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_authorities: Option<PathBuf>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            messages: 200,
            oldest: Duration::hours(1),
            oldest_named: Duration::minutes(5),
            interval: Duration::seconds(10),
            webhook: None,
            secret_file: None,
            tls_authorities: None,
        }
    }
}

/// The HTTP API: message traces for programs. Its description in OpenAPI is at /api/v1/openapi.json.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// IP addresses and ports to listen on. Empty: there is no API. Addresses other than loopback need an [[api_token]],
    /// and speak HTTPS with the certificate of [inbound]. A change needs a restart.
    #[schemars(schema_with = "socket_addresses")]
    pub listen: Vec<SocketAddr>,
}

/// Who may ask the API. Once there is one, nobody is answered without a token. gatepost api token NAME makes one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// Whose it is, for the log of queries.
    #[schemars(extend("format" = "name"), example = &"monitoring")]
    pub name: String,
    /// SHA-256 of the token, in hexadecimal: the token itself stands nowhere.
    #[schemars(
        extend("format" = "sha256"),
        example = &"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    pub sha256: String,
}

fn socket_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "socket-address" } })
}

fn domains(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "domain" } })
}

fn socket_addresses_required(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "format": "socket-address" } })
}

impl Config {
    /// The connector of that name, the built-in one included.
    pub fn connector(&self, name: &str) -> Option<Connector> {
        let configured = self.connectors.iter().find(|connector| connector.name == name);
        configured.cloned().or_else(|| (name == INTERNET).then(|| self.internet()))
    }

    /// The built-in connector, which delivers by MX.
    pub fn internet(&self) -> Connector {
        Connector { hello: self.node.hostname.clone(), ..Connector::default() }
    }

    /// The TLS policies that may be named: the built-in ones, and those of the file.
    pub fn policies(&self) -> impl Iterator<Item = TlsPolicy> {
        TlsPolicy::built_in().into_iter().chain(self.tls_policies.iter().map(NamedPolicy::policy))
    }

    pub fn policy(&self, name: &str) -> Option<TlsPolicy> {
        self.policies().find(|policy| policy.name == name)
    }

    /// The keys that differ in `new` and take effect only when the process starts again.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        [
            ("node.name", self.node.name != new.node.name),
            ("node.data", self.node.data != new.node.data),
            ("node.hostname", self.node.hostname != new.node.hostname),
            ("protocol_log.folder", self.protocol_log.folder != new.protocol_log.folder),
            ("inbound.listen", self.inbound.listen != new.inbound.listen),
            ("inbound.client_prefix_ipv4", self.inbound.client_prefix_ipv4 != new.inbound.client_prefix_ipv4),
            ("inbound.client_prefix_ipv6", self.inbound.client_prefix_ipv6 != new.inbound.client_prefix_ipv6),
            ("api.listen", self.api.listen != new.api.listen),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}
