//! The queue: deliveries from their acceptance to their end, and what nodes and operators do with them.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use protocol::smtp::{Address, Envelope, Failure, Notify, Reply};
use trace::{change::ChosenBy, event::NoticeAction};
use uuid::Uuid;

use crate::{
    Actor, Command, Content, DeliveryKey, Holding, LastAttempt, Lease, LeaseNumber, Member, MessageKey, NewEvent,
    Outcome, Result, State, WeakDelivery,
};

/// The queue as nodes and operators use it. Shaped for batches: concurrent calls share one commit.
///
/// Time is the store's: it judges by its own clock what is due and which lease has ended, and callers say how long. Events
/// have the time of the node that saw them; those that the store writes by itself have the store's.
pub trait Queue {
    /// How much room there is, as far as is known without asking.
    fn room(&self) -> Room;

    /// Puts a message and its deliveries into the queue, with its events. Durable before it returns: only then may the
    /// session say 250. With a holder, its deliveries are born leased to it, so that it can send them at once.
    ///
    /// A second call with the same network message id adds nothing and returns what the first call made. Where that was
    /// leased by the same member, it is leased again under a new number.
    fn accept(
        &self,
        message: NewMessage,
        holder: Option<Member>,
        events: Vec<NewEvent>,
    ) -> impl Future<Output = Result<Accepted>> + Send;

    /// Leases up to `limit` deliveries of one connector that are due, the longest due first, grouped by message.
    /// Its cost does not grow with the queue.
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<Vec<Claimed>>> + Send;

    /// Leases up to `limit` queued deliveries of any connector whose review time has come (delay notice or expiry).
    fn claim_for_review(&self, holder: Member, limit: u32) -> impl Future<Output = Result<Vec<Claimed>>> + Send;

    /// How long leases last that are not renewed.
    fn lease_term(&self) -> Duration;

    /// The member lives, and all its leases last for a whole term from now. Returns those of `held` that are not current
    /// any more. Leases that it does not name and has not for a term end, on a shared store: no node knows of them. So it is
    /// called for a member that holds nothing, too. [`NotAMember`](crate::StoreError::NotAMember): it holds nothing.
    fn renew(&self, member: &Member, held: Vec<Holding>) -> impl Future<Output = Result<Vec<Holding>>> + Send;

    /// Records results and the notices that are owed, and deletes bodies that nobody needs; one transaction. Returns the
    /// deliveries whose lease is not current any more, be it that they were settled before: nothing is changed for them,
    /// and their events are added if they are not there yet.
    fn settle(&self, settlements: Vec<Settlement>) -> impl Future<Output = Result<Vec<DeliveryKey>>> + Send;

    /// Up to `limit` messages whose senders are to be told something now: nothing else of the message is being sent or
    /// is due for its first attempt, so that one notice tells all, or a notice has been owed for as long as `waited`.
    fn untold(&self, waited: Duration, limit: u32) -> impl Future<Output = Result<Vec<Untold>>> + Send;

    /// Queues a notice with its events, or withholds it where its address has had too many. Nodes may try the same at
    /// once; it happens once.
    fn tell(&self, member: &Member, telling: Telling) -> impl Future<Output = Result<Told>> + Send;

    /// Ends the leases whose time is over, with an `Interrupted` event each. Returns how many. Until this is called, a
    /// lease stays current.
    fn expire_leases(&self) -> impl Future<Output = Result<u64>> + Send;

    /// After the clock was set back, nothing waits until it has caught up: deliveries become due that would wait longer
    /// than `waits` after their 1st, 2nd, … attempt (the last repeats), leases last no longer than a term, webhook calls are
    /// due. Returns how many deliveries became due.
    fn follow_clock(&self, waits: Vec<Duration>) -> impl Future<Output = Result<u64>> + Send;

    /// An operator's command on queued deliveries. Returns how many it changed; leased ones are not removed. A long queue is
    /// changed in parts: after an error, some may be changed, and the command can be given again.
    fn command(
        &self,
        command: Command,
        selection: Selection,
        by: impl Into<Actor> + Send,
    ) -> impl Future<Output = Result<Commanded>> + Send;

    /// How long ago an operator last asked for deliveries of this connector to be tried at once: a connector that was
    /// paused before that is tried again.
    fn retry_requested(&self, connector: &str) -> impl Future<Output = Result<Option<Duration>>> + Send;

    /// Deliveries in the queue, by due time, a page at a time.
    fn list(&self, query: QueueQuery) -> impl Future<Output = Result<Vec<DeliveryRecord>>> + Send;

    /// How many deliveries are in the queue, by connector and state.
    fn counts(&self) -> impl Future<Output = Result<Vec<QueueCount>>> + Send;

    /// Folds what waits and is selected into one value, in the order of acceptance: the deliveries of a message follow
    /// each other. One pass, whatever the length of queue and history. Gives way to mail.
    fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> impl Future<Output = Result<T>> + Send;

    /// What waits in the queue, by connector. Deliveries without an attempt count if they were received at least
    /// `untried_for` ago, those that an operator suspended if they have failed before. Gives way to mail, as the next one
    /// does.
    fn pending(&self, untried_for: Duration) -> impl Future<Output = Result<Vec<Pending>>> + Send;

    /// Up to `limit` messages of a connector that wait after a failure, those tried last first.
    fn deferred(&self, connector: &str, limit: u32) -> impl Future<Output = Result<Vec<MessageKey>>> + Send;
}

/// How much room there is to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    Enough,
    /// What can be done without, such as logs, is not written.
    Tight,
    /// New mail is refused. What is queued can still be settled.
    Short,
}

/// A message on its way into the queue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub network_message_id: Uuid,
    pub received: Timestamp,
    pub envelope: Envelope,
    /// The Message-ID field without angle brackets.
    pub message_id: Option<String>,
    /// Decoded (RFC 2047), at most 256 characters.
    pub subject: Option<String>,
    pub size_bytes: u64,
    /// `None` for notices made by the gateway.
    pub client: Option<IpAddr>,
    /// CRLF lines, the gateway's own Received field first, no dot-stuffing, no final dot.
    pub content: Content,
    /// Keep only the domains of its addresses once it is finished for all its recipients.
    pub withhold_addresses: bool,
    pub deliveries: Vec<NewDelivery>,
}

#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub recipient: Address,
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
    pub connector: String,
    /// From now to its first attempt.
    pub due_in: Duration,
    /// From now to when a node must look at it, tried or not: delay notice or expiry, whichever comes first.
    pub review_in: Duration,
}

#[derive(Clone, Debug)]
pub struct Claim {
    pub connector: String,
    /// Zero, or longer to leave to other nodes what has become due since.
    pub due_for: Duration,
    /// Deliveries at most.
    pub limit: u32,
    /// Messages at most, each with those of its deliveries that come within the limit.
    pub messages: u32,
    pub leave: Leave,
    pub holder: Member,
}

/// Recipient domains whose deliveries are left to other nodes for a while.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leave {
    /// Keys as [`Address::domain_key`] makes them.
    pub domains: Vec<String>,
    /// A delivery that has been due for so long is taken anyway.
    pub due_for: Duration,
}

/// What `accept` made, in the order of [`NewMessage::deliveries`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    pub message: MessageKey,
    pub deliveries: Vec<DeliveryKey>,
    /// Under which all its deliveries are held, if a lease was asked for and given.
    pub lease: Option<LeaseNumber>,
}

/// What a node needs to know of a message to send it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub key: MessageKey,
    pub network_message_id: Uuid,
    pub received: Timestamp,
    pub envelope: Envelope,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    pub size_bytes: u64,
    pub client: Option<IpAddr>,
}

/// One recipient of a message on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub key: DeliveryKey,
    pub recipient: Address,
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
    pub connector: String,
    /// Attempts that ended in a deferral so far.
    pub attempts: u32,
    /// A delay notice was sent, or will never be.
    pub delay_notified: bool,
    /// The last attempt's failure: the original cause of the wait.
    pub failure: Option<Failure>,
}

/// A message and those of its deliveries that this node now holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    pub lease: LeaseNumber,
    pub message: Message,
    pub deliveries: Vec<Delivery>,
}

/// The result of one delivery, or of its review.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery: DeliveryKey,
    /// The one under which it was worked on.
    pub lease: LeaseNumber,
    pub message: MessageKey,
    pub outcome: Outcome,
    pub events: Vec<NewEvent>,
    /// The notice that its sender is owed from now on.
    pub notice: Option<NoticeAction>,
    /// Where it went out with less protection than the modern policy asks for.
    pub weak: Option<WeakDelivery>,
}

/// A message whose sender is owed notices about some of its deliveries.
#[derive(Clone, PartialEq, Debug)]
pub struct Untold {
    pub message: Message,
    /// In the order of acceptance.
    pub deliveries: Vec<(NoticeAction, DeliveryRecord)>,
}

/// One notice about deliveries of one message.
#[derive(Clone, Debug)]
pub struct Telling {
    pub message: MessageKey,
    pub action: NoticeAction,
    pub deliveries: Vec<DeliveryKey>,
    pub notice: NewMessage,
    /// No more notices than `sent_max` go to one address within `sent_within`.
    pub sent_max: u32,
    pub sent_within: Duration,
}

impl Telling {
    /// The address that is counted. Letter case does not matter: a flooded mailbox is the same in any case.
    pub(crate) fn address(&self) -> String {
        let to = self.notice.deliveries.first().map(|delivery| delivery.recipient.as_str());
        to.unwrap_or_default().to_ascii_lowercase()
    }
}

/// What became of a notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    Queued,
    /// Its address has had as many notices as it may. The deliveries have an event that says so.
    Withheld,
    /// Another node was first.
    Nothing,
}

/// A delivery in the queue or finished, with all that shows why it waits or how it ended.
#[derive(Clone, PartialEq, Debug)]
pub struct DeliveryRecord {
    pub message: Message,
    pub delivery: Delivery,
    pub state: State,
    pub due: Timestamp,
    pub review: Timestamp,
    pub lease: Option<Lease>,
    pub suspended_by: Option<String>,
    /// Suspended since the store was restored, until an operator answers ([`Restoration`](crate::Restoration)).
    pub is_held: bool,
    /// The destination's reply that ended it with delivery.
    pub reply: Option<Reply>,
    /// When it was finished.
    pub settled: Option<Timestamp>,
    /// `None`: it was not tried yet.
    pub last_attempt: Option<LastAttempt>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct QueueQuery {
    pub selection: Selection,
    pub limit: u32,
    /// The last row of the page before: (due, key).
    pub after: Option<(Timestamp, DeliveryKey)>,
}

/// Which queued deliveries are meant; all given conditions must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Selection {
    pub message: Option<Uuid>,
    pub connector: Option<String>,
    /// As in a [`TraceQuery`](crate::TraceQuery).
    pub recipient: Option<String>,
    pub sender: Option<String>,
    pub state: Option<State>,
    /// Only these; `None`: all that meet the other conditions.
    pub chosen: Option<Chosen>,
}

/// Deliveries that a caller has chosen, by conditions that a store cannot check.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Chosen {
    pub deliveries: Arc<[DeliveryKey]>,
    /// How, for the change log.
    pub by: ChosenBy,
}

impl Chosen {
    /// As an engine gives them to its database.
    pub(crate) fn keys(&self) -> Vec<i64> {
        self.deliveries.iter().map(|delivery| delivery.0).collect()
    }
}

/// What a command did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commanded {
    pub changed: u64,
    /// Left alone because a node is delivering them right now.
    pub leased: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueCount {
    pub connector: String,
    pub state: State,
    pub deliveries: u64,
    /// The earliest due time among them.
    pub due: Option<Timestamp>,
}

/// A delivery in the queue, as far as groups need it.
#[derive(Clone, Copy, Debug)]
pub struct QueueRow<'a> {
    pub delivery: DeliveryKey,
    pub message: MessageKey,
    pub network_message_id: Uuid,
    pub connector: &'a str,
    pub state: State,
    pub received: Timestamp,
    pub due: Timestamp,
    /// The last attempt's failure.
    pub failure: Option<&'a Failure>,
}

/// What waits for one connector: deferred deliveries, and those that have waited without an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    pub connector: String,
    pub messages: u64,
    /// Of those, how many were tried.
    pub tried: u64,
    /// When the oldest was received, and the oldest of those that were not tried.
    pub oldest: Timestamp,
    pub oldest_untried: Option<Timestamp>,
}

/// Where retries are spread, they may wait a tenth longer; clocks of nodes are not quite the same either.
const WAIT_SLACK: f64 = 1.2;

/// How long deliveries may wait after this number of attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LongestWait {
    pub(crate) attempts_min: i64,
    pub(crate) attempts_max: i64,
    pub(crate) wait: Duration,
}

/// See [`Queue::follow_clock`].
pub(crate) fn longest_waits(waits: &[Duration]) -> impl Iterator<Item = LongestWait> {
    let last = waits.len();
    // A delivery that was not tried waits for nothing.
    [Duration::ZERO].iter().chain(waits).enumerate().map(move |(attempts, wait)| LongestWait {
        attempts_min: attempts as i64,
        attempts_max: if attempts == last { i64::MAX } else { attempts as i64 },
        wait: wait.mul_f64(WAIT_SLACK) + Duration::from_secs(5),
    })
}
