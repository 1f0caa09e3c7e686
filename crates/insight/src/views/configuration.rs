//! Views of the fleet's configuration: what came of applying one, what differs, and its versions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;

/// What came of `config apply` or `config rollback`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigApplyView {
    pub result: ConfigResultView,
    /// The version in force now; null before the first.
    pub version: Option<u64>,
    /// The version in force before.
    pub before: Option<u64>,
    pub changes: Vec<ConfigChangeView>,
    /// Settings of the file that each node has of its own: they were not applied.
    pub not_applied: Vec<String>,
    /// Connectors that it removes while deliveries wait for them.
    pub without_connector: Vec<WithoutConnectorView>,
    /// The live nodes, which were asked first.
    pub nodes: Vec<ConfigNodeView>,
}

/// Deliveries that wait for a connector that is not configured any more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WithoutConnectorView {
    pub connector: String,
    pub deliveries: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigResultView {
    Applied,
    /// With --dry-run: it could be applied.
    Possible,
    /// It is in force already.
    Unchanged,
    /// A node cannot follow it, or did not say that it can.
    Refused,
    /// Somebody else has applied another one meanwhile.
    Overtaken,
}

/// A node that was asked whether it can follow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigNodeView {
    pub node: String,
    /// Its version of Gatepost.
    pub version: Option<String>,
    pub answer: ConfigAnswerView,
    /// True: it was named in --without.
    pub left_out: bool,
    /// Why it cannot follow, or cannot check.
    pub errors: Vec<ConfigErrorView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigAnswerView {
    CanFollow,
    CannotFollow,
    /// Such as an older version of Gatepost.
    CannotCheck,
    NoAnswer,
}

/// One reason. Setting, line and column are null if there is no place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigErrorView {
    pub setting: Option<String>,
    pub line: Option<u64>,
    pub column: Option<u64>,
    pub message: String,
}

/// What would change, as in `config diff`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigDiffView {
    /// The version with the old values; null: there is none.
    pub from: Option<u64>,
    /// The version with the new values; null: they are in a file.
    pub to: Option<u64>,
    pub changes: Vec<ConfigChangeView>,
}

/// A setting that differs. Null: not set, and without a default; of a connector and the like: not there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChangeView {
    pub setting: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// A version, as in `config history`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigVersionView {
    pub version: u64,
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    pub by: String,
    pub comment: Option<String>,
    /// The version that it is again, after a rollback.
    pub repeats: Option<u64>,
    /// Version of Gatepost with which it was applied.
    pub program: String,
    /// Number of running nodes that follow it.
    pub nodes: u64,
    /// Its settings, for one version only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toml: Option<String>,
}
