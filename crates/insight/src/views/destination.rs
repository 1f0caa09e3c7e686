//! Destinations: what each of their addresses shows of itself, and what it negotiates with each node.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A host and port that nodes have connected to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DestinationView {
    pub host: String,
    pub port: u16,
    /// In order, with what each node has seen last.
    pub addresses: Vec<DestinationAddressView>,
}

/// One address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DestinationAddressView {
    #[schemars(with = "String")]
    pub address: SocketAddr,
    pub seen: Vec<SightView>,
}

/// What a node has seen last of an address, at the beginning of a connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SightView {
    pub node: String,
    /// When the node has seen it so for the first time since it was otherwise.
    #[schemars(schema_with = "schema::time")]
    pub since: Timestamp,
    /// Without dates, times and ids, which differ at each connection.
    pub greeting: String,
    /// `offered`, `not-offered` or `masked`.
    pub starttls: String,
    /// The limit that EHLO names, in bytes.
    pub size: Option<u64>,
    /// The other keywords of EHLO.
    pub extensions: Vec<String>,
    /// Null: no handshake has shown it.
    pub certificate: Option<SeenCertificateView>,
}

/// Which certificate it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeenCertificateView {
    pub subject: String,
    /// SHA-1, hexadecimal.
    pub thumbprint: String,
    #[schemars(schema_with = "schema::time")]
    pub expires: Timestamp,
}
