//! Incidents.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use store::{Closed, Incident};
use uuid::Uuid;

/// One incident. Every key is always there; what does not apply is null.
#[derive(Serialize, JsonSchema)]
pub struct IncidentView<'a> {
    id: Uuid,
    connector: &'a str,
    /// Host and port, or the connector where it holds for several hosts.
    destination: &'a str,
    /// Id in the cause catalogue.
    cause: &'a str,
    /// The node that opened it.
    node: &'a str,
    #[schemars(with = "String", extend("format" = "date-time"))]
    opened: Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    last_seen: Timestamp,
    /// Null: it is open.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    closed: Option<Timestamp>,
    #[schemars(schema_with = "closed_because")]
    closed_because: Option<Closed>,
    /// Of the connector, when it was last seen or closed.
    messages_pending: u64,
    messages_pending_peak: u64,
    /// When the oldest of them was received.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    oldest: Option<Timestamp>,
    /// As in `gatepost why --format json`, when it was last seen.
    #[schemars(schema_with = "finding")]
    finding: Value,
}

fn closed_because(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "enum": ["mail-flows", "nothing-pending", "cause-changed", null] })
}

fn finding(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "Also with `scope`, `evidence`, `remedy`, `check` and times.",
        "required": ["cause", "confidence", "summary"],
        "properties": {
            "cause": { "type": "string" },
            "confidence": { "type": "number", "minimum": 0, "maximum": 1 },
            "summary": { "type": "string" },
        },
    })
}

impl<'a> From<&'a Incident> for IncidentView<'a> {
    fn from(incident: &'a Incident) -> Self {
        Self {
            id: incident.id,
            connector: &incident.connector,
            destination: &incident.destination,
            cause: &incident.cause,
            node: &incident.node,
            opened: incident.opened,
            last_seen: incident.last_seen,
            closed: incident.closed.map(|(at, _)| at),
            closed_because: incident.closed.map(|(_, because)| because),
            messages_pending: incident.pending,
            messages_pending_peak: incident.pending_peak,
            oldest: incident.oldest,
            finding: serde_json::from_str(&incident.finding).unwrap_or_default(),
        }
    }
}
