//! Messages of other systems.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use crate::{ForeignMessage, Status};

/// One message for one recipient, as far as the files show it. What they do not show is empty or null.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ForeignMessageView {
    #[schemars(schema_with = "schema::time_or_null")]
    pub received: Option<Timestamp>,
    pub status: Status,
    pub sender: String,
    pub recipient: String,
    pub subject: String,
    pub message_id: String,
    pub network_message_id: String,
    /// The last reply or failure.
    pub why: String,
}

impl From<&ForeignMessage> for ForeignMessageView {
    fn from(message: &ForeignMessage) -> Self {
        Self {
            received: message.received,
            status: message.status,
            sender: message.sender.clone(),
            recipient: message.recipient.clone(),
            subject: message.subject.clone(),
            message_id: message.message_id.clone(),
            network_message_id: message.network_message_id.clone(),
            why: message.why.clone(),
        }
    }
}
