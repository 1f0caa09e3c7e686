//! The history: what happened to each message, kept when its mail is finished, and how it is searched.

use std::{future::Future, net::IpAddr, time::Duration};

use jiff::Timestamp;
use trace::Event;
use uuid::Uuid;

use crate::{DeliveryKey, DeliveryRecord, Message, MessageKey, Result, State};

/// What happened to messages. Its searches give way to mail.
pub trait History {
    /// One row per message and recipient, newest first.
    fn trace(&self, query: TraceQuery) -> impl Future<Output = Result<Vec<DeliveryRecord>>> + Send;

    /// One message with all its deliveries, whatever their state.
    fn message(&self, id: Uuid) -> impl Future<Output = Result<Option<MessageRecord>>> + Send;

    /// All events of a message in order.
    fn events(&self, message: Uuid) -> impl Future<Output = Result<Vec<Event>>> + Send;

    /// The events of several messages: one list for each, in the order of the keys.
    fn histories(&self, messages: Vec<MessageKey>) -> impl Future<Output = Result<Vec<Vec<Event>>>> + Send;

    /// Network message ids from the first to the last of these, in order.
    fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> impl Future<Output = Result<Vec<Uuid>>> + Send;

    /// Deletes up to `limit` messages that were received at least `age` ago, with their history, if none of their
    /// deliveries is in the queue. Returns how many. An engine may do so by the day: it then keeps all that was received
    /// on one day until that whole day is old enough, and drops it at once, whatever the limit is.
    fn forget(&self, age: Duration, limit: u32) -> impl Future<Output = Result<u64>> + Send;
}

/// One message with the present standing of all its deliveries.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRecord {
    pub message: Message,
    pub deliveries: Vec<DeliveryRecord>,
    pub body_present: bool,
}

/// Which deliveries to trace; all given conditions must hold. Text is compared without regard to the case of ASCII
/// letters.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TraceQuery {
    /// An address, `@domain`, `<>` for the null sender, or a pattern in which `*` stands for any text.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    /// The Message-ID field, angle brackets or not.
    pub message_id: Option<String>,
    pub network_message_id: Option<Uuid>,
    /// All must hold.
    pub subjects: Vec<SubjectMatch>,
    /// Empty: any.
    pub states: Option<Vec<State>>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// The client that handed it in.
    pub from_ip: Option<IpAddr>,
    pub size_min: Option<u64>,
    pub size_max: Option<u64>,
    pub connector: Option<String>,
    pub last_attempt: AttemptMatch,
    pub limit: u32,
    /// The rows that come after this one.
    pub after: Option<TraceCursor>,
}

/// How the subject must read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubjectMatch {
    Contains(String),
    StartsWith(String),
    EndsWith(String),
}

/// What the last attempt must have been.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttemptMatch {
    /// The address that it was made to.
    pub to_ip: Option<IpAddr>,
    pub node: Option<String>,
    pub tls_policy: Option<String>,
    /// In OpenSSL's words, such as `TLSv1.2`; `none`: in plaintext.
    pub tls_version: Option<String>,
    /// In OpenSSL's words, such as `RC4-SHA`.
    pub cipher: Option<String>,
    /// A reply code such as `451`, or an enhanced code such as `4.7.1`.
    pub code: Option<String>,
}

/// A row's place among all: newest first, then in the order of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceCursor {
    pub received: Timestamp,
    pub delivery: DeliveryKey,
}

impl From<&DeliveryRecord> for TraceCursor {
    fn from(record: &DeliveryRecord) -> Self {
        Self { received: record.message.received, delivery: record.delivery.key }
    }
}
