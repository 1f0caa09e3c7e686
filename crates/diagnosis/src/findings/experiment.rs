//! Experiments: comparison shows association; that a single change helps, or that none is needed, makes or breaks a cause.

use std::fmt;

pub use crate::causes::Aspect;
use crate::evidence::Attempt;

/// One connection of an experiment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The change, as it reads on after "works"; of the first step, how mail goes.
    pub what: String,
    pub aspects: &'static [Aspect],
    pub works: bool,
    /// What was agreed on, or how it failed.
    pub detail: String,
}

/// How mail goes from one node.
#[derive(Clone, Debug)]
pub struct ByNode<'a> {
    pub node: &'a str,
    pub step: Step,
    pub attempt: Attempt<'a>,
}

/// What an experiment says of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It fails in the same way, and no change of another kind helps.
    Confirmed,
    /// It works just as mail goes.
    Refuted,
    /// It fails in another way, or a change helps that has nothing to do with this cause, or this node is not among those
    /// that fail.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
        })
    }
}

/// From how mail goes to the smallest change that works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Experiment {
    pub verdict: Verdict,
    /// For people: why this verdict.
    pub because: String,
    /// How mail goes first, then one change at a time; the last one may work.
    pub steps: Vec<Step>,
    /// How mail goes from each node that was asked.
    pub nodes: Vec<Step>,
    pub smallest_change: Option<String>,
}

impl Step {
    /// Where the trouble is gone round, nothing is said of what it is.
    pub(super) fn goes_round(&self) -> bool {
        self.aspects.iter().all(|aspect| matches!(aspect, Aspect::Address | Aspect::Encryption))
    }
}
