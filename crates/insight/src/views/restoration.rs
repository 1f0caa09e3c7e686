//! The view of a restore of the fleet's database, and of the answer to it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Answered, Restoration, RestorationDecision};

use super::schema;

/// A restore that a node noticed, as in `store check`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RestorationView {
    /// Counts restores from 1.
    pub number: u64,
    #[schemars(schema_with = "schema::time")]
    pub noticed: Timestamp,
    /// When a node was heard last in what was restored, about the time of the backup; null if none had joined.
    #[schemars(schema_with = "schema::time_or_null")]
    pub state_of: Option<Timestamp>,
    /// A node to which a later state was confirmed, and when; null if the database is on another server.
    pub known_by: Option<String>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub known_until: Option<Timestamp>,
    /// Deliveries that were held then.
    pub held: u64,
    /// When somebody said what is to become of them; null while they are held.
    #[schemars(schema_with = "schema::time_or_null")]
    pub answered: Option<Timestamp>,
    pub answered_by: Option<String>,
    /// What was received since then is delivered; null if all stays suspended.
    #[schemars(schema_with = "schema::time_or_null")]
    pub deliver_since: Option<Timestamp>,
}

/// What came of an answer, as in `store restored`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AnsweredView {
    #[serde(flatten)]
    pub restoration: RestorationView,
    /// False: somebody had answered before, and that counts.
    pub first: bool,
    /// Deliveries that are due now.
    pub resumed: u64,
}

impl From<&Restoration> for RestorationView {
    fn from(restoration: &Restoration) -> Self {
        let Restoration { number, at, state_of, known, held, answer } = restoration.clone();
        let (known_by, known_until) = known.unzip();
        let deliver_since = answer.as_ref().and_then(|answer| match answer.decision {
            RestorationDecision::Hold => None,
            RestorationDecision::DeliverSince(since) => Some(since),
        });
        let (answered, answered_by) = answer.map(|answer| (answer.at, answer.by)).unzip();
        Self { number, noticed: at, state_of, known_by, known_until, held, answered, answered_by, deliver_since }
    }
}

impl From<&Answered> for AnsweredView {
    fn from(answered: &Answered) -> Self {
        let Answered { restoration, is_first, resumed } = answered;
        Self { restoration: restoration.into(), first: *is_first, resumed: *resumed }
    }
}
