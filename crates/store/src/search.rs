//! What a trace is searched by.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{DeliveryKey, DeliveryRecord, State};

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
    pub subject: Option<SubjectMatch>,
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

/// The last attempt of a delivery in a few facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastAttempt {
    pub node: String,
    pub tls_policy: String,
    /// Version and cipher; `None`: in plaintext, or no connection came about.
    pub tls: Option<(String, String)>,
    pub to_ip: Option<IpAddr>,
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
