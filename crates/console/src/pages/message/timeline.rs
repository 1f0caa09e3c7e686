//! The events of a message in the order of time. The events of one attempt are one item, whatever the number of its recipients.

use maud::{Markup, html};
use trace::{Attempt, Event, EventKind, Received};

use super::{Page, ladder::ladder};
use crate::pages::{
    asked::link,
    status::failure_alone,
    words::{clock, foreign, number, size},
};

/// Items on one page, the newest ones.
const ITEMS_MAX: usize = 40;
/// Recipients that an item names.
const NAMED_MAX: usize = 3;

/// Events that belong together: those of one attempt with the same result.
type Item<'a> = Vec<&'a Event>;

impl Page<'_> {
    /// The last items, or those from a number on.
    pub(super) fn timeline(&self, from: Option<usize>) -> Markup {
        let items = items(self.events);
        let last = items.len().saturating_sub(ITEMS_MAX);
        let from = from.unwrap_or(last).min(last);
        let path = format!("/messages/{}", self.record.message.network_message_id);
        let start = |from: usize| link(&path, [("from", from.to_string())]);
        html! {
            section #message-events {
                h2 { "What happened" }
                @if from > 0 {
                    p { a href=(start(from.saturating_sub(ITEMS_MAX))) { (number(from as u64)) " earlier" } }
                }
                ol.timeline { @for item in items.iter().skip(from).take(ITEMS_MAX) { (self.item(item)) } }
                @if from < last { p { a href=(start(from + ITEMS_MAX)) { "Later" } } }
            }
        }
    }

    fn item(&self, item: &Item<'_>) -> Markup {
        let Some(event) = item.first() else { return html! {} };
        html! {
            li {
                (clock(event.at, self.now)) " " b { (foreign(&event.node)) }
                div {
                    @match (&event.kind, event.kind.attempt()) {
                        (kind, Some(attempt)) => (self.attempt(item, kind, attempt)),
                        (EventKind::Received(received), _) => (received_from(received)),
                        (EventKind::Failed { failure, .. }, _) => {
                            span.key.fails {} b { "bounced" } (to(item)) ": " (foreign(&failure.summary()))
                        }
                        (kind, None) => { (foreign(&insight::deed(kind).unwrap_or_default())) (to(item)) }
                    }
                }
            }
        }
    }

    fn attempt(&self, item: &Item<'_>, kind: &EventKind, attempt: &Attempt) -> Markup {
        let path = format!("/messages/{}/attempts/{}", self.record.message.network_message_id, attempt.session);
        html! {
            p {
                (result(kind)) (to(item)) " through " (foreign(&attempt.connector))
                @if let Some(destination) = &attempt.destination { " to " (foreign(&destination.to_string())) }
                (protection(attempt))
                ", policy " (foreign(&attempt.tls_policy))
                @if let Some(failure) = kind.failure() { ": " (failure_alone(failure)) }
                @if let EventKind::Delivered { reply, .. } = kind { ": " (foreign(&reply.to_string())) }
                @if let EventKind::Deferred { due, .. } = kind { ". Next attempt at " (clock(*due, self.now)) }
                "."
            }
            (ladder(kind, attempt))
            @if is_session(&attempt.session) { p { a href=(path) { "Dialogue, handshake and certificate" span.hidden { " of session " (attempt.session) } } } }
        }
    }
}

/// A session id of this gateway.
fn is_session(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The result of an attempt, with its shape.
pub(super) fn result(kind: &EventKind) -> Markup {
    let (class, word) = match kind {
        EventKind::Delivered { .. } => ("works", "delivered"),
        EventKind::Deferred { .. } => ("fails", "deferred"),
        EventKind::HostFailed { .. } => ("fails", "host failed, the node tried the next host"),
        _ => ("fails", "bounced"),
    };
    html! { span.key.(class) {} b { (word) } }
}

/// TLS, or why there was none.
fn protection(attempt: &Attempt) -> Markup {
    html! {
        @match (&attempt.tls, &attempt.plaintext_because) {
            (_, Some(failure)) => {
                " in plaintext, because the TLS handshake failed (" (foreign(&failure.kind.to_string())) ")"
            }
            (Some(tls), None) => { " with " (foreign(&tls.version)) " " (foreign(&tls.cipher)) }
            (None, None) => {}
        }
    }
}

fn received_from(received: &Received) -> Markup {
    html! {
        "received"
        @match received.from {
            Some(address) => { " from " (address) @if !received.ehlo_name.is_empty() { " (" (foreign(&received.ehlo_name)) ")" } }
            None => ", created by the gateway"
        }
        @if let Some(tls) = &received.tls { " with " (foreign(&tls.version)) " " (foreign(&tls.cipher)) }
        ", " (size(received.size_bytes)) ", " (number(received.recipients.into()))
        @if received.recipients == 1 { " recipient" } @else { " recipients" }
    }
}

/// The recipients of an item. Nothing for an event of the whole message.
fn to(item: &Item<'_>) -> Markup {
    let named: Vec<&str> = item.iter().filter_map(|event| Some(event.recipient.as_ref()?.as_str())).collect();
    let more = named.len().saturating_sub(NAMED_MAX);
    html! {
        @if !named.is_empty() {
            " for "
            @for (at, name) in named.iter().take(NAMED_MAX).enumerate() { @if at > 0 { ", " } (foreign(name)) }
            @if more > 0 { " and " (number(more as u64)) " more" }
        }
    }
}

/// Events that follow each other and differ in the recipient only.
fn items(events: &[Event]) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    for event in events {
        match items.last_mut() {
            Some(item) if item.last().is_some_and(|last| is_alike(last, event)) => item.push(event),
            _ => items.push(vec![event]),
        }
    }
    items
}

fn is_alike(a: &Event, b: &Event) -> bool {
    let both = a.recipient.is_some() && b.recipient.is_some();
    let same_failure = a.kind.failure() == b.kind.failure();
    both && a.kind.name() == b.kind.name()
        && match (a.kind.attempt(), b.kind.attempt()) {
            (Some(one), Some(other)) => one.session == other.session && same_failure,
            (None, None) => a.at == b.at && a.kind == b.kind,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan};
    use protocol::smtp::Address;
    use uuid::Uuid;

    use super::*;

    fn event(recipient: Option<&str>, kind: EventKind, second: i64) -> Event {
        let recipient = recipient.map(|text| Address::parse(text).unwrap());
        Event {
            at: Timestamp::UNIX_EPOCH + second.seconds(),
            node: "mx1".to_owned(),
            message: Uuid::nil(),
            recipient,
            kind,
        }
    }

    #[test]
    fn recipients_that_share_a_fate_share_an_item() {
        let by = |by: &str| EventKind::Suspended { by: by.to_owned() };
        let events = [
            event(Some("a@x.test"), by("eve"), 0),
            event(Some("b@x.test"), by("eve"), 0),
            event(Some("c@x.test"), by("ana"), 0),
            event(Some("d@x.test"), by("ana"), 1),
            event(None, by("ana"), 1),
            event(None, by("ana"), 1),
        ];
        let sizes: Vec<usize> = items(&events).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 1]);
    }
}
