//! Settings for what a node records and reports: logs, history, the watch over the queue, the API.

use std::{net::SocketAddr, path::PathBuf};

use insight::units::{ByteSize, Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use store::{Grant, Right};

/// The log that this node writes to standard error.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least severe level that Gatepost writes.
    pub level: LogLevel,
    /// Format of the log.
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
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// SMTP protocol logs: every command and reply of every connection, without message content and passwords, in
/// Exchange's format. Each connector has its own switch, protocol_log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolLog {
    /// Folder of the logs. Gatepost creates one folder in it for received mail and one for sent mail. Unset: the folder
    /// protocol-log in the node's data folder. Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/var/log/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Whether Gatepost logs the sessions of clients.
    pub receive: bool,
    /// Maximum size of one file. Gatepost starts a new file when this size is reached, and every hour.
    pub file_size_max: ByteSize,
    /// Maximum size of all files of one folder. Gatepost deletes the oldest files when the folder is larger.
    pub folder_size_max: ByteSize,
    /// Maximum age of a file. Gatepost deletes older files.
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

/// The history of finished messages, for traces.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Maximum age of a message in the history, counted from when it was received. Gatepost deletes older messages with
    /// their events, unless they are still in the queue.
    pub keep: Duration,
    /// Whether Gatepost keeps subjects. false: it stores no subjects, and you cannot search for them.
    pub subjects: bool,
    /// Whether Gatepost keeps addresses. false: once a message is finished for all recipients, only the domains of the
    /// sender and the recipients remain. Applies to messages received after the change.
    pub addresses: bool,
}

impl Default for History {
    fn default() -> Self {
        Self { keep: Duration::hours(90 * 24), subjects: true, addresses: true }
    }
}

/// The watch over the queue. When mail is stuck, Gatepost opens an incident with the root cause. When mail flows again,
/// it closes the incident. Incidents are in the log and in gatepost incident list, and a webhook can report them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Number of messages waiting for one connector at which an incident opens. A message counts if its last attempt
    /// failed, or if it has waited for a minute without an attempt.
    #[schemars(range(min = 1))]
    pub messages: u32,
    /// Time after which one waiting message opens an incident. This does not apply if the cause lies in the message or
    /// its recipient, such as a full mailbox. It also does not apply to connectors without an accepted domain, because
    /// servers of foreign senders fail every day.
    pub oldest: Duration,
    /// Time after which one waiting message opens an incident if its root cause is known. This does not apply to causes
    /// that usually pass, such as greylisting, nor to the exceptions of oldest. The default is long enough for the
    /// restart of a mail server.
    pub oldest_named: Duration,
    /// Time between two checks of the queue. One node of the fleet makes each check.
    pub interval: Duration,
    /// URL to which Gatepost posts each incident that opens or closes, in the format of the Standard Webhooks
    /// specification. It must begin with https://, or with http:// for this machine. Unset: no webhook.
    #[schemars(extend("format" = "webhook"), example = &"https://alerts.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// File with the secret that signs the webhook's calls. Create one with: openssl rand -base64 32. Set webhook and
    /// secret_file together.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"webhook.secret")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// File of trusted certificate authorities in PEM, for the webhook. Unset: the authorities of the system.
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

/// The console: pages for people, in a browser.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// IP addresses and ports to listen on. Addresses other than loopback use HTTPS with the certificate of [inbound].
    /// Empty: no console. Requires a restart.
    #[schemars(schema_with = "socket_addresses")]
    pub listen: Vec<SocketAddr>,
    /// Where people reach the console, for links in invitations, and for a proxy before this node: a listener on loopback
    /// accepts requests for this host, too. Unset: the first address of listen.
    #[schemars(extend("format" = "origin"), example = &"https://gatepost.example.org")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The HTTP API: for programs, everything that the commands read and do. Its OpenAPI description is at
/// /api/v1/openapi.json. Without a token, loopback may look, but sees no address and changes nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// IP addresses and ports to listen on. Addresses other than loopback require an [[api_token]] with a scope other than
    /// metrics and use HTTPS with the certificate of [inbound]. Empty: no API. Requires a restart.
    #[schemars(schema_with = "socket_addresses")]
    pub listen: Vec<SocketAddr>,
}

/// Metrics for Prometheus, at /metrics. The addresses of [api] serve them to tokens with the scope metrics. The addresses
/// here serve nothing else.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// IP addresses and ports to listen on. Loopback addresses need no token, even if the API does. Other addresses
    /// require an [[api_token]] with the scope metrics and use HTTPS with the certificate of [inbound]. Empty: metrics at
    /// the addresses of [api] only. Requires a restart.
    #[schemars(schema_with = "socket_addresses")]
    pub listen: Vec<SocketAddr>,
}

/// A token for one user of the API. Once there is a token, every request needs one. Create one with: gatepost api token
/// NAME. A token of gatepost token create is in the store instead: it works at once on all nodes, and may expire.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// Name of the user, for the log of requests and the audit.
    #[schemars(extend("format" = "name"), example = &"monitoring")]
    pub name: String,
    /// SHA-256 of the token, in hexadecimal. Gatepost does not store the token itself.
    #[schemars(
        extend("format" = "sha256"),
        example = &"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    pub sha256: String,
    /// What the token may do. look: see incidents, the queue in groups, nodes and rollouts, without addresses. trace: also
    /// search for messages and see addresses. operate: also retry, suspend and resume deliveries, drain nodes, and move
    /// rollouts. administer: also remove deliveries, read the content of messages, and manage users and tokens. metrics:
    /// only /metrics.
    #[serde(default = "ApiScope::reading")]
    #[schemars(length(min = 1))]
    pub scopes: Vec<ApiScope>,
}

/// What a token of the API may do. Each includes those before it; metrics is apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApiScope {
    Look,
    Trace,
    Operate,
    Administer,
    Metrics,
}

impl ApiScope {
    pub const ALL: [Self; 5] = [Self::Look, Self::Trace, Self::Operate, Self::Administer, Self::Metrics];

    fn reading() -> Vec<Self> {
        vec![Self::Trace, Self::Metrics]
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Trace => "trace",
            Self::Operate => "operate",
            Self::Administer => "administer",
            Self::Metrics => "metrics",
        }
    }

    /// `None`: it reads metrics only.
    pub fn right(self) -> Option<Right> {
        match self {
            Self::Look => Some(Right::Viewer),
            Self::Trace => Some(Right::Tracer),
            Self::Operate => Some(Right::Operator),
            Self::Administer => Some(Right::Administrator),
            Self::Metrics => None,
        }
    }

    /// The scope that has just this right.
    pub fn of_right(right: Right) -> Self {
        match right {
            Right::Viewer => Self::Look,
            Right::Tracer => Self::Trace,
            Right::Operator => Self::Operate,
            Right::Administrator => Self::Administer,
        }
    }

    pub fn grant(scopes: &[Self]) -> Grant {
        let right = scopes.iter().filter_map(|scope| scope.right()).max();
        Grant { right, metrics: scopes.contains(&Self::Metrics) }
    }

    /// The fewest scopes that say the same.
    pub fn of_grant(grant: Grant) -> Vec<Self> {
        grant.right.map(Self::of_right).into_iter().chain(grant.metrics.then_some(Self::Metrics)).collect()
    }
}

pub(super) fn socket_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "socket-address" } })
}
