//! The view of a rollout. Without a plan, everything except the nodes is null.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A move from one TLS policy to another, as in `rollout status`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RolloutView {
    /// Of the plan in force.
    pub version: Option<u64>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub at: Option<Timestamp>,
    pub by: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Share of the fleet; null if the nodes were chosen by name.
    pub percent: Option<u8>,
    /// Why it is halted.
    pub halted: Option<String>,
    /// Why it halted automatically.
    pub trouble: Option<TroubleView>,
    /// Destinations for which it does not halt again.
    pub accepted: Option<Vec<String>>,
    pub nodes: Vec<RolloutNodeView>,
}

/// A destination that works under the old policy and fails under the new one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TroubleView {
    pub destination: String,
    /// Id in the cause catalogue.
    pub cause: String,
    pub remedy: Vec<String>,
    /// The command that verifies it.
    pub check: String,
}

/// One node of the fleet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RolloutNodeView {
    pub node: String,
    /// True if it uses the new policy.
    pub moved: bool,
    /// The plan that it follows.
    pub plan_version: Option<u64>,
    /// When that was set. After a restore of the database, another one may have the same version.
    #[schemars(schema_with = "schema::time_or_null")]
    pub plan_at: Option<Timestamp>,
    #[schemars(schema_with = "schema::time")]
    pub last_seen: Timestamp,
}
