//! Reports an incident to the log and to the webhook.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::{Closed, Incident, WebhookCall};
use trace::NextStep;
use uuid::Uuid;

/// The body of a webhook call. Every key is always there. A key that does not apply is null.
#[derive(Serialize)]
struct Body<'a> {
    /// Id of this event, the same at each attempt to send it.
    id: Uuid,
    event: &'static str,
    time: Timestamp,
    /// The node that decided it.
    node: &'a str,
    /// The same for both events of one incident.
    incident: Uuid,
    connector: &'a str,
    destination: &'a str,
    cause: &'a str,
    opened: Timestamp,
    closed: Option<Timestamp>,
    closed_because: Option<Closed>,
    messages_pending: u64,
    messages_pending_peak: u64,
    /// When the oldest waiting message was received.
    oldest: Option<Timestamp>,
    /// As in `gatepost why --format json`.
    finding: Value,
    /// The command that shows more.
    command: String,
}

fn event(incident: &Incident) -> &'static str {
    if incident.closed.is_some() { "incident.closed" } else { "incident.opened" }
}

/// A call that is due now.
pub(super) fn call(incident: &Incident, node: &str, now: Timestamp) -> WebhookCall {
    let id = Uuid::now_v7();
    let body = Body {
        id,
        event: event(incident),
        time: now,
        node,
        incident: incident.id,
        connector: &incident.connector,
        destination: &incident.destination,
        cause: &incident.cause,
        opened: incident.opened,
        closed: incident.closed.map(|(at, _)| at),
        closed_because: incident.closed.map(|(_, because)| because),
        messages_pending: incident.pending,
        messages_pending_peak: incident.pending_peak,
        oldest: incident.oldest,
        finding: serde_json::from_str(&incident.finding).unwrap_or_default(),
        command: NextStep::IncidentShow(incident.id).to_string(),
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    WebhookCall { id, incident: incident.id, body, attempts: 0 }
}

pub(super) fn log(incident: &Incident) {
    let Incident { id, connector, destination, cause, pending, pending_peak, .. } = incident;
    let finding: Value = serde_json::from_str(&incident.finding).unwrap_or_default();
    let summary = finding["summary"].as_str().unwrap_or_default();
    match incident.closed {
        None => tracing::warn!(incident = %id, connector, destination, cause, pending, summary, "incident opened"),
        Some((_, because)) => {
            tracing::info!(incident = %id, connector, destination, cause, pending_peak, %because, "incident closed");
        }
    }
}
