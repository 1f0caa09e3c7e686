//! Shapes of the JSON output. Every key is always there; what does not apply is null. All times are in UTC.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use jiff::Timestamp;
use protocol::{
    smtp::{Address, BodyType, Failure, Reply, ReversePath},
    text::steers,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use store::{Commanded, DeliveryRecord, LastAttempt, MessageRecord, QueueCount, State};
use trace::{Event, Waiting};
use uuid::Uuid;

use super::{arguments::Status, standing::Standing};

/// One message for one recipient, as in `queue list`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DeliveryView<'a> {
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
    pub(crate) fn new(record: &'a DeliveryRecord, standing: &'a Standing<'_>) -> Self {
        let waiting = standing.waiting(record);
        Self {
            network_message_id: record.message.network_message_id,
            message_id: record.message.message_id.as_deref(),
            received: record.message.received,
            sender: &record.message.envelope.sender,
            recipient: &record.delivery.recipient,
            subject: record.message.subject.as_deref(),
            size_bytes: record.message.size_bytes,
            connector: &record.delivery.connector,
            state: record.state,
            due: waiting.is_some().then_some(record.due),
            attempts: record.delivery.attempts,
            waiting: waiting.map(|waiting| WaitingView::new(waiting, record)),
            failure: standing.cause(record),
        }
    }
}

/// A delivery with its end, as in `trace` and `queue show`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TraceView<'a> {
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
    pub(crate) fn new(record: &'a DeliveryRecord, standing: &'a Standing<'_>, events: Option<Vec<&'a Event>>) -> Self {
        Self {
            delivery: DeliveryView::new(record, standing),
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
pub(crate) struct CountView<'a> {
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
pub(crate) struct MessageView<'a> {
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
    pub(crate) fn new(record: &'a MessageRecord, standing: &'a Standing<'_>, events: &'a [Event]) -> Self {
        let message = &record.message;
        Self {
            message: EnvelopeView {
                network_message_id: message.network_message_id,
                message_id: message.message_id.as_deref(),
                received: message.received,
                sender: &message.envelope.sender,
                subject: message.subject.as_deref(),
                size_bytes: message.size_bytes,
                client: message.client,
                body_type: message.envelope.body_type,
                smtputf8: message.envelope.smtputf8,
                content_kept: record.body_present,
            },
            deliveries: record.deliveries.iter().map(|record| TraceView::new(record, standing, None)).collect(),
            events,
        }
    }
}

/// The result of retry, suspend, resume and remove.
#[derive(Serialize)]
pub(crate) struct CommandedView {
    changed: u64,
    leased: u64,
}

impl From<Commanded> for CommandedView {
    fn from(Commanded { changed, leased }: Commanded) -> Self {
        Self { changed, leased }
    }
}

/// Writes `{"name": [` … `]`, one item a line, however many come.
pub(crate) struct List<'a> {
    out: &'a mut dyn Write,
    empty: bool,
}

impl<'a> List<'a> {
    pub(crate) fn open(name: &str, out: &'a mut dyn Write) -> io::Result<Self> {
        write!(out, "{{\"{name}\": [")?;
        Ok(Self { out, empty: true })
    }

    pub(crate) fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        let separator = if self.empty { "\n" } else { ",\n" };
        self.empty = false;
        write!(self.out, "{separator}{}", text(item)?)
    }

    /// Ends list and object; `rest` is more keys, each with a comma before it.
    pub(crate) fn close(self, rest: &str) -> io::Result<()> {
        writeln!(self.out, "\n]{rest}}}")
    }
}

/// Compact JSON in which characters that steer a terminal are escaped.
pub(crate) fn text(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string(value)?))
}

/// The same over several lines.
pub(crate) fn pretty(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string_pretty(value)?))
}

/// Such characters occur only within strings, and all of them are in the basic plane. Line ends are the layout's: those
/// of strings are escaped already.
fn escaped(json: String) -> String {
    let has_to_go = |c: char| steers(c) && c != '\n';
    if !json.contains(has_to_go) {
        return json;
    }
    let escape = |c: char| {
        if has_to_go(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    json.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_without_loss() {
        let foreign = serde_json::json!({ "a": ["\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{61c}\r\n", "日é😀"] });
        for text in [text(&foreign).unwrap(), pretty(&foreign).unwrap()] {
            assert!(!text.contains(|c: char| steers(c) && c != '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), foreign);
        }
    }
}
