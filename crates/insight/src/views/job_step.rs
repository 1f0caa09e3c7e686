//! One step of work that somebody waits for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobStepView {
    /// The node that does it, if another node than that of the job may.
    pub node: Option<String>,
    /// The host or address that it is about, if the steps are about several.
    pub place: Option<String>,
    pub what: String,
    pub state: JobStepStateView,
    /// What came of it.
    pub detail: Option<String>,
    pub took_ms: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobStepStateView {
    Running,
    Worked,
    /// It worked, but somebody should look at it.
    Warned,
    Failed,
    /// It was not reached, or does not apply.
    Skipped,
}
