//! Attempts from the gateway's own events.

use std::{borrow::Cow, collections::HashSet};

use jiff::{SignedDuration, Timestamp};
use protocol::smtp::{Address, Failure};
use trace::{Event, EventKind};

use super::inbound_history;
use crate::evidence::{Attempt, Connection, Direction, Evidence, Failed, Place, Sign, Signs, Source};

/// Adds the attempts in a message's events, or its receipt where the evidence is about mail that comes in. `message_id` is the header field, if the message has one.
pub fn add_history(evidence: &mut Evidence, events: &[Event], message_id: Option<&str>) {
    match evidence.direction() {
        Direction::Outbound => add(evidence, events, message_id, |event| event.kind.failure()),
        Direction::Inbound => inbound_history::add(evidence, events, message_id),
    }
}

/// Attempts judged by encryption: mail that was delivered in plaintext because TLS had failed, failed by that. A connection
/// counts once, however many messages went over it: it had one handshake. Where TLS was not offered, or not wanted,
/// nothing can be said of it.
#[derive(Debug, Default)]
pub struct Encryption {
    /// Node and session of the connections that were counted.
    connections: HashSet<(String, String)>,
}

impl Encryption {
    pub fn add(&mut self, evidence: &mut Evidence, events: &[Event], message_id: Option<&str>) {
        let mut counts = |event: &Event| {
            let Some(attempt) = event.kind.attempt() else { return true };
            let tried_tls = attempt.tls.is_some() || attempt.plaintext_because.is_some();
            let failed = event.kind.failure().is_some();
            failed || (tried_tls && self.connections.insert((event.node.clone(), attempt.session.clone())))
        };
        let counted: Vec<Event> = events.iter().filter(|event| counts(event)).cloned().collect();
        add_by_encryption(evidence, &counted, message_id);
    }
}

fn add_by_encryption(evidence: &mut Evidence, events: &[Event], message_id: Option<&str>) {
    add(evidence, events, message_id, |event| {
        event.kind.failure().or_else(|| event.kind.attempt()?.plaintext_because.as_ref())
    });
}

fn add(
    evidence: &mut Evidence,
    events: &[Event],
    message_id: Option<&str>,
    failure: impl Fn(&Event) -> Option<&Failure>,
) {
    let received = events.iter().find_map(|event| match &event.kind {
        EventKind::Received(received) => Some(received),
        _ => None,
    });
    let sender = received.and_then(|received| received.sender.address());
    let message_bytes = received.map(|received| received.size_bytes);
    for event in events {
        if let (EventKind::Removed { .. }, Some(recipient)) = (&event.kind, &event.recipient) {
            evidence.remove(&event.message.to_string(), recipient.as_str());
        }
        if let EventKind::Interrupted { leased_by } = &event.kind {
            evidence.add_restart(leased_by, event.at);
        }
        add_event(evidence, event, sender, message_bytes, message_id, failure(event));
    }
}

/// Adds the attempt that an event is the result of, if it is of one.
fn add_event(
    evidence: &mut Evidence,
    event: &Event,
    sender: Option<&Address>,
    message_bytes: Option<u64>,
    message_id: Option<&str>,
    failure: Option<&Failure>,
) {
    let Some(recorded) = event.kind.attempt() else { return };
    let destination = recorded.destination.as_ref();
    let recipient = event.recipient.as_ref();
    let attempt = Attempt {
        at: Some(event.at),
        session: Some(Cow::from(&recorded.session)),
        connection: connection(event, recorded),
        message: recipient.map(|_| event.message.to_string().into()),
        recipient: recipient.map(|recipient| recipient.as_str().into()),
        message_id: message_id.map(Cow::from),
        connector: Some(Cow::from(&recorded.connector)),
        node: Some(Cow::from(&event.node)),
        source_address: recorded.local.map(|local| local.ip()),
        destination: destination.map(|destination| (Cow::from(&destination.host), Some(destination.port))),
        destination_address: destination.and_then(|destination| destination.address).map(|address| address.ip()),
        tls_policy: Some(Cow::from(&recorded.tls_policy)).filter(|policy| !policy.is_empty()),
        tls: recorded.tls.as_ref().map(|tls| (Cow::from(&tls.version), Cow::from(&tls.cipher))),
        handshake: recorded.handshake.as_deref().map(Cow::Borrowed),
        message_bytes,
        sender_domain: sender.map(|sender| sender.domain().into()),
        recipient_domain: recipient.map(|recipient| recipient.domain().into()),
        plaintext_after: recorded.plaintext_because.as_ref().filter(|_| failure.is_none()).map(plaintext_after),
        failure: failure.map(|failure| failed(failure, event, recorded)),
        ..Attempt::by(Source::History)
    };
    evidence.add(&attempt, || Some(Place::Session { id: recorded.session.clone(), file: None }));
}

/// How TLS failed before mail left without it.
fn plaintext_after(failure: &Failure) -> Box<Failed<'static>> {
    Box::new(Failed::of(failure, failure.summary()))
}

fn connection(event: &Event, attempt: &trace::Attempt) -> Option<Connection> {
    let (client, server) = (attempt.local?, attempt.destination.as_ref()?.address?);
    let began = event.at.checked_sub(SignedDuration::from_millis(attempt.duration_ms.try_into().ok()?)).ok()?;
    Some(Connection { client, server, began })
}

/// Adds deliveries (message, recipient, time of receipt) that wait without an attempt, because all nodes have paused the
/// connector after its last failure, at `at`.
pub fn add_paused<'a>(
    evidence: &mut Evidence,
    connector: &str,
    failure: &Failure,
    at: Timestamp,
    deliveries: impl Iterator<Item = (&'a str, &'a str, Timestamp)>,
) {
    let destination = failure.destination.as_ref();
    let last_failure = Attempt {
        at: Some(at),
        connector: Some(connector.into()),
        destination: destination.map(|to| (Cow::from(&to.host), Some(to.port))),
        destination_address: destination.and_then(|to| to.address).map(|address| address.ip()),
        failure: Some(Failed::of(failure, failure.summary())),
        ..Attempt::by(Source::History)
    };
    evidence.add_untried(&last_failure, deliveries);
}

/// Why a delivery failed, as the sender saw it.
fn failed(failure: &Failure, event: &Event, attempt: &trace::Attempt) -> Failed<'static> {
    let mut failed = Failed::of(failure, failure.summary());
    if let Some(before) = &attempt.plaintext_because {
        failed.signs = failed.signs.union(Signs::of_kind(&before.kind));
    }
    failed.signs = failed.signs.and_if(matches!(event.kind, EventKind::Failed { .. }), Sign::GivenUp);
    failed
}
