//! What a node records and tells: logs, history, the watch over the queue, the API.

use std::{net::SocketAddr, path::PathBuf};

use insight::units::{ByteSize, Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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

pub(super) fn socket_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "socket-address" } })
}
