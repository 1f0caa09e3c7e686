//! What the pictures of a finding are drawn from: attempts by value, node and time; all dimensions that were compared; one
//! failed attempt beside one that worked. An incident keeps it, so that the picture outlives the history of its mail.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The pictures of a finding. A key that another version did not write is empty.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PictureView {
    pub lanes: LanesView,
    /// Each dimension that was compared, the clearest difference first; empty if no attempt worked.
    pub compared: Vec<SharesView>,
    /// A failed attempt and one that worked, from opposite sides of the difference and close in time.
    pub pair: Option<PairView>,
    /// Each attempt, in order of time, if there are only a few.
    pub attempts: Vec<SeenAttemptView>,
    /// Earlier attempts were not all read.
    #[schemars(schema_with = "schema::time_or_null")]
    pub read_since: Option<Timestamp>,
}

/// Attempts over time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LanesView {
    /// What the values are values of, such as `tls-policy`. Empty: the value is the destination.
    pub dimension: Vec<String>,
    /// Times of the first and of the last attempt; null: not known.
    #[schemars(schema_with = "schema::time_or_null")]
    pub since: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub until: Option<Timestamp>,
    /// Number of equal spans between them.
    pub columns: u32,
    /// The value that fails most comes first.
    pub lanes: Vec<LaneView>,
}

/// Attempts that have a value in common.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaneView {
    pub value: String,
    pub failed: u64,
    pub worked: u64,
    /// Column, attempts that failed then, and attempts that worked; without empty columns.
    pub counts: Vec<(u32, u32, u32)>,
    /// The same attempts by node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<LaneView>,
}

/// How attempts divide by one dimension.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SharesView {
    /// Such as `tls-policy`; two if they were compared together.
    pub dimension: Vec<String>,
    /// As in the finding's `compared`.
    pub outcome: String,
    /// It differs only because the dimension that separates the attempts does.
    pub follows: bool,
    /// Attempts on the failing side that failed, and how many there are; both zero: nothing to divide.
    pub split_failed: u64,
    pub split_of: u64,
    /// Attempts on the working side that worked, and how many there are.
    pub split_worked: u64,
    pub split_of_works: u64,
    pub failed: Vec<ShareView>,
    pub worked: Vec<ShareView>,
}

/// Attempts with one value.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShareView {
    /// Null: several other values.
    pub value: Option<String>,
    pub attempts: u64,
}

/// Two attempts, step by step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PairView {
    pub failed: SeenAttemptView,
    pub worked: SeenAttemptView,
    /// In order.
    pub steps: Vec<PairStepView>,
}

/// One attempt.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SeenAttemptView {
    #[schemars(schema_with = "schema::time_or_null")]
    pub at: Option<Timestamp>,
    pub node: Option<String>,
    pub tls_policy: Option<String>,
    pub destination: Option<String>,
    /// In the words of its source: in the gateway's history, the network message id.
    pub message: Option<String>,
    pub session: Option<String>,
    /// How it failed; null: it worked.
    pub failure: Option<String>,
    /// Version and cipher suite.
    pub tls: Option<String>,
}

/// One step of two attempts.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PairStepView {
    /// `connect`, `banner`, `ehlo`, `starttls`, `offer`, `choice`, `certificate`, `mail`, `rcpt` or `message`.
    pub step: String,
    pub failed: CellView,
    pub worked: CellView,
    pub differs: bool,
    /// What the clients offered, for the step `offer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferView>,
}

/// How one attempt came through a step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CellView {
    /// `passed`, `failed`, `not-reached` or `not-used`.
    pub outcome: String,
    /// What was seen, in words; may be empty.
    pub what: String,
}

/// The difference between two offers of TLS.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OfferView {
    /// Versions and cipher suites of both.
    pub versions_failed: Vec<String>,
    pub versions_worked: Vec<String>,
    pub suites_failed: u32,
    pub suites_worked: u32,
    /// Cipher suites that both offered.
    pub suites_equal: u32,
    /// Cipher suites of one only; the one that the server chose comes first.
    pub suites_only_failed: Vec<String>,
    pub suites_only_worked: Vec<String>,
    /// The cipher suite that the server chose in the attempt that worked.
    pub chosen: Option<String>,
}
