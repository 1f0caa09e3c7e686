//! Work that a node does for somebody who waits for it: its steps while it runs, and its result.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ConnectorValidationView, NodesProbeView, job_step::JobStepView, schema};

/// A job. It is known to the node that does it, and to no other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    pub id: Uuid,
    pub kind: JobKindView,
    /// The destination or connector that it is about.
    pub about: String,
    /// The person or program that asked for it.
    pub owner: String,
    pub node: String,
    pub state: JobStateView,
    /// Why it failed.
    pub why: Option<String>,
    #[schemars(schema_with = "schema::time")]
    pub began: Timestamp,
    #[schemars(schema_with = "schema::time_or_null")]
    pub ended: Option<Timestamp>,
    /// When the node forgets it; null while it runs.
    #[schemars(schema_with = "schema::time_or_null")]
    pub expires: Option<Timestamp>,
    /// In the order in which they begin.
    pub steps: Vec<JobStepView>,
    /// Null until it has ended, and if it failed.
    pub result: Option<JobResultView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobKindView {
    Probe,
    Validation,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobStateView {
    Running,
    Done,
    Failed,
    Cancelled,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobResultView {
    Probe(Box<NodesProbeView>),
    Validation(Box<ConnectorValidationView>),
}
