//! Views of cases: what there is to play, and the result of playing one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FindingView, TroubleView};

/// A case that can be played, as in `case list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseView {
    pub case: String,
    /// One line for people.
    pub story: String,
    pub nodes: usize,
    pub messages: usize,
    /// Id of the true cause in the catalogue; null: none.
    pub cause: Option<String>,
}

/// The result of a case, as in `case run`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseResultView {
    pub case: String,
    pub cause: Option<String>,
    /// What the destination is, in words.
    pub destination: String,
    pub sent: usize,
    pub delivered: usize,
    pub max_queued: usize,
    pub queued_at_repair: usize,
    /// Length of the queue every half second.
    pub queue: Vec<usize>,
    /// The rollout that halted automatically.
    pub halted: Option<CaseHaltedView>,
    pub attempts: Vec<CaseAttemptsView>,
    /// Approximate time between two attempts of a message.
    pub retry_s: f64,
    /// From the repair to an empty queue.
    pub drained_s: f64,
    pub messages: Vec<CaseMessageView>,
    /// Before the repair.
    pub findings: Vec<FindingView>,
    /// The folder with the data, if it was kept.
    pub kept: Option<PathBuf>,
}

/// When a rollout halted automatically, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseHaltedView {
    pub after_s: f64,
    /// Messages received until then.
    pub taken: usize,
    pub reason: Option<String>,
    pub trouble: Option<TroubleView>,
}

/// Attempts that have node, policy, stage and TLS in common.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseAttemptsView {
    pub node: String,
    pub policy: String,
    /// `broken` or `repaired`.
    pub stage: String,
    pub tls_version: Option<String>,
    pub cipher: Option<String>,
    pub ok: u64,
    pub failed: u64,
    /// How they fail.
    pub failure: Option<String>,
}

/// One message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseMessageView {
    pub waited_s: f64,
    pub tries: u32,
}

/// The same case with self-defence of rollouts off and on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaseComparisonView {
    pub plain: CaseResultView,
    pub defended: CaseResultView,
}
