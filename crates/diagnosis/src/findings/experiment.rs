//! Experiments: a comparison shows an association; a single change that helps confirms a cause.

use std::fmt;

use protocol::tls::{CipherSuite, WireVersion};

pub use crate::causes::Aspect;
use crate::evidence::Attempt;

/// One connection of an experiment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The change, as it reads after "works"; in the first step, the settings of mail.
    pub what: String,
    pub aspects: &'static [Aspect],
    pub works: bool,
    /// What was agreed on, or how it failed.
    pub detail: String,
    /// The server's choice in a handshake that works.
    pub chose: Option<(WireVersion, CipherSuite)>,
}

/// The connections of an experiment.
#[derive(Clone, Debug)]
pub struct Tried<'a> {
    /// With the settings of mail: the connection that works, or the one that came furthest.
    pub baseline: (Step, Attempt<'a>),
    /// The same at other addresses of the host, which mail tries as well.
    pub others: Vec<(Step, Attempt<'a>)>,
    /// One change each from the baseline; the last one may work.
    pub changes: Vec<Step>,
    /// With the settings of mail, from each node that was asked.
    pub nodes: Vec<ByNode<'a>>,
    /// Where, and under what.
    pub place: String,
}

/// A probe from one node, with the same settings as mail.
#[derive(Clone, Debug)]
pub struct ByNode<'a> {
    pub node: &'a str,
    pub step: Step,
    pub attempt: Attempt<'a>,
}

/// What an experiment shows about a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It fails in the same way, and no change of another kind helps.
    Confirmed,
    /// It works with the same settings as mail.
    Refuted,
    /// It fails in another way, or a change helps that has nothing to do with this cause, or this node is not among those
    /// that fail.
    Undecided,
    /// It fails after the point at which a probe stops.
    NotTested,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
            Self::NotTested => "not-tested",
        })
    }
}

/// From the settings of mail to the smallest change that works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Experiment {
    pub verdict: Verdict,
    /// For people: why this verdict.
    pub because: String,
    /// First with the settings of mail, then one change at a time; the last one may work.
    pub steps: Vec<Step>,
    /// One probe from each node that was asked, with the same settings as mail.
    pub nodes: Vec<Step>,
    pub smallest_change: Option<String>,
    /// What the destination chose with that change. `None`: no change works, or it works without TLS.
    pub works_with: Option<(WireVersion, CipherSuite)>,
}

impl Step {
    /// Where the trouble is gone round, nothing is said of what it is.
    pub(super) fn goes_round(&self) -> bool {
        self.aspects.iter().all(|aspect| matches!(aspect, Aspect::Address | Aspect::Encryption))
    }
}
