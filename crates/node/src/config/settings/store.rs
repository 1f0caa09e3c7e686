//! Where the queue and its history are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The queue and its history. They are in the node's data folder, unless nodes share a PostgreSQL server, see
/// docs/fleet.md.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// URL of a PostgreSQL server, version 15 or later, with its user and its database. For a server that moves
    /// between hosts, name all of them: postgres://gatepost@db1,db2/gatepost. Unset: the store is in the node's data
    /// folder, and no other node shares it. Requires a restart.
    #[schemars(extend("format" = "postgres"), example = &"postgres://gatepost@db.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// File with the password of that user. Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/store-password")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// TLS to the server. Unset: verify, except on a loopback address or a socket, where it is none. Requires a
    /// restart.
    #[schemars(example = &"verify")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<StoreTls>,
    /// PEM file with the authorities that may issue the server's certificate. Unset: the authorities of the system.
    /// Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/store-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// URL of a standby server for searches in the history, so that they take nothing from the primary. Searches then
    /// see new mail a moment later. Requires a restart.
    #[schemars(extend("format" = "postgres"), example = &"postgres://gatepost@db2.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_url: Option<String>,
}

/// How the connection to the store is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreTls {
    /// TLS, with a certificate for the host in the URL.
    Verify,
    /// Plaintext.
    None,
}
