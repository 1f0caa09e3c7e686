//! The view of a node of the fleet.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// One node, as in `node list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    pub node: String,
    pub state: NodeStateView,
    /// Counts how often nodes have joined the store; no two nodes have the same.
    pub epoch: i64,
    /// The machine that it runs on, and the number of its process there.
    pub host: String,
    pub process: u32,
    /// Of Gatepost; null before its first report.
    pub version: Option<String>,
    /// Where it listens for SMTP.
    pub addresses: Vec<SocketAddr>,
    /// Deliveries under way or in memory.
    pub deliveries: u64,
    /// Open connections to destinations.
    pub connections: u32,
    /// The rollout plan that it follows.
    pub plan_version: Option<u64>,
    /// The version of the fleet's configuration that it follows; null: its own file says everything.
    pub config_version: Option<u64>,
    /// When that was applied. After a restore of the database, another one may have the same version.
    #[schemars(schema_with = "schema::time_or_null")]
    pub config_applied: Option<Timestamp>,
    /// The version in force, if it cannot follow it.
    pub config_refused: Option<RefusedConfigView>,
    /// The version of the store's tables that its program knows; null if it does not say.
    pub schema: Option<u32>,
    #[schemars(schema_with = "schema::time")]
    pub started: Timestamp,
    #[schemars(schema_with = "schema::time")]
    pub last_seen: Timestamp,
    /// Since when it is to take no mail; null if it may.
    #[schemars(schema_with = "schema::time_or_null")]
    pub drained: Option<Timestamp>,
    pub drained_by: Option<String>,
}

/// A version of the fleet's configuration that a node cannot follow, with the reasons.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefusedConfigView {
    pub version: u64,
    pub why: Vec<String>,
}

/// What a node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeStateView {
    Running,
    /// It takes no new mail, and still has deliveries to finish.
    Draining,
    /// It takes no new mail, and has nothing left to do.
    Drained,
    /// It has not reported for 30 seconds: it has died, or cannot reach the store.
    Silent,
    /// It was stopped in order.
    Stopped,
}

impl NodeStateView {
    pub fn runs(self) -> bool {
        !matches!(self, Self::Silent | Self::Stopped)
    }
}
