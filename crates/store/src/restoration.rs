//! After a restore from a backup: what was noticed, what is held until somebody answers, and the answer.
//!
//! A restored queue has deliveries that were made after the backup. They are suspended under the name [`RESTORE`], which is
//! nobody's, until an operator says what is to become of them.

use jiff::Timestamp;

/// Who suspends what a restored queue has. An identifier: no operator has a name with a space.
pub(crate) const RESTORE: &str = "gatepost restore";

/// That a store shows an older state than it had, or is a copy, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restoration {
    /// Counts from 1.
    pub number: u64,
    /// When it was noticed, by the store's clock, like all times here.
    pub at: Timestamp,
    /// When a node was heard last, in what was restored: about the time of the backup. `None`: no node had ever joined.
    pub state_of: Option<Timestamp>,
    /// The node that knows of a later state, and when that was confirmed to it. `None`: the database is on another server than
    /// before.
    pub known: Option<(String, Timestamp)>,
    /// Deliveries that were held then.
    pub held: u64,
    pub answer: Option<RestorationAnswer>,
}

/// What an operator has said, and when. The first answer counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestorationAnswer {
    pub at: Timestamp,
    pub by: String,
    pub decision: RestorationDecision,
}

/// What is to become of the deliveries that are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestorationDecision {
    /// All of them stay suspended, like other suspended mail.
    Hold,
    /// Those of messages that were received at this time or later are delivered. The others stay suspended.
    DeliverSince(Timestamp),
}

/// What came of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// With the answer that counts.
    pub restoration: Restoration,
    /// False if somebody had answered before; what that had left undone is done now.
    pub is_first: bool,
    /// Deliveries that are due now.
    pub resumed: u64,
}
