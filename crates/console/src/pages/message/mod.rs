//! `/messages/{id}`: one message, what became of it and why. What is written down each time: who has looked.

mod attempt;
mod content;
mod ladder;
mod timeline;

use axum::{extract::Path, response::Response};
use insight::{WaitReasons, export::sender};
use jiff::Timestamp;
use maud::{Markup, html};
use store::{Actor, ChangeLog as _, DeliveryRecord, History as _, Incident, MessageRecord, NewChange, Right};
use trace::{ChangeKind, Event, EventKind, change::AccessChange};
use uuid::Uuid;

pub(super) use attempt::show as attempt;
pub(super) use content::download;

use super::{
    Refusal,
    asked::Asked,
    incidents::{open_incidents, to_incident},
    queue::{DONE, buttons, form_of_buttons, notice},
    shell::{Section, Visit},
    status,
    words::{ago, foreign, number, size, time},
};

/// Recipients that the page shows in full; those that still wait come first.
const RECIPIENTS_MAX: usize = 20;

/// Records in the audit that a person looks at somebody's message.
async fn looked_at(visit: &Visit, message: Uuid) -> Result<(), Refusal> {
    let Actor { name: who, address: from } = visit.person.actor();
    let kind = ChangeKind::Access(AccessChange::MessageViewed { message });
    Ok(visit.node.store.record_change(NewChange { node: None, who, from, kind }).await?)
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>, mut asked: Asked) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let done = asked.take(DONE)?;
    let from = asked.take("from")?.map(|from| from.parse()).transpose();
    let from = from.map_err(|_| Refusal::bad_request("from: must be a number"))?;
    let store = &visit.node.store;
    let record = store.message(id).await?.ok_or_else(no_message)?;
    looked_at(&visit, id).await?;
    let events = store.events(id).await?;
    let (now, config) = (Timestamp::now(), visit.node.config.load_full());
    let reasons = WaitReasons::read(store, &*config, now).await?;
    let incidents = open_incidents(&visit.snapshot).await?;
    let (right, record, events) = (visit.person.right, &record, &events);
    let page = Page { right, record, events, incidents: &incidents, reasons: &reasons, now };
    let body = html! {
        p.kicker { a href="/trace" { "Trace" } " / message" }
        h1 { (page.title()) }
        (notice(done.as_deref()))
        (page.state())
        @if visit.person.may(Right::Operator) { (form_of_buttons(&visit.person, &format!("/messages/{id}"))) }
        (page.envelope())
        (page.timeline(from))
    };
    Ok(visit.page(Section::Trace, "Message", &body))
}

/// One message of this store.
struct Page<'a> {
    right: Right,
    record: &'a MessageRecord,
    events: &'a [Event],
    /// Open ones.
    incidents: &'a [Incident],
    reasons: &'a WaitReasons<'a>,
    now: Timestamp,
}

impl Page<'_> {
    fn title(&self) -> Markup {
        let subject = self.record.message.subject.as_deref().filter(|subject| !subject.trim().is_empty());
        html! { @match subject { Some(subject) => (foreign(subject)), None => "Message without a subject" } }
    }

    fn deliveries(&self) -> Vec<&DeliveryRecord> {
        let mut deliveries: Vec<&DeliveryRecord> = self.record.deliveries.iter().collect();
        deliveries.sort_by_key(|delivery| !status::waits_in_queue(delivery));
        deliveries
    }

    fn waiting(&self) -> u64 {
        self.record.deliveries.iter().filter(|delivery| status::waits_in_queue(delivery)).count() as u64
    }

    /// What has become of each recipient, and why.
    fn state(&self) -> Markup {
        let deliveries = self.deliveries();
        let more = deliveries.len().saturating_sub(RECIPIENTS_MAX);
        html! {
            section #message-state {
                ul.states {
                    @for delivery in deliveries.iter().take(RECIPIENTS_MAX) {
                        li {
                            (status::sentence(delivery, self.reasons, self.now))
                            @if deliveries.len() > 1 { div.quiet { "To " (foreign(delivery.delivery.recipient.as_str())) } }
                        }
                    }
                }
                @if more > 0 { p { "And " (number(more as u64)) " more recipients." } }
                (self.incidents())
                (self.actions())
            }
        }
    }

    /// Open incidents of the connectors on which it waits.
    fn incidents(&self) -> Markup {
        let waits_on = |connector: &str| {
            let of_connector = |delivery: &&DeliveryRecord| delivery.delivery.connector == connector;
            self.record.deliveries.iter().filter(of_connector).any(status::waits_in_queue)
        };
        html! {
            @for incident in self.incidents.iter().filter(|incident| waits_on(&incident.connector)) {
                p { (to_incident(incident)) }
            }
        }
    }

    fn actions(&self) -> Markup {
        let (id, waiting) = (self.record.message.network_message_id, self.waiting());
        let choice = insight::Choice { messages: vec![id], ..insight::Choice::default() };
        html! { @if waiting > 0 && self.right >= Right::Operator { (buttons(self.right, &choice, waiting)) } }
    }

    fn envelope(&self) -> Markup {
        let MessageRecord { message, body_present, .. } = self.record;
        let received_by = self.events.iter().find(|event| matches!(event.kind, EventKind::Received(_)));
        let to: Vec<&str> = self.deliveries().iter().map(|delivery| delivery.delivery.recipient.as_str()).collect();
        html! {
            dl.pairs.envelope {
                dt { "From" } dd { (self.record.deliveries.first().map_or_else(|| html! {}, |first| foreign(sender(first)))) }
                dt { "To" }
                dd {
                    @for (at, to) in to.iter().take(RECIPIENTS_MAX).enumerate() { @if at > 0 { ", " } (foreign(to)) }
                    @if to.len() > RECIPIENTS_MAX { " and " (number((to.len() - RECIPIENTS_MAX) as u64)) " more" }
                }
                dt { "Received" }
                dd {
                    (time(message.received)) " " span.quiet { (ago(message.received, self.now)) " ago" }
                    @if let Some(event) = received_by { " by " (foreign(&event.node)) }
                    @match message.client { Some(client) => { " from " (client) } None => " from the gateway itself" }
                }
                dt { "Size" } dd { (size(message.size_bytes)) }
                @if let Some(id) = &message.message_id { dt { "Message-ID" } dd { (foreign(id)) } }
                dt { "Id" } dd { code { (message.network_message_id) } }
                dt { "Content" }
                dd {
                    @if !body_present { "deleted, because no delivery needs it any more" }
                    @else if self.right >= Right::Administrator {
                        a href=(format!("/messages/{}/message.eml", message.network_message_id)) download { "message.eml" }
                    }
                    @else { "in the queue; an administrator can download it" }
                }
            }
        }
    }
}

fn message_id(text: &str) -> Result<Uuid, Refusal> {
    text.parse()
        .map_err(|_| Refusal::bad_request("id: must be a whole id, such as 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e."))
}

fn no_message() -> Refusal {
    Refusal::not_found(
        "There is no such message. It may be older than the history, see [history] keep in the configuration.",
    )
}
