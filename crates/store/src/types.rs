//! What goes into the store and comes out of it.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use bytes::Bytes;
use jiff::Timestamp;
use protocol::smtp::{Address, Destination, Envelope, Failure, Notify, Reply, TlsSummary};
use serde::{Deserialize, Serialize};
use trace::{Doing, Event, Limit, event::NoticeAction};
use uuid::Uuid;

use crate::LastAttempt;

/// A message's key in this store; ascending in order of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageKey(pub i64);

/// A delivery's key in this store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryKey(pub i64);

/// A body that was written piece by piece. It is the key of the message that will own it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BodyKey(pub i64);

/// How much room there is to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    Enough,
    /// What can be done without, such as logs, is not written.
    Tight,
    /// New mail is refused. What is queued can still be settled.
    Short,
}

/// Where a message's content is.
#[derive(Clone, Debug)]
pub enum Body {
    /// Small enough to be written with the message: up to [`INLINE_BODY_BYTES_MAX`].
    Inline(Bytes),
    Stored(BodyKey),
}

/// Larger bodies are written in pieces of at most this size.
pub const INLINE_BODY_BYTES_MAX: usize = 256 * 1024;

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
    pub body: Body,
    /// Keep only the domains of its addresses once it has come to rest for all its recipients.
    pub withhold_addresses: bool,
    pub deliveries: Vec<NewDelivery>,
}

#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub recipient: Address,
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
    pub connector: String,
    pub due: Timestamp,
    /// When a node must look at it whether it was tried or not: delay notice or expiry, whichever is next.
    pub review: Timestamp,
}

/// Who holds a delivery, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub node: String,
    pub until: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Claim {
    pub connector: String,
    /// Now, or some time ago to leave to other nodes what has become due since.
    pub due_by: Timestamp,
    /// Deliveries at most.
    pub limit: u32,
    /// Messages at most, each with those of its deliveries that come within the limit.
    pub messages: u32,
    pub leave: Leave,
    pub lease: Lease,
}

/// Recipient domains whose deliveries are left to other nodes for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// Keys as [`Address::domain_key`] makes them.
    pub domains: Vec<String>,
    /// What was due by then is taken anyway.
    pub due_by: Timestamp,
}

impl Default for Leave {
    fn default() -> Self {
        Self { domains: Vec::new(), due_by: Timestamp::MIN }
    }
}

/// What `accept` made, in the order of [`NewMessage::deliveries`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    pub message: MessageKey,
    pub deliveries: Vec<DeliveryKey>,
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
    pub message: Message,
    pub deliveries: Vec<Delivery>,
}

/// The result of one delivery, or of its review.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery: DeliveryKey,
    pub message: MessageKey,
    pub outcome: Outcome,
    pub events: Vec<Event>,
    /// What the sender is to be told of it.
    pub notice: Option<Owed>,
    /// Where it went out with less protection than the modern policy asks for.
    pub weak: Option<WeakDelivery>,
}

/// A notice that a message's sender has not been sent yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owed {
    pub action: NoticeAction,
    pub since: Timestamp,
}

/// A message whose sender is to be told of some of its deliveries.
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
    /// No more notices than `sent_max` go to one address after `sent_after`.
    pub sent_max: u32,
    pub sent_after: Timestamp,
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

/// One delivery below the policy `modern`, for the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WeakDelivery {
    pub destination: Destination,
    pub connector: String,
    pub tls_policy: String,
    /// `None`: in plaintext.
    pub tls: Option<TlsSummary>,
    pub why: Weakness,
    pub at: Timestamp,
}

/// Why a delivery had less protection than it might have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weakness {
    /// The destination does not offer STARTTLS.
    #[serde(rename = "starttls-not-offered")]
    StartTlsNotOffered,
    /// The connector has tls = "none".
    Configured,
    /// The handshake failed, and the connector goes on in the clear then.
    HandshakeFailed,
    /// A version before TLS 1.2.
    OldVersion,
    /// No authenticated encryption, or no forward secrecy.
    WeakCipher,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartTlsNotOffered => "starttls-not-offered",
            Self::Configured => "configured",
            Self::HandshakeFailed => "handshake-failed",
            Self::OldVersion => "old-version",
            Self::WeakCipher => "weak-cipher",
        })
    }
}

/// What the ledger says of one destination, policy, and result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Host name and port, without address.
    pub host: String,
    pub port: u16,
    pub connector: String,
    pub tls_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    pub why: Weakness,
    pub deliveries: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// The fleet's plan as it is stored: opaque here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPlan {
    /// 1 for the first.
    pub version: u64,
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
    /// JSON.
    pub plan: String,
}

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
    /// An attempt failed for now: counts as a try, and its failure becomes the original cause.
    Deferred {
        failure: Failure,
        due: Timestamp,
        review: Timestamp,
        delay_notified: bool,
    },
    /// No attempt was made: due, tries and cause stay as they were.
    Returned {
        review: Option<Timestamp>,
        delay_notified: bool,
    },
    /// No attempt was made, and none is made before `due`. The failure is the one for which others of the same
    /// destination wait; it becomes the cause where the delivery has none of its own.
    Postponed {
        due: Timestamp,
        failure: Option<Failure>,
    },
}

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

/// A delivery in the queue or come to rest, with all that tells why it waits or how it ended.
#[derive(Clone, PartialEq, Debug)]
pub struct DeliveryRecord {
    pub message: Message,
    pub delivery: Delivery,
    pub state: State,
    pub due: Timestamp,
    pub review: Timestamp,
    pub lease: Option<Lease>,
    pub suspended_by: Option<String>,
    /// The destination's reply that ended it with delivery.
    pub reply: Option<Reply>,
    /// When it came to rest.
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
    /// Address, or `@domain`; letter case does not matter.
    pub recipient: Option<String>,
    pub sender: Option<String>,
    pub state: Option<State>,
}

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

/// One message with the present standing of all its deliveries.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRecord {
    pub message: Message,
    pub deliveries: Vec<DeliveryRecord>,
    pub body_present: bool,
}

/// A node's word on itself and on its connectors.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: String,
    pub at: Timestamp,
    pub connectors: Vec<ConnectorReport>,
    /// The version of the plan that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u64>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConnectorReport {
    pub name: String,
    /// Open connections, and how many it may have.
    pub connections: u32,
    pub connections_max: u32,
    /// Why no more is being sent just now, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limit>,
    /// Set while all destinations failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backed_off: Option<BackOff>,
    /// What came of its TLS policy; `None` before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_policy: Option<PolicyResults>,
    /// The same behind MX for each recipient domain that fails on some node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub domains_under_policy: BTreeMap<String, PolicyResults>,
    /// Attempts that have lasted for a while, the longest first; not all of them where there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningAttempt>,
}

/// An attempt that has not ended yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunningAttempt {
    /// Network message id.
    pub message: Uuid,
    #[serde(flatten)]
    pub doing: Doing,
}

/// What attempts of one node by one connector came to under a TLS policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyResults {
    pub policy: String,
    /// The last time that a conversation came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked: Option<Timestamp>,
    /// The first failure from STARTTLS on since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// The last such failure, whatever worked since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Timestamp>,
}

impl PolicyResults {
    pub fn new(policy: &str) -> Self {
        Self { policy: policy.to_owned(), worked: None, failing_since: None, failed: None }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BackOff {
    /// The first failure in the row.
    pub since: Timestamp,
    /// The last failure, with which this rest began.
    pub began: Timestamp,
    pub until: Timestamp,
    /// The original cause.
    pub failure: Failure,
}
