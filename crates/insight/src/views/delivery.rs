//! Deliveries and messages. Every key is always there; what does not apply is null. All times are in UTC.

use std::net::IpAddr;

use jiff::Timestamp;
use protocol::smtp::{Address, BodyType, Failure, Reply, ReversePath};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use store::{Commanded, DeliveryRecord, LastAttempt, MessageRecord, QueueCount, State};
use trace::{Event, Waiting};
use uuid::Uuid;

use crate::{Status, WaitReasons};

/// One message for one recipient, as in `queue list`.
#[derive(Serialize, JsonSchema)]
pub struct DeliveryView<'a> {
    network_message_id: Uuid,
    /// The Message-ID field without angle brackets.
    message_id: Option<&'a str>,
    #[schemars(with = "String", extend("format" = "date-time"))]
    received: Timestamp,
    /// Empty: the null sender.
    #[schemars(with = "String")]
    sender: &'a ReversePath,
    #[schemars(with = "String")]
    recipient: &'a Address,
    subject: Option<&'a str>,
    size_bytes: u64,
    connector: &'a str,
    #[schemars(schema_with = "state")]
    state: State,
    /// When it is tried next; null for what is no longer in the queue.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    due: Option<Timestamp>,
    attempts: u32,
    /// Why it is still in the queue.
    waiting: Option<WaitingView>,
    /// The original cause: how the last attempt failed.
    #[schemars(schema_with = "failure")]
    failure: Option<&'a Failure>,
}

#[derive(Serialize, JsonSchema)]
struct WaitingView {
    #[serde(flatten)]
    #[schemars(schema_with = "waiting")]
    waiting: Waiting,
    /// What ends the wait.
    unblocked_by: String,
    /// What an operator can do about it: a command. Null: nothing.
    command: Option<String>,
}

impl WaitingView {
    fn new(waiting: Waiting, record: &DeliveryRecord) -> Self {
        let next_step = waiting.next_step(record.message.network_message_id, &record.delivery.connector);
        Self { unblocked_by: waiting.unblocked_by(), command: next_step.map(|step| step.to_string()), waiting }
    }
}

impl<'a> DeliveryView<'a> {
    pub fn new(record: &'a DeliveryRecord, reasons: &'a WaitReasons<'_>) -> Self {
        let waiting = reasons.waiting(record);
        Self {
            network_message_id: record.message.network_message_id,
            message_id: record.message.message_id.as_deref(),
            received: record.message.received,
            sender: &record.message.sender,
            recipient: &record.delivery.recipient,
            subject: record.message.subject.as_deref(),
            size_bytes: record.message.size_bytes,
            connector: &record.delivery.connector,
            state: record.state,
            due: waiting.is_some().then_some(record.due),
            attempts: record.delivery.attempts,
            waiting: waiting.map(|waiting| WaitingView::new(waiting, record)),
            failure: reasons.cause(record),
        }
    }
}

/// A delivery with its end, as in `trace` and `queue show`.
#[derive(Serialize, JsonSchema)]
pub struct TraceView<'a> {
    #[serde(flatten)]
    delivery: DeliveryView<'a>,
    status: &'static str,
    /// The reply that ended it with delivery.
    #[schemars(schema_with = "reply")]
    reply: Option<&'a Reply>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    settled: Option<Timestamp>,
    /// Null: it was not tried yet.
    last_attempt: Option<LastAttemptView<'a>>,
    /// Only where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    events: Option<Vec<&'a Event>>,
}

fn state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["queued", "leased", "suspended", "delivered", "failed", "removed"] })
}

fn waiting(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "`waits` says for what; the other keys, where it has more to say, are `until`, `limit`, `by`, \
                        `node`, `doing`, `connector`, `policy` and `last_seen`.",
        "required": ["waits"],
        "properties": { "waits": { "type": "string", "enum": [
            "timer", "connector-limit", "connector-backed-off", "suspended", "leased", "no-route", "policy-forbids",
            "no-node",
        ] } },
    })
}

fn reply(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "required": ["code"],
        "properties": {
            "code": { "type": "integer", "minimum": 200, "maximum": 599 },
            "enhanced": { "type": ["string", "null"], "description": "RFC 3463, such as 4.7.1" },
        },
    })
}

fn failure(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "description": "Also with `reply`, `destination`, and what else the kind has to say.",
        "required": ["phase", "kind"],
        "properties": {
            "phase": { "type": "string", "description": "Where the conversation stood, such as starttls or rcpt" },
            "kind": { "type": "string", "description": "What went wrong, such as rejected or timed-out" },
        },
    })
}

#[derive(Serialize, JsonSchema)]
struct LastAttemptView<'a> {
    node: &'a str,
    tls_policy: &'a str,
    tls_version: Option<&'a str>,
    cipher: Option<&'a str>,
    to_ip: Option<IpAddr>,
}

impl<'a> From<&'a LastAttempt> for LastAttemptView<'a> {
    fn from(attempt: &'a LastAttempt) -> Self {
        Self {
            node: &attempt.node,
            tls_policy: &attempt.tls_policy,
            tls_version: attempt.tls.as_ref().map(|tls| tls.0.as_str()),
            cipher: attempt.tls.as_ref().map(|tls| tls.1.as_str()),
            to_ip: attempt.to_ip,
        }
    }
}

impl<'a> TraceView<'a> {
    pub fn new(record: &'a DeliveryRecord, reasons: &'a WaitReasons<'_>, events: Option<Vec<&'a Event>>) -> Self {
        Self {
            delivery: DeliveryView::new(record, reasons),
            status: Status::from(record.state).name(),
            reply: record.reply.as_ref(),
            settled: record.settled,
            last_attempt: record.last_attempt.as_ref().map(LastAttemptView::from),
            events,
        }
    }
}

/// One line of `counts`.
#[derive(Serialize)]
pub struct CountView<'a> {
    connector: &'a str,
    state: State,
    deliveries: u64,
    due: Option<Timestamp>,
}

impl<'a> From<&'a QueueCount> for CountView<'a> {
    fn from(count: &'a QueueCount) -> Self {
        Self { connector: &count.connector, state: count.state, deliveries: count.deliveries, due: count.due }
    }
}

/// The whole of `queue show`.
#[derive(Serialize)]
pub struct MessageView<'a> {
    message: EnvelopeView<'a>,
    deliveries: Vec<TraceView<'a>>,
    events: &'a [Event],
}

#[derive(Serialize)]
struct EnvelopeView<'a> {
    network_message_id: Uuid,
    message_id: Option<&'a str>,
    received: Timestamp,
    sender: &'a ReversePath,
    subject: Option<&'a str>,
    size_bytes: u64,
    /// Null: made by the gateway itself.
    client: Option<IpAddr>,
    body_type: BodyType,
    smtputf8: bool,
    content_kept: bool,
}

impl<'a> MessageView<'a> {
    pub fn new(record: &'a MessageRecord, reasons: &'a WaitReasons<'_>, events: &'a [Event]) -> Self {
        let message = &record.message;
        Self {
            message: EnvelopeView {
                network_message_id: message.network_message_id,
                message_id: message.message_id.as_deref(),
                received: message.received,
                sender: &message.sender,
                subject: message.subject.as_deref(),
                size_bytes: message.size_bytes,
                client: message.client,
                body_type: message.body_type,
                smtputf8: message.smtputf8,
                content_kept: record.body_present,
            },
            deliveries: record.deliveries.iter().map(|record| TraceView::new(record, reasons, None)).collect(),
            events,
        }
    }
}

/// The result of retry, suspend, resume and remove.
#[derive(Serialize)]
pub struct CommandedView {
    changed: u64,
    leased: u64,
}

impl From<Commanded> for CommandedView {
    fn from(Commanded { changed, leased }: Commanded) -> Self {
        Self { changed, leased }
    }
}
