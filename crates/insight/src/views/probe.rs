//! The view of a probe: what a destination supports, and what that means for mail.

use std::net::SocketAddr;

use protocol::{
    smtp::{Failure, PhaseTime, client::Extensions},
    tls::HandshakeFacts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExperimentView, StepView, schema};

/// The answer of `probe`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProbeView {
    pub destinations: Vec<ProbedDestinationView>,
}

/// One address with its conclusions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProbedDestinationView {
    pub probed: ProbedView,
    pub summary: Vec<JudgementView>,
}

/// One conclusion.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JudgementView {
    /// True if mail may fail because of it.
    pub is_trouble: bool,
    pub text: String,
}

/// How mail goes to a destination from each node, and from one node with one change at a time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct NodesProbeView {
    pub host: String,
    pub port: u16,
    pub connector: Option<String>,
    /// With the settings of mail, by name.
    pub nodes: Vec<NodeProbeView>,
    /// The TLS policy of the steps.
    pub policy: String,
    /// First with the settings of mail, then with one change at a time.
    pub steps: Vec<StepView>,
    /// The step that works, if the first ones do not.
    pub smallest_change: Option<String>,
    /// What that says about the cause of the incident; null if the probe was not for an incident.
    pub finding: Option<ProbedFindingView>,
}

/// How mail goes from one node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeProbeView {
    pub node: String,
    /// Null: the node made no connection.
    pub works: Option<bool>,
    /// The policy of its mail.
    pub tls_policy: Option<String>,
    #[schemars(with = "Option<String>")]
    pub address: Option<SocketAddr>,
    /// What was negotiated, how it failed, or why there was no connection.
    pub detail: String,
}

/// A finding that a probe tested.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProbedFindingView {
    /// Id in the cause catalogue.
    pub cause: String,
    pub confidence_before: f64,
    pub confidence: f64,
    pub experiment: ExperimentView,
}

/// What one address supports.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProbedView {
    pub host: String,
    pub address: SocketAddr,
    /// `offered`, `not-offered`, `masked`, `refused` or `not-observed`.
    pub starttls: String,
    /// From the reply to EHLO; null: none was seen.
    pub extensions: Option<ExtensionsView>,
    /// Duration of each phase of the first connection.
    #[schemars(schema_with = "schema::phases")]
    pub phases: Vec<PhaseTime>,
    /// Why the first connection failed. It offers everything that Gatepost supports.
    #[schemars(schema_with = "schema::failure")]
    pub failure: Option<Failure>,
    /// Of the first connection.
    #[schemars(schema_with = "schema::handshake")]
    pub handshake: Option<HandshakeFacts>,
    /// The oldest first.
    pub versions: Vec<VersionView>,
    /// The key exchange groups that it accepts, of those that were tried.
    pub groups: Vec<String>,
    /// The policy of mail, then the built-in ones, the strictest first.
    pub policies: Vec<PolicySupportView>,
    /// The ClientHello of mail's policy, then the same with one change each.
    pub variations: Vec<VariationView>,
    pub connections: u32,
    /// The maximum number of connections was reached, so the result may be incomplete.
    pub is_cut: bool,
}

/// What the reply to EHLO offers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExtensionsView {
    pub pipelining: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub starttls: bool,
    pub starttls_masked: bool,
    /// The maximum in bytes.
    pub size: Option<u64>,
}

/// What it supports with one TLS version.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// Such as `1.2`.
    pub version: String,
    /// In the order in which the destination chooses them.
    pub suites: Vec<SuiteView>,
    /// True: it uses its own order. False: it uses the client's. Null: it has fewer than two suites.
    pub server_prefers: Option<bool>,
    /// How the last connection failed, which offered no suite that it supports.
    #[schemars(schema_with = "schema::failure")]
    pub refusal: Option<Failure>,
}

/// A cipher suite that it accepts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SuiteView {
    /// Its number.
    pub suite: u16,
    /// OpenSSL's name.
    pub name: String,
    /// What failed after it was chosen.
    #[schemars(schema_with = "schema::failure")]
    pub failure: Option<Failure>,
}

/// Whether a policy works.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicySupportView {
    pub name: String,
    pub works: bool,
    #[schemars(schema_with = "schema::failure")]
    pub failure: Option<Failure>,
}

/// A ClientHello with one change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VariationView {
    /// Stable, kebab-case; of the first one, the name of the policy.
    pub name: String,
    /// For people.
    pub what: String,
    pub works: bool,
    pub hello_bytes: Option<u32>,
    #[schemars(schema_with = "schema::failure")]
    pub failure: Option<Failure>,
}

impl From<Extensions> for ExtensionsView {
    fn from(extensions: Extensions) -> Self {
        let Extensions { pipelining, eight_bit_mime, smtputf8, dsn, starttls, starttls_masked, size } = extensions;
        Self { pipelining, eight_bit_mime, smtputf8, dsn, starttls, starttls_masked, size: size.flatten() }
    }
}
