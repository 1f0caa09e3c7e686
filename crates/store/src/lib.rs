//! The durable queue, the history of its mail and the fleet's state. All SQL is in this crate.
//!
//! A delivery's life, in the words of [`State`]:
//!
//! ```text
//!   accept ──> queued ──claim──> leased ──settle──> delivered | failed | removed
//!                ^                  │
//!                ├──── deferred ────┤  settle
//!                └──── lease ends ──┘  its node died
//! ```
//!
//! Invariants: what `accept` returned for is durable. Only the node whose lease is unexpired settles a delivery.
//! Every change of state is written in one transaction with the events that tell of it. A body exists as long as one
//! of its deliveries may still be sent, or its sender is to be told of one.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod fold;
mod incident;
mod inquiry;
mod search;
mod sqlite;
mod types;

pub use fold::QueueRow;
pub use incident::*;
pub use inquiry::*;
pub use search::*;
pub use sqlite::{Restored, SqliteStore};
pub use types::*;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use trace::{Event, NextStep};
use uuid::Uuid;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room to write. Nothing was changed, and it works again by itself when there is room.
    #[error("the disk of the data folder is full; make room there")]
    Full,
    /// Another process serves from this data folder.
    #[error("the data folder {folder} is held by another process ({holder}); stop it, or choose another [node] data")]
    Held { folder: String, holder: String },
    #[error("{file} has schema version {found}, and this program knows versions up to {known}; use a newer gatepost")]
    Newer { file: String, found: u32, known: u32 },
    #[error("{file} is damaged ({detail}); restore it from a backup, or move it away to start with an empty queue")]
    Damaged { file: String, detail: String },
    /// The file is not there and was not to be made.
    #[error("there is no store at {file}; start a node there first: {}", NextStep::Serve)]
    Missing { file: String },
    /// The folder had a store, and what is left of it is not all.
    #[error(
        "{what}; put it back, or restore a backup (gatepost restore FOLDER). To go on without it, and lose the mail \
         that was in it: gatepost serve --accept-loss"
    )]
    Lost { what: String },
    /// The files that this process has open are no longer those of the data folder.
    #[error(
        "{file} was moved, removed or replaced under the running process ({detail}); put it back, or restart the node"
    )]
    Gone { file: String, detail: String },
    #[error("{file} cannot be read ({detail}); run this command as the user that the node runs as")]
    Unreadable { file: String, detail: String },
    #[error("{0}")]
    Other(String),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The queue as nodes use it. Shaped for batches: concurrent calls share one commit.
pub trait Store: Clone + Send + Sync + 'static {
    /// Writes one piece of a body that is too large for [`Body::Inline`]. Pieces come in order, from 0.
    /// Durable no later than the `accept` that names the body.
    fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// How much room there is, as far as is known without asking.
    fn room(&self) -> Room;

    /// A key for a body that will be written piece by piece. Unaccepted bodies are swept when their node starts.
    fn new_body(&self) -> BodyKey;

    /// Deletes the pieces of a body that will not be accepted.
    fn discard_body(&self, body: BodyKey) -> impl Future<Output = Result<()>> + Send;

    /// Puts a message and its deliveries into the queue, with its events. Durable before it returns: only then may the
    /// session say 250. With a lease, its deliveries are born leased, so that this node can send them at once.
    fn accept(
        &self,
        message: NewMessage,
        lease: Option<Lease>,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<Accepted>> + Send;

    /// Leases up to `limit` deliveries of one connector that are due, the longest due first, grouped by message.
    /// Its cost does not grow with the queue.
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<Vec<Claimed>>> + Send;

    /// Leases up to `limit` queued deliveries of any connector whose review time has come (delay notice or expiry).
    fn claim_for_review(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Claimed>>> + Send;

    /// Extends leases; returns those that this node no longer holds.
    fn renew(
        &self,
        lease: Lease,
        deliveries: Vec<DeliveryKey>,
    ) -> impl Future<Output = Result<Vec<DeliveryKey>>> + Send;

    /// Records results and the notices that are owed, and frees bodies that nobody needs; one transaction. Returns
    /// the deliveries whose lease this node had lost: nothing was changed for them, though their events are kept.
    fn settle(&self, node: &str, settlements: Vec<Settlement>)
    -> impl Future<Output = Result<Vec<DeliveryKey>>> + Send;

    /// Up to `limit` messages whose senders are to be told something now: nothing else of the message is being sent or
    /// due for its first attempt at `now`, so that one notice tells all, or a notice has been owed since `waited_since`.
    fn untold(
        &self,
        now: Timestamp,
        waited_since: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Untold>>> + Send;

    /// Queues a notice with its events, or withholds it where its address has had too many. Nodes may try the same at
    /// once; it happens once.
    fn tell(&self, node: &str, telling: Telling, at: Timestamp) -> impl Future<Output = Result<Told>> + Send;

    /// Takes back what this node had leased before it stopped, with an `Interrupted` event each. Returns how many.
    fn recover(&self, node: &str, now: Timestamp) -> impl Future<Output = Result<u64>> + Send;

    /// Ends the leases that died with other nodes, with an `Interrupted` event each. Returns how many.
    fn expire_leases(&self, now: Timestamp) -> impl Future<Output = Result<u64>> + Send;

    /// After the clock was set back, nothing waits until it has caught up: deliveries become due that would wait longer
    /// than `waits` after their 1st, 2nd, … attempt (the last repeats), leases end by `lease_end`, webhook calls are due.
    /// Returns how many deliveries became due.
    fn follow_clock(
        &self,
        now: Timestamp,
        waits: Vec<Duration>,
        lease_end: Timestamp,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Piece `sequence` of a body, from 0; `None` after the last. An inline body is one piece.
    fn read_body(&self, message: MessageKey, sequence: u32) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Stores what this node knows of its connectors and that it is alive.
    fn report(&self, report: NodeReport) -> impl Future<Output = Result<()>> + Send;

    /// Deletes up to `limit` messages that were received before, with their history, if none of their deliveries is in
    /// the queue. Returns how many.
    fn forget(&self, before: Timestamp, limit: u32) -> impl Future<Output = Result<u64>> + Send;

    /// Who runs, and how each node's connectors stand.
    fn reports(&self) -> impl Future<Output = Result<Vec<NodeReport>>> + Send;

    /// The fleet's plan in force; `None` before the first.
    fn plan(&self) -> impl Future<Output = Result<Option<StoredPlan>>> + Send;

    /// Puts a plan in the place of version `before` (`None`: it is the first). Returns its version, or `None` where
    /// another plan was in force: nothing was changed then.
    fn replace_plan(
        &self,
        before: Option<u64>,
        plan: String,
        by: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// All plans, newest first.
    fn plans(&self) -> impl Future<Output = Result<Vec<StoredPlan>>> + Send;

    /// Deliveries below the policy `modern`, by destination; the latest first.
    fn ledger(&self) -> impl Future<Output = Result<Vec<LedgerEntry>>> + Send;

    /// When an operator last asked for deliveries of this connector to be tried at once: a connector that was backed
    /// off before that moment is tried again.
    fn retry_requested(&self, connector: &str) -> impl Future<Output = Result<Option<Timestamp>>> + Send;

    /// Deliveries in the queue, by due time, a page at a time.
    fn list(&self, query: QueueQuery) -> impl Future<Output = Result<Vec<DeliveryRecord>>> + Send;

    /// How many deliveries are in the queue, by connector and state.
    fn counts(&self) -> impl Future<Output = Result<Vec<QueueCount>>> + Send;

    /// Folds what waits and is selected into one value, in the order of acceptance: the deliveries of a message follow each
    /// other. One pass, whatever the length of queue and history. Gives way to mail.
    fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> impl Future<Output = Result<T>> + Send;

    /// Network message ids from the first to the last of these, in order.
    fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> impl Future<Output = Result<Vec<Uuid>>> + Send;

    /// One message with all its deliveries, whatever their state.
    fn message(&self, id: Uuid) -> impl Future<Output = Result<Option<MessageRecord>>> + Send;

    /// One row per message and recipient, newest first.
    fn trace(&self, query: TraceQuery) -> impl Future<Output = Result<Vec<DeliveryRecord>>> + Send;

    /// All events of a message in order.
    fn events(&self, message: Uuid) -> impl Future<Output = Result<Vec<Event>>> + Send;

    /// The events of several messages: one list for each, in the order of the keys.
    fn histories(&self, messages: Vec<MessageKey>) -> impl Future<Output = Result<Vec<Vec<Event>>>> + Send;

    /// What waits in the queue, by connector. Deliveries without an attempt count if they were received before, those
    /// that an operator suspended if they have failed before. Gives way to mail, as the next one does.
    fn pending(&self, untried_before: Timestamp) -> impl Future<Output = Result<Vec<Pending>>> + Send;

    /// Up to `limit` messages of a connector that wait after a failure, those tried last first.
    fn deferred(&self, connector: &str, limit: u32) -> impl Future<Output = Result<Vec<MessageKey>>> + Send;

    /// Gives the fleet's watch to this node for one review, if nobody had it within `interval`. Returns the turn's
    /// number.
    fn take_watch(
        &self,
        node: &str,
        now: Timestamp,
        interval: Duration,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Stores incidents as a review left them, in this order, and what is to be told of them; one transaction. False if
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

    /// Calls that are due, the first of each incident only; they are due again at `again` if they are not settled.
    fn claim_calls(
        &self,
        now: Timestamp,
        again: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<WebhookCall>>> + Send;

    /// After an attempt: the call is due again then, or is over.
    fn settle_call(&self, id: Uuid, due: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send;

    /// Asks nodes; old questions are forgotten.
    fn ask(&self, inquiries: Vec<Inquiry>, now: Timestamp) -> impl Future<Output = Result<()>> + Send;

    /// Questions to a node that were asked since then, the oldest first. Each is taken once.
    fn take_inquiries(
        &self,
        node: &str,
        since: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Inquiry>>> + Send;

    fn answer(&self, id: Uuid, answer: String) -> impl Future<Output = Result<()>> + Send;

    /// The answers that are there already.
    fn answers(&self, ids: Vec<Uuid>) -> impl Future<Output = Result<Vec<(Uuid, String)>>> + Send;

    /// An operator's command on queued deliveries. Returns how many it changed; leased ones are not removed.
    fn command(
        &self,
        command: Command,
        selection: Selection,
        by: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Commanded>> + Send;
}
