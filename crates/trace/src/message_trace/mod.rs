//! Message traces as files: Exchange Online's enhanced summary and extended report (CSV), and Exchange's message
//! tracking log. The last two say the same, one row for each event, under two spellings of the same columns.
//!
//! Source: Microsoft's documentation of message trace and message tracking, as far as published files bear it out.

mod custom_data;
mod read;
mod status;
mod write;

use std::{
    fmt,
    ops::{Index, Range},
};

use jiff::Timestamp;

pub use custom_data::{CustomData, custom_value};
pub use read::{MESSAGE_TRACE, Reader, RowsSkipped, TRACKING_LOG};
pub use status::Status;
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

impl Column {
    /// By the letters of its name, in lower case.
    pub(crate) fn named(letters: &str) -> Option<Self> {
        let is_it = |name: &str| name.bytes().filter(|byte| *byte != b'_').eq(letters.bytes());
        NAMES.iter().find(|(_, name)| is_it(name)).map(|(column, _)| *column)
    }
}

/// One event of one message. What a column says is text, as in the file; empty where it says nothing.
#[derive(Clone, Default)]
pub struct Row {
    /// `None` if the field is not a time.
    pub at: Option<Timestamp>,
    /// What all columns say, in any order: rows are many, and one text costs less than 29.
    text: String,
    places: [Place; COLUMNS],
}

/// Where a column stands in its row's text.
#[derive(Clone, Copy, Default)]
struct Place {
    start: u32,
    end: u32,
}

impl Row {
    /// With room for its text: a log has millions of rows.
    pub(crate) fn with_room() -> Self {
        const USUAL_BYTES: usize = 480;
        Self { text: String::with_capacity(USUAL_BYTES), ..Self::default() }
    }

    /// What was set before stays in the text, unseen.
    pub fn set(&mut self, column: Column, value: impl AsRef<str>) {
        let start = self.text.len();
        self.text.push_str(value.as_ref());
        self.place(column as usize, start..self.text.len());
    }

    /// The same row with other values.
    pub fn map(&self, value: impl Fn(Column, &str) -> String) -> Self {
        let mut row = Self { at: self.at, ..Self::default() };
        for (column, _) in NAMES {
            row.set(column, value(column, &self[column]));
        }
        row
    }

    fn place(&mut self, column: usize, range: Range<usize>) {
        // No row is so large that a number is cut here; were it, the column would say nothing.
        let numbers = (u32::try_from(range.start), u32::try_from(range.end));
        self.places[column] = if let (Ok(start), Ok(end)) = numbers { Place { start, end } } else { Place::default() };
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| self.text_at(*place))
    }

    fn text_at(&self, place: Place) -> &str {
        self.text.get(place.start as usize..place.end as usize).unwrap_or_default()
    }
}

impl Index<Column> for Row {
    type Output = str;

    fn index(&self, column: Column) -> &str {
        self.text_at(self.places[column as usize])
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && self.values().eq(other.values())
    }
}

impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = NAMES.iter().map(|(column, name)| (name, &self[*column])).filter(|(_, value)| !value.is_empty());
        f.debug_map().entry(&"at", &self.at).entries(said).finish()
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
