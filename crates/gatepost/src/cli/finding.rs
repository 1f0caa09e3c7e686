//! Findings for people, whether they were made just now or are read back from an incident's JSON.

use std::io::{self, Write};

use diagnosis::{Experiment, Finding};
use jiff::Timestamp;
use serde::Deserialize;

use super::screen::{Colour, Screen, clean, paragraph};

/// What is shown of a finding. A key that another version did not write is empty.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub(crate) struct FindingView {
    cause: String,
    confidence: f64,
    summary: String,
    messages_pending: u64,
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    evidence: Vec<PieceView>,
    remedy: Vec<RemedyView>,
    check: String,
    experiment: Option<ExperimentView>,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
struct ExperimentView {
    verdict: String,
    steps: Vec<StepView>,
    nodes: Vec<StepView>,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
struct StepView {
    what: String,
    works: bool,
    detail: String,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
struct PieceView {
    what: String,
    #[serde(rename = "where")]
    place: String,
}

#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
struct RemedyView {
    side: String,
    action: String,
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

impl FindingView {
    /// `1. handshake-reset, 97 % sure`.
    pub(crate) fn write_title(&self, number: usize, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
        let sure = self.confidence * 100.0;
        let title = format!("{number}. {}, {sure:.0} % sure", clean(&self.cause));
        writeln!(out, "{}", screen.paint(&title, Some(Colour::Bold)))
    }

    pub(crate) fn write(&self, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
        paragraph(&self.summary, "   ", screen, out)?;
        if let (Some(first), Some(last)) = (self.first_seen, self.last_seen) {
            let seen = format!(
                "Seen from {} to {}; {} pending.",
                screen.time(first),
                screen.time(last),
                self.messages_pending
            );
            paragraph(&seen, "   ", screen, out)?;
        }
        if !self.evidence.is_empty() {
            writeln!(out, "\n   Evidence")?;
            for piece in &self.evidence {
                paragraph(&format!("- {} ({})", piece.what, piece.place), "     ", screen, out)?;
            }
        }
        if let Some(experiment) = &self.experiment {
            writeln!(out, "\n   Probe: {}", clean(&experiment.verdict))?;
            for step in experiment.steps.iter().chain(&experiment.nodes) {
                let works = if step.works { "works" } else { "fails" };
                paragraph(&format!("- {works} {}: {}", step.what, step.detail), "     ", screen, out)?;
            }
        }
        writeln!(out, "\n   Remedy")?;
        for remedy in &self.remedy {
            paragraph(&format!("- {}: {}", remedy.side, remedy.action), "     ", screen, out)?;
        }
        writeln!(out, "\n   Verify\n     {}", clean(&self.check))
    }
}
