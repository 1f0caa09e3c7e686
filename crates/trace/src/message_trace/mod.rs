//! Message traces as files: Exchange Online's enhanced summary and extended report (CSV), and Exchange's message
//! tracking log. The last two say the same, one row for each event, under two spellings of the same columns.
//!
//! Source: Microsoft's documentation of message trace and message tracking, as far as published files bear it out.

mod read;
mod write;

use std::ops::Index;

use jiff::Timestamp;

pub use read::{Reader, RowsSkipped};
pub use write::{Encoding, EventWriter, Layout, Summary, SummaryWriter};

/// A column of the extended report and of the message tracking log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    ClientIp,
    ClientHostname,
    ServerIp,
    ServerHostname,
    SourceContext,
    ConnectorId,
    Source,
    EventId,
    InternalMessageId,
    MessageId,
    NetworkMessageId,
    RecipientAddress,
    RecipientStatus,
    TotalBytes,
    RecipientCount,
    RelatedRecipientAddress,
    Reference,
    MessageSubject,
    SenderAddress,
    ReturnPath,
    MessageInfo,
    Directionality,
    TenantId,
    OriginalClientIp,
    OriginalServerIp,
    CustomData,
    TransportTrafficType,
    LogId,
    SchemaVersion,
}

/// Number and order of the columns after the time.
const COLUMNS: usize = 29;

/// As the extended report writes them; the tracking log has `-` in the place of `_`. The last three are the tracking
/// log's alone.
const NAMES: [(Column, &str); COLUMNS] = [
    (Column::ClientIp, "client_ip"),
    (Column::ClientHostname, "client_hostname"),
    (Column::ServerIp, "server_ip"),
    (Column::ServerHostname, "server_hostname"),
    (Column::SourceContext, "source_context"),
    (Column::ConnectorId, "connector_id"),
    (Column::Source, "source"),
    (Column::EventId, "event_id"),
    (Column::InternalMessageId, "internal_message_id"),
    (Column::MessageId, "message_id"),
    (Column::NetworkMessageId, "network_message_id"),
    (Column::RecipientAddress, "recipient_address"),
    (Column::RecipientStatus, "recipient_status"),
    (Column::TotalBytes, "total_bytes"),
    (Column::RecipientCount, "recipient_count"),
    (Column::RelatedRecipientAddress, "related_recipient_address"),
    (Column::Reference, "reference"),
    (Column::MessageSubject, "message_subject"),
    (Column::SenderAddress, "sender_address"),
    (Column::ReturnPath, "return_path"),
    (Column::MessageInfo, "message_info"),
    (Column::Directionality, "directionality"),
    (Column::TenantId, "tenant_id"),
    (Column::OriginalClientIp, "original_client_ip"),
    (Column::OriginalServerIp, "original_server_ip"),
    (Column::CustomData, "custom_data"),
    (Column::TransportTrafficType, "transport_traffic_type"),
    (Column::LogId, "log_id"),
    (Column::SchemaVersion, "schema_version"),
];

/// One event of one message. What a column says is text, as in the file; empty where it says nothing.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Row {
    /// `None` where the field is no time.
    pub at: Option<Timestamp>,
    values: [String; COLUMNS],
}

impl Row {
    pub fn set(&mut self, column: Column, value: impl Into<String>) {
        self.values[column as usize] = value.into();
    }
}

impl Index<Column> for Row {
    type Output = str;

    fn index(&self, column: Column) -> &str {
        &self.values[column as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_their_columns() {
        for (index, (column, _)) in NAMES.iter().enumerate() {
            assert_eq!(*column as usize, index);
        }
    }
}
