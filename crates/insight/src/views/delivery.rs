//! Views of deliveries and messages. Every key is always present; a value that does not apply is null. Times are in UTC.

use std::net::IpAddr;

use jiff::Timestamp;
use protocol::smtp::{Address, BodyType, Failure, Reply, ReversePath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Commanded, DeliveryRecord, LastAttempt, MessageRecord, QueueCount, State};
use trace::{Event, Waiting};
use uuid::Uuid;

use super::schema;
use crate::{Status, WaitReasons};

/// One message for one recipient, as in `queue list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    pub network_message_id: Uuid,
    /// The Message-ID field without angle brackets.
    pub message_id: Option<String>,
    #[schemars(schema_with = "schema::time")]
    pub received: Timestamp,
    /// Empty for the null sender.
    #[schemars(with = "String")]
    pub sender: ReversePath,
    #[schemars(with = "String")]
    pub recipient: Address,
    pub subject: Option<String>,
    pub size_bytes: u64,
    pub connector: String,
    #[schemars(schema_with = "schema::state")]
    pub state: State,
    /// Time of the next attempt; null: the delivery is no longer in the queue.
    #[schemars(schema_with = "schema::time_or_null")]
    pub due: Option<Timestamp>,
    pub attempts: u32,
    /// Why the delivery is still in the queue.
    pub waiting: Option<WaitingView>,
    /// The original cause: the failure of the last attempt.
    #[schemars(schema_with = "schema::failure")]
    pub failure: Option<Failure>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WaitingView {
    #[serde(flatten)]
    #[schemars(schema_with = "schema::waiting")]
    pub waiting: Waiting,
    /// The event that ends the wait.
    pub unblocked_by: String,
    /// Command with which an operator can end the wait; null: there is none.
    pub command: Option<String>,
}

impl WaitingView {
    fn new(waiting: Waiting, record: &DeliveryRecord) -> Self {
        let next_step = waiting.next_step(record.message.network_message_id, &record.delivery.connector);
        Self { unblocked_by: waiting.unblocked_by(), command: next_step.map(|step| step.to_string()), waiting }
    }
}

impl DeliveryView {
    pub fn new(record: &DeliveryRecord, reasons: &WaitReasons<'_>) -> Self {
        let waiting = reasons.waiting(record);
        Self {
            network_message_id: record.message.network_message_id,
            message_id: record.message.message_id.clone(),
            received: record.message.received,
            sender: record.message.envelope.sender.clone(),
            recipient: record.delivery.recipient.clone(),
            subject: record.message.subject.clone(),
            size_bytes: record.message.size_bytes,
            connector: record.delivery.connector.clone(),
            state: record.state,
            due: waiting.is_some().then_some(record.due),
            attempts: record.delivery.attempts,
            waiting: waiting.map(|waiting| WaitingView::new(waiting, record)),
            failure: reasons.cause(record).cloned(),
        }
    }
}

/// A delivery with its status, as in `trace` and `queue show`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TraceView {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    pub status: Status,
    /// Reply with which the destination accepted the message.
    #[schemars(schema_with = "schema::reply")]
    pub reply: Option<Reply>,
    #[schemars(schema_with = "schema::time_or_null")]
    pub settled: Option<Timestamp>,
    /// Null: there was no attempt yet.
    pub last_attempt: Option<LastAttemptView>,
    /// Only if the request asks for events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub events: Option<Vec<Event>>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LastAttemptView {
    pub node: String,
    pub tls_policy: String,
    pub tls_version: Option<String>,
    pub cipher: Option<String>,
    pub to_ip: Option<IpAddr>,
}

impl From<&LastAttempt> for LastAttemptView {
    fn from(attempt: &LastAttempt) -> Self {
        Self {
            node: attempt.node.clone(),
            tls_policy: attempt.tls_policy.clone(),
            tls_version: attempt.tls.as_ref().map(|tls| tls.0.clone()),
            cipher: attempt.tls.as_ref().map(|tls| tls.1.clone()),
            to_ip: attempt.to_ip,
        }
    }
}

impl TraceView {
    pub fn new(record: &DeliveryRecord, reasons: &WaitReasons<'_>, events: Option<Vec<Event>>) -> Self {
        Self {
            delivery: DeliveryView::new(record, reasons),
            status: Status::from(record.state),
            reply: record.reply.clone(),
            settled: record.settled,
            last_attempt: record.last_attempt.as_ref().map(LastAttemptView::from),
            events,
        }
    }
}

/// One item of `counts`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CountView {
    pub connector: String,
    #[schemars(schema_with = "schema::state")]
    pub state: State,
    pub deliveries: u64,
    #[schemars(schema_with = "schema::time_or_null")]
    pub due: Option<Timestamp>,
}

impl From<&QueueCount> for CountView {
    fn from(count: &QueueCount) -> Self {
        Self { connector: count.connector.clone(), state: count.state, deliveries: count.deliveries, due: count.due }
    }
}

/// The whole of `queue show`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    pub message: EnvelopeView,
    pub deliveries: Vec<TraceView>,
    #[schemars(schema_with = "schema::events")]
    pub events: Vec<Event>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnvelopeView {
    pub network_message_id: Uuid,
    pub message_id: Option<String>,
    #[schemars(schema_with = "schema::time")]
    pub received: Timestamp,
    #[schemars(with = "String")]
    pub sender: ReversePath,
    pub subject: Option<String>,
    pub size_bytes: u64,
    /// Null: the gateway itself created the message.
    pub client: Option<IpAddr>,
    #[schemars(with = "String")]
    pub body_type: BodyType,
    pub smtputf8: bool,
    pub content_kept: bool,
}

impl MessageView {
    pub fn new(record: &MessageRecord, reasons: &WaitReasons<'_>, events: Vec<Event>) -> Self {
        let message = &record.message;
        Self {
            message: EnvelopeView {
                network_message_id: message.network_message_id,
                message_id: message.message_id.clone(),
                received: message.received,
                sender: message.envelope.sender.clone(),
                subject: message.subject.clone(),
                size_bytes: message.size_bytes,
                client: message.client,
                body_type: message.envelope.body_type,
                smtputf8: message.envelope.smtputf8,
                content_kept: record.body_present,
            },
            deliveries: record.deliveries.iter().map(|record| TraceView::new(record, reasons, None)).collect(),
            events,
        }
    }
}

/// The result of retry, suspend, resume and remove.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CommandedView {
    pub changed: u64,
    pub leased: u64,
}

impl From<Commanded> for CommandedView {
    fn from(Commanded { changed, leased }: Commanded) -> Self {
        Self { changed, leased }
    }
}
