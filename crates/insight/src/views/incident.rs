//! Incidents.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Closed, Incident};
use uuid::Uuid;

use super::{FindingView, schema};

/// One incident. Every key is always present; a value that does not apply is null.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    pub id: Uuid,
    pub connector: String,
    /// Host and port, or the connector if the incident affects several hosts.
    pub destination: String,
    /// Id of the cause in the catalogue.
    pub cause: String,
    /// Node that opened the incident.
    pub node: String,
    #[schemars(schema_with = "schema::time")]
    pub opened: Timestamp,
    #[schemars(schema_with = "schema::time")]
    pub last_seen: Timestamp,
    /// Null: the incident is open.
    #[schemars(schema_with = "schema::time_or_null")]
    pub closed: Option<Timestamp>,
    #[schemars(schema_with = "schema::closed_because")]
    pub closed_because: Option<Closed>,
    /// Waiting messages of the connector when the incident was last seen or closed.
    pub messages_pending: u64,
    pub messages_pending_peak: u64,
    /// Time when the oldest waiting message was received.
    #[schemars(schema_with = "schema::time_or_null")]
    pub oldest: Option<Timestamp>,
    /// The finding when the incident was last seen, or as it ended, as in `gatepost why --format json`.
    #[schemars(with = "FindingView")]
    pub finding: Value,
}

impl From<&Incident> for IncidentView {
    fn from(incident: &Incident) -> Self {
        Self {
            id: incident.id,
            connector: incident.connector.clone(),
            destination: incident.destination.clone(),
            cause: incident.cause.clone(),
            node: incident.node.clone(),
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
