//! Findings: a cause, how sure it is, whom it holds for, how that is known, and what to do.

use jiff::Timestamp;
use protocol::tls::TlsPolicy;

use super::{everywhere::Everywhere, experiment::Experiment, state::State};
use crate::{
    causes::{CauseId, Remedy, Situation},
    comparison::{Compared, Outcome, Split},
    evidence::{Example, Source},
};

/// What keeps mail from flowing.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    pub cause: CauseId,
    pub severity: Severity,
    /// From 0 to 1.
    pub confidence: f64,
    pub state: State,
    pub scope: Scope,
    /// The source tells messages apart; without that, the next three numbers say nothing.
    pub messages_known: bool,
    /// Messages whose last attempt failed by this, and which may still be delivered.
    pub messages_pending: u64,
    /// Messages that bounced because of this.
    pub messages_bounced: u64,
    /// Messages that an operator removed from the queue while they waited because of this.
    pub messages_removed: u64,
    /// When the first of those failed for the first time.
    pub pending_since: Option<Timestamp>,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    /// One sentence that an operator understands.
    pub summary: String,
    pub evidence: Vec<Piece>,
    pub remedy: Vec<Remedy>,
    /// What the remedies were chosen by.
    pub situation: Situation,
    /// The command that verifies it.
    pub check: String,
    /// What a probe showed, where one was made.
    pub experiment: Option<Experiment>,
}

/// What a finding means for mail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Mail waits or bounces.
    Stuck,
    /// Mail was delivered, but not as it should be.
    Warning,
}

impl Severity {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Warning => "warning",
        }
    }
}

/// A finding above this is a root cause; below it is only possible.
const ROOT_CAUSE: f64 = 0.5;

impl Finding {
    /// A warning is never the root cause of stuck mail.
    pub fn is_root_cause(&self) -> bool {
        self.severity == Severity::Stuck && self.confidence > ROOT_CAUSE
    }
}

impl Finding {
    /// A probe has shown that this TLS version and cipher suite work: the remedies name the strictest policy with both.
    pub fn works_with(&mut self, version: &str, suite: &str) {
        if let Some(policy) = TlsPolicy::strictest_with(version, suite) {
            self.situation.policy = Some(policy.name);
            self.remedy = self.cause.cause().remedies(&self.situation);
        }
    }

    /// The strictest built-in TLS policy under which mail would get through.
    pub fn tls_policy(&self) -> Option<&str> {
        self.situation.policy.as_deref()
    }

    pub fn is_ongoing(&self) -> bool {
        self.state == State::Ongoing
    }
}

/// Whom it holds for.
#[derive(Clone, PartialEq, Debug)]
pub struct Scope {
    /// Host and port, or the connector where it holds for all of its hosts.
    pub destination: String,
    /// The connector of the mail, if the source has it.
    pub connector: Option<String>,
    /// Attempts that failed by it, and all attempts there.
    pub failed: u64,
    pub attempts: u64,
    /// Of these, attempts that failed by another cause.
    pub failed_otherwise: u64,
    /// Destinations of the attempts that failed by it; at least 1.
    pub destinations: u64,
    /// It fails at all destinations, which makes it a fault on this side.
    pub everywhere: Option<Everywhere>,
    /// The difference between failed and working attempts; absent if there is none, or all fail.
    pub split: Option<Split>,
    /// Every dimension along which attempts were compared; empty if all fail.
    pub compared: Vec<Compared>,
    /// What all that works has in common.
    pub works_with: Option<String>,
}

impl Scope {
    /// The comparison that shows the difference, or else what is one so far.
    pub(crate) fn best(&self) -> Option<&Compared> {
        let of = |outcome| self.compared.iter().find(|compared| compared.outcome == outcome);
        of(Outcome::Separates).or_else(|| of(Outcome::SoFar))
    }

    /// The difference as far as few attempts show one; it may be a coincidence.
    pub fn so_far(&self) -> Option<&Split> {
        self.compared.iter().find(|compared| compared.outcome == Outcome::SoFar)?.split.as_ref()
    }
}

/// Something to look at.
#[derive(Clone, PartialEq, Debug)]
pub struct Piece {
    pub what: String,
    pub source: Source,
    /// Where to find it: a session, a file's line, a stream.
    pub place: String,
}

impl Piece {
    pub(super) fn of(example: &Example) -> Self {
        Self { what: example.text.clone(), source: example.source, place: example.place.clone() }
    }
}
