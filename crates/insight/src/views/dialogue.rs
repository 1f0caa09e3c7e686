//! The view of a dialogue: what was said in one session, as the protocol log of its node has it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trace::protocol_log::{Row, RowKind};

use super::schema;

/// One line of a session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DialogueLineView {
    #[schemars(schema_with = "schema::time_or_null")]
    pub at: Option<Timestamp>,
    pub kind: DialogueLineKind,
    /// What was said; of a note, what it says.
    pub text: String,
    /// Of a note, what it is about, such as a certificate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DialogueLineKind {
    Connected,
    Disconnected,
    /// By the gateway.
    Sent,
    Received,
    Note,
}

impl From<Row> for DialogueLineView {
    fn from(row: Row) -> Self {
        let Row { at, kind, data, context, .. } = row;
        let kind = match kind {
            RowKind::Connect => DialogueLineKind::Connected,
            RowKind::Disconnect => DialogueLineKind::Disconnected,
            RowKind::Sent => DialogueLineKind::Sent,
            RowKind::Received => DialogueLineKind::Received,
            RowKind::Information => DialogueLineKind::Note,
        };
        match kind {
            DialogueLineKind::Note => Self { at, kind, text: context, about: data },
            _ => Self { at, kind, text: data, about: context },
        }
    }
}
