//! Incidents: mail that is stuck, from when a review found it to when it flows again, with its picture and notes, and the
//! webhook calls about them.

use std::{fmt, future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Result;

/// Incidents, and the calls that announce them.
pub trait Incidents {
    /// Stores incidents as a review left them, in this order, and the webhook calls about them; one transaction. False if
    /// the turn has passed to another review: nothing was changed then.
    fn note_incidents(
        &self,
        turn: u64,
        incidents: Vec<Incident>,
        calls: Vec<WebhookCall>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Open incidents first, then those that were closed last.
    fn incidents(&self, limit: u32) -> impl Future<Output = Result<Vec<Incident>>> + Send;

    fn incident(&self, id: Uuid) -> impl Future<Output = Result<Option<Incident>>> + Send;

    /// Keeps what the pictures of an incident are drawn from, in JSON, in the place of what was kept before.
    fn keep_picture(&self, incident: Uuid, picture: String) -> impl Future<Output = Result<()>> + Send;

    /// `None`: none was kept.
    fn picture(&self, incident: Uuid) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Adds a note to an incident. Its time is the store's.
    fn add_note(&self, incident: Uuid, who: &str, text: &str) -> impl Future<Output = Result<NoteAdded>> + Send;

    /// In order of time. They are deleted with the incident.
    fn notes(&self, incident: Uuid) -> impl Future<Output = Result<Vec<IncidentNote>>> + Send;

    /// Calls that are due, the first of each incident only. A call that is not settled is due once more after `again`.
    fn claim_calls(&self, again: Duration, limit: u32) -> impl Future<Output = Result<Vec<WebhookCall>>> + Send;

    /// After an attempt: the call is due once more after that time, or is over.
    fn settle_call(&self, id: Uuid, due_in: Option<Duration>) -> impl Future<Output = Result<()>> + Send;
}

/// Stuck mail of one connector, by one cause. One of them is open at a time in the whole fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incident {
    pub id: Uuid,
    pub connector: String,
    /// Host and port, or the connector where it holds for several of its hosts.
    pub destination: String,
    /// Id in the cause catalogue.
    pub cause: String,
    /// Who opened it.
    pub node: String,
    pub opened: Timestamp,
    pub last_seen: Timestamp,
    pub closed: Option<(Timestamp, Closed)>,
    /// Messages of the connector that were pending when it was last seen, and the most there were.
    pub pending: u64,
    pub pending_peak: u64,
    /// When the oldest of them was received.
    pub oldest: Option<Timestamp>,
    /// The finding when it was last seen, or as it ended, in JSON: opaque here.
    pub finding: String,
}

/// Why an incident is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// No message is stuck because of it any more, and others were delivered since.
    MailFlows,
    /// No message is stuck because of it any more: they were removed or have expired, and none was delivered.
    NothingPending,
    /// Mail is still stuck, but by another cause, which has an incident of its own.
    CauseChanged,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MailFlows => "mail-flows",
            Self::NothingPending => "nothing-pending",
            Self::CauseChanged => "cause-changed",
        })
    }
}

/// What somebody has written about an incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncidentNote {
    pub id: Uuid,
    pub at: Timestamp,
    pub who: String,
    pub text: String,
}

/// Maximum number of characters of a note, which its writer must keep to; and of notes of one incident.
pub const NOTE_CHARACTERS_MAX: usize = 2000;
pub(crate) const NOTES_MAX: u32 = 200;

/// What came of [`Incidents::add_note`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoteAdded {
    Added,
    NoIncident,
    /// It has as many notes as one may have.
    Full,
}

/// A call of the webhook that has not been taken yet. A new one is due at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookCall {
    /// The same at each attempt, so that a receiver can tell a second one from a second event.
    pub id: Uuid,
    /// Calls of one incident are made in their order.
    pub incident: Uuid,
    /// JSON, as it is sent.
    pub body: String,
    pub attempts: u32,
}
