//! Views of findings, new ones and those read back from an incident's JSON.

use diagnosis::{Everywhere, Experiment, Finding, Piece, Remedy, Scope, Split, experiment::Step};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A finding. A key that another version did not write is empty.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FindingView {
    /// Id in the cause catalogue.
    pub cause: String,
    /// `stuck`: mail waits or bounces. `warning`: mail was delivered, but not as it should be.
    pub severity: String,
    /// From 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    pub scope: ScopeView,
    /// Messages whose last attempt failed by this, and which may still be delivered.
    pub messages_pending: u64,
    /// When the first of those failed for the first time.
    #[schemars(schema_with = "schema::time_or_null")]
    pub pending_since: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub first_seen: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub last_seen: Option<Timestamp>,
    /// One sentence that an operator understands.
    pub summary: String,
    pub evidence: Vec<PieceView>,
    pub remedy: Vec<RemedyView>,
    /// The command that verifies it.
    pub check: String,
    /// What a probe showed, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentView>,
}

/// Whom a finding holds for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScopeView {
    /// Host and port, or the connector where it holds for all of its hosts.
    pub destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Attempts that failed by it, and all attempts there.
    pub failed: u64,
    pub attempts: u64,
    /// It fails at all destinations, which makes it a fault on this side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<EverywhereView>,
    /// What separates failing from working attempts; absent where nothing does, or all fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitView>,
    /// What all attempts that work have in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub works_with: Option<String>,
}

/// The destinations of a cause that fails at all of them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EverywhereView {
    /// How many, with the hosts of one organisation counted once.
    pub destinations: u64,
    /// Those with the most failures.
    pub named: Vec<String>,
}

/// What separates failing from working attempts.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SplitView {
    /// Such as `tls-policy`; two are joined by `+`.
    pub dimension: String,
    pub fails: Vec<String>,
    pub works: Vec<String>,
    /// Attempts on the failing side that failed, and how many there are.
    pub failed: u64,
    pub of: u64,
    /// Attempts on the working side that worked, and how many there are.
    pub worked: u64,
    pub of_works: u64,
    /// Probability of such a difference by chance.
    pub p_value: f64,
}

/// One observed fact, and where to find it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PieceView {
    pub what: String,
    /// Such as `history` or `capture`.
    pub source: String,
    /// A session, a file's line, a stream.
    #[serde(rename = "where")]
    pub place: String,
}

/// What one side can do.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RemedyView {
    /// `destination`, `gateway` or `network`.
    pub side: String,
    pub action: String,
}

/// What a probe showed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExperimentView {
    /// `confirmed`, `refuted`, `undecided` or `not-tested`.
    pub verdict: String,
    /// Why, in words.
    pub because: String,
    /// First with the same settings as mail, then with one change at a time.
    pub steps: Vec<StepView>,
    /// With the same settings as mail, from each node that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<StepView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_change: Option<String>,
}

/// One connection of a probe.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StepView {
    pub what: String,
    pub works: bool,
    /// What was negotiated, or how it failed.
    pub detail: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            cause: finding.cause.to_string(),
            severity: finding.severity.name().to_owned(),
            confidence: finding.confidence,
            scope: ScopeView::from(&finding.scope),
            messages_pending: finding.messages_pending,
            pending_since: finding.pending_since,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            summary: finding.summary.clone(),
            evidence: finding.evidence.iter().map(PieceView::from).collect(),
            remedy: finding.remedy.iter().map(RemedyView::from).collect(),
            check: finding.check.clone(),
            experiment: finding.experiment.as_ref().map(ExperimentView::from),
        }
    }
}

impl From<&Scope> for ScopeView {
    fn from(scope: &Scope) -> Self {
        Self {
            destination: scope.destination.clone(),
            connector: scope.connector.clone(),
            failed: scope.failed,
            attempts: scope.attempts,
            everywhere: scope.everywhere.as_ref().map(EverywhereView::from),
            split: scope.split.as_ref().map(SplitView::from),
            works_with: scope.works_with.clone(),
        }
    }
}

impl From<&Everywhere> for EverywhereView {
    fn from(everywhere: &Everywhere) -> Self {
        Self { destinations: everywhere.destinations, named: everywhere.named.clone() }
    }
}

impl From<&Split> for SplitView {
    fn from(split: &Split) -> Self {
        Self {
            dimension: split.dimension_name(),
            fails: split.fails.clone(),
            works: split.works.clone(),
            failed: split.failed,
            of: split.of,
            worked: split.worked,
            of_works: split.of_works,
            p_value: split.p_value,
        }
    }
}

impl From<&Piece> for PieceView {
    fn from(piece: &Piece) -> Self {
        Self { what: piece.what.clone(), source: piece.source.name().to_owned(), place: piece.place.clone() }
    }
}

impl From<&Remedy> for RemedyView {
    fn from(remedy: &Remedy) -> Self {
        Self { side: remedy.side.to_string(), action: remedy.action.clone() }
    }
}

impl From<&Experiment> for ExperimentView {
    fn from(experiment: &Experiment) -> Self {
        Self {
            verdict: experiment.verdict.to_string(),
            because: experiment.because.clone(),
            steps: experiment.steps.iter().map(StepView::from).collect(),
            nodes: experiment.nodes.iter().map(StepView::from).collect(),
            smallest_change: experiment.smallest_change.clone(),
        }
    }
}

impl From<&Step> for StepView {
    fn from(step: &Step) -> Self {
        Self { what: step.what.clone(), works: step.works, detail: step.detail.clone() }
    }
}
