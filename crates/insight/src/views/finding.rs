//! Views of findings, new ones and those read back from an incident's JSON.

use diagnosis::{
    Change, Compared, Everywhere, Experiment, Finding, Over, OverviewRow, Piece, Remedy, Scope, Split, State,
    experiment::Step,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

const ONGOING: &str = "ongoing";
const OVER: &str = "over";

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
    /// `ongoing` or `over`.
    pub state: String,
    /// How it ended, if it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<OverView>,
    pub scope: ScopeView,
    /// The source tells messages apart; if not, the next three numbers say nothing.
    pub messages_known: bool,
    /// Messages whose last attempt failed by this, and which may still be delivered.
    pub messages_pending: u64,
    /// Messages that bounced because of this.
    pub messages_bounced: u64,
    /// Messages that an operator removed from the queue while they waited because of this.
    pub messages_removed: u64,
    /// When the first of those failed for the first time.
    #[schemars(schema_with = "schema::time_or_null")]
    pub pending_since: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub first_seen: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub last_seen: Option<Timestamp>,
    /// One sentence that an operator understands.
    pub summary: String,
    /// Its beginning: for whom delivery fails, and how.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub headline: String,
    /// Its rest: how many attempts failed and worked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub numbers: String,
    /// The strictest built-in TLS policy under which mail would get through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_policy: Option<String>,
    pub evidence: Vec<PieceView>,
    pub remedy: Vec<RemedyView>,
    /// The command that verifies it.
    pub check: String,
    /// What a probe showed, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentView>,
}

/// The end of a finding.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OverView {
    /// When the first attempt worked after the last failure.
    #[schemars(schema_with = "schema::time_or_null")]
    pub since: Option<Timestamp>,
    /// Attempts that worked after the last failure.
    pub worked: u64,
    /// What else changed at that moment.
    pub changes: Vec<ChangeView>,
    /// Messages that had failed by this, and how many of them left in plaintext in the end.
    pub messages: u64,
    pub messages_in_plaintext: u64,
}

/// Something that changed when a finding ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangeView {
    /// `tls-policy`, `certificate`, `destination-address`, `tls` or `plaintext`.
    pub change: String,
    /// The same in words.
    pub what: String,
}

/// All findings of one cause.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OverviewView {
    pub cause: String,
    /// The highest of all.
    pub confidence: f64,
    /// `ongoing` if one of them is, or `over`.
    pub state: String,
    /// Usually it ends without anybody's help.
    pub passes_by_itself: bool,
    pub findings: u64,
    pub destinations: u64,
    /// Attempts that failed by it.
    pub attempts: u64,
    /// The source tells messages apart; if not, the next two numbers say nothing.
    pub messages_known: bool,
    pub messages_pending: u64,
    pub messages_bounced: u64,
    #[schemars(schema_with = "schema::time_or_null")]
    pub first_seen: Option<Timestamp>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub last_seen: Option<Timestamp>,
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
    /// Destinations of the attempts that failed by it.
    pub destinations: u64,
    /// It fails at all destinations, which makes it a fault on this side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<EverywhereView>,
    /// What separates failing from working attempts; absent where nothing does, or all fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitView>,
    /// Every dimension along which attempts were compared; empty where all fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<ComparedView>,
    /// What all attempts that work have in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub works_with: Option<String>,
}

/// What came of comparing attempts along one dimension.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ComparedView {
    /// `separates`, `also-separates`, `so-far`, `not-enough-attempts`, `no-difference`, `other-causes`, `past`,
    /// `one-value`, `not-observed` or `too-many-values`.
    pub outcome: String,
    /// The clearest division; its lists and numbers are empty and `p_value` is 1 if there was nothing to divide.
    #[serde(flatten)]
    pub split: SplitView,
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
    /// `destination`, `gateway`, `network`, or for mail that comes in `sender`.
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
            state: if finding.is_ongoing() { ONGOING } else { OVER }.to_owned(),
            over: match &finding.state {
                State::Over(over) => Some(OverView::from(over)),
                State::Ongoing => None,
            },
            messages_known: finding.messages_known,
            messages_pending: finding.messages_pending,
            messages_bounced: finding.messages_bounced,
            messages_removed: finding.messages_removed,
            pending_since: finding.pending_since,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            summary: finding.summary.clone(),
            headline: finding.title(),
            numbers: finding.numbers(),
            tls_policy: finding.tls_policy().map(str::to_owned),
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
            destinations: scope.destinations,
            everywhere: scope.everywhere.as_ref().map(EverywhereView::from),
            split: scope.split.as_ref().map(SplitView::from),
            compared: scope.compared.iter().map(ComparedView::from).collect(),
            works_with: scope.works_with.clone(),
        }
    }
}

impl From<&Compared> for ComparedView {
    fn from(compared: &Compared) -> Self {
        let nothing = || SplitView { dimension: compared.dimension_name(), p_value: 1.0, ..SplitView::default() };
        Self {
            outcome: compared.outcome.name().to_owned(),
            split: compared.split.as_ref().map_or_else(nothing, SplitView::from),
        }
    }
}

impl From<&Over> for OverView {
    fn from(over: &Over) -> Self {
        let change = |change: &Change| ChangeView { change: change.name().to_owned(), what: change.to_string() };
        Self {
            since: Some(over.since),
            worked: over.worked,
            changes: over.changes.iter().map(change).collect(),
            messages: over.messages,
            messages_in_plaintext: over.plaintext,
        }
    }
}

impl From<&OverviewRow> for OverviewView {
    fn from(row: &OverviewRow) -> Self {
        Self {
            cause: row.cause.to_string(),
            confidence: row.confidence,
            state: if row.is_ongoing { ONGOING } else { OVER }.to_owned(),
            passes_by_itself: row.cause.passes_by_itself(),
            findings: row.findings,
            destinations: row.destinations,
            attempts: row.attempts,
            messages_known: row.messages_known,
            messages_pending: row.messages_pending,
            messages_bounced: row.messages_bounced,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
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
