//! Connectors: their settings that an operator looks for, and whether mail can leave by them.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{job_step::JobStepStateView, schema};

/// A connector, as in `connector list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorView {
    pub name: String,
    /// Smart hosts with their ports, or `mx`.
    pub hosts: Vec<String>,
    /// Of hosts without a port of their own.
    pub port: u16,
    /// `none`, `opportunistic`, `require` or `verify`.
    pub tls: String,
    /// As configured; a rollout may replace it on some nodes.
    pub tls_policy: String,
    /// Mail goes in plaintext if the TLS handshake fails.
    pub falls_back: bool,
    /// Maximum number of open connections.
    pub concurrency: u32,
    /// Messages in a period, such as `600/min`; null: no limit.
    pub rate: Option<String>,
    /// The accepted domains whose mail leaves by it.
    pub domains: Vec<String>,
}

/// Whether mail can leave by a connector, from one node, as in `connector validate`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorValidationView {
    pub connector: String,
    /// The node that made the connections.
    pub node: String,
    pub tls_policy: String,
    /// True if mail can leave by at least one address.
    pub works: bool,
    /// In the order in which mail tries them.
    pub hosts: Vec<ValidatedHostView>,
}

/// One host of a connector.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidatedHostView {
    pub host: String,
    pub port: u16,
    pub resolved: ValidatedStepView,
    pub addresses: Vec<ValidatedAddressView>,
}

/// One address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidatedAddressView {
    #[schemars(with = "String")]
    pub address: SocketAddr,
    pub works: bool,
    pub steps: Vec<ValidatedStepView>,
    /// When the certificate expires; null: none was seen.
    #[schemars(schema_with = "schema::time_or_null")]
    pub certificate_expires: Option<Timestamp>,
}

/// One step, in the order of a delivery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidatedStepView {
    /// `resolve`, `connect`, `greeting`, `starttls`, `handshake`, `certificate`, `recipient` or `test-mail`.
    pub step: ValidationStepView,
    pub state: JobStepStateView,
    /// What came of it.
    pub detail: Option<String>,
    /// Null if it was not measured alone.
    pub took_ms: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationStepView {
    Resolve,
    Connect,
    Greeting,
    #[serde(rename = "starttls")]
    StartTls,
    Handshake,
    Certificate,
    Recipient,
    TestMail,
}

impl ValidationStepView {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Resolve => "Resolve",
            Self::Connect => "Connect",
            Self::Greeting => "Greeting and EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "TLS handshake",
            Self::Certificate => "Certificate",
            Self::Recipient => "RCPT",
            Self::TestMail => "Test mail",
        }
    }
}
