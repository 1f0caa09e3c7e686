//! The states of a delivery and what leads from one to another: rules that every engine keeps.
//!
//! ```text
//!   accept ──> queued ──claim──> leased ──settle──> delivered | failed
//!                ^  └──remove──────────────────────> removed
//!                ├──── deferred, returned ──┤  settle
//!                └──── lease ends ──────────┘  its node died
//!
//!   suspend: queued ──> suspended ──resume──> queued; a leased delivery is suspended when it comes back
//! ```

use std::time::Duration;

use jiff::Timestamp;
use protocol::smtp::{Failure, Reply};
use serde::{Deserialize, Serialize};
use trace::EventKind;

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Queued,
    Leased,
    Suspended,
    Delivered,
    Failed,
    Removed,
}

/// The result of working on a delivery. Waits count from when the store records them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Delivered {
        reply: Reply,
        at: Timestamp,
    },
    Failed {
        failure: Failure,
        at: Timestamp,
    },
    /// The attempt failed and another one follows: its failure becomes the original cause.
    Deferred {
        failure: Failure,
        due_in: Duration,
        review_in: Duration,
        delay_notified: bool,
    },
    /// No attempt was made: due time, attempts and cause stay as they were.
    Returned {
        review_in: Option<Duration>,
        delay_notified: bool,
    },
    /// No attempt was made, and none is made before it is due. The failure is the one for which others of the same
    /// destination wait; it becomes the cause where the delivery has none of its own.
    Postponed {
        due_in: Duration,
        failure: Option<Failure>,
    },
}

/// What an outcome changes in a delivery. `None` leaves a value as it was.
#[derive(Default)]
pub(crate) struct Change<'a> {
    /// The state in which the delivery ends, and when; `None`: it goes back to the queue, suspended if an operator has
    /// suspended it meanwhile.
    pub(crate) end: Option<(State, Timestamp)>,
    pub(crate) reply: Option<&'a Reply>,
    pub(crate) failure: Option<&'a Failure>,
    /// The failure is only for a delivery that has none.
    pub(crate) keeps_failure: bool,
    pub(crate) due_in: Option<Duration>,
    pub(crate) review_in: Option<Duration>,
    pub(crate) delay_notified: Option<bool>,
    pub(crate) is_attempt: bool,
}

impl Outcome {
    /// True if the delivery is finished with it.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Failed { .. })
    }

    /// The destination's answer to the attempt.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Delivered { reply, .. } => Some(reply),
            Self::Deferred { failure, .. } | Self::Failed { failure, .. } => failure.reply.as_ref(),
            Self::Returned { .. } | Self::Postponed { .. } => None,
        }
    }

    pub(crate) fn change(&self) -> Change<'_> {
        match self {
            Self::Delivered { reply, at } => {
                Change { end: Some((State::Delivered, *at)), reply: Some(reply), ..Change::default() }
            }
            Self::Failed { failure, at } => {
                Change { end: Some((State::Failed, *at)), failure: Some(failure), ..Change::default() }
            }
            Self::Deferred { failure, due_in, review_in, delay_notified } => Change {
                failure: Some(failure),
                due_in: Some(*due_in),
                review_in: Some(*review_in),
                delay_notified: Some(*delay_notified),
                is_attempt: true,
                ..Change::default()
            },
            Self::Returned { review_in, delay_notified } => {
                Change { review_in: *review_in, delay_notified: Some(*delay_notified), ..Change::default() }
            }
            Self::Postponed { due_in, failure } => {
                Change { due_in: Some(*due_in), failure: failure.as_ref(), keeps_failure: true, ..Change::default() }
            }
        }
    }
}

/// What an operator wants done with deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Due now.
    Retry,
    /// Not tried until resumed.
    Suspend,
    Resume,
    /// Deleted without a notice.
    Remove,
}

/// What an operator's command does to a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    DueNow,
    Suspend,
    /// The attempt under way is not cut; the delivery is suspended if it comes back.
    SuspendLater,
    /// Queued again, and due now.
    Resume,
    /// It is being attempted, and will not be suspended when it comes back.
    SuspendNoMore,
    Remove,
    /// Nothing, because a node is working on it.
    Leased,
    Nothing,
}

impl Command {
    pub(crate) fn effect(self, state: State) -> Effect {
        match (self, state) {
            (Self::Retry, State::Queued) => Effect::DueNow,
            (Self::Suspend, State::Queued) => Effect::Suspend,
            (Self::Suspend, State::Leased) => Effect::SuspendLater,
            (Self::Resume, State::Suspended) => Effect::Resume,
            (Self::Resume, State::Leased) => Effect::SuspendNoMore,
            (Self::Remove, State::Queued | State::Suspended) => Effect::Remove,
            (Self::Retry | Self::Remove, State::Leased) => Effect::Leased,
            (Self::Retry, State::Suspended)
            | (Self::Suspend, State::Suspended)
            | (Self::Resume, State::Queued)
            | (_, State::Delivered | State::Failed | State::Removed) => Effect::Nothing,
        }
    }

    pub(crate) fn event(self, by: &str) -> EventKind {
        let by = by.to_owned();
        match self {
            Self::Retry => EventKind::Retried { by },
            Self::Suspend => EventKind::Suspended { by },
            Self::Resume => EventKind::Resumed { by },
            Self::Remove => EventKind::Removed { by },
        }
    }
}
