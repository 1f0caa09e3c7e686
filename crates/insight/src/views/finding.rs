//! Views of findings, new ones and those read back from an incident's JSON.

use diagnosis::{Experiment, Finding};
use jiff::Timestamp;
use serde::Deserialize;

/// The shown parts of a finding. A key that another version did not write is empty.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct FindingView {
    pub cause: String,
    pub confidence: f64,
    pub summary: String,
    pub messages_pending: u64,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    pub evidence: Vec<PieceView>,
    pub remedy: Vec<RemedyView>,
    pub check: String,
    pub experiment: Option<ExperimentView>,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct ExperimentView {
    pub verdict: String,
    pub steps: Vec<StepView>,
    pub nodes: Vec<StepView>,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct StepView {
    pub what: String,
    pub works: bool,
    pub detail: String,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct PieceView {
    pub what: String,
    #[serde(rename = "where")]
    pub place: String,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct RemedyView {
    pub side: String,
    pub action: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let piece = |piece: &diagnosis::Piece| PieceView { what: piece.what.clone(), place: piece.place.clone() };
        let remedy =
            |remedy: &diagnosis::Remedy| RemedyView { side: remedy.side.to_string(), action: remedy.action.clone() };
        Self {
            cause: finding.cause.to_owned(),
            confidence: finding.confidence,
            summary: finding.summary.clone(),
            messages_pending: finding.messages_pending,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            evidence: finding.evidence.iter().map(piece).collect(),
            remedy: finding.remedy.iter().map(remedy).collect(),
            check: finding.check.clone(),
            experiment: finding.experiment.as_ref().map(ExperimentView::from),
        }
    }
}

impl From<&Experiment> for ExperimentView {
    fn from(experiment: &Experiment) -> Self {
        let step = |step: &diagnosis::experiment::Step| StepView {
            what: step.what.clone(),
            works: step.works,
            detail: step.detail.clone(),
        };
        Self {
            verdict: experiment.verdict.to_string(),
            steps: experiment.steps.iter().map(step).collect(),
            nodes: experiment.nodes.iter().map(step).collect(),
        }
    }
}
