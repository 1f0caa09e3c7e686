//! Message traces as Microsoft Graph answers (`admin/exchange/tracing/messageTraces`): pages of messages, and the details
//! of one message (`getDetailsByRecipient`), which may also stand inside their message.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::trace_detail;
use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    json_values::{JsonReader, text},
    message_trace::{Column, Row},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "graph-trace",
    why_help: "Explain message traces of Microsoft Graph (JSON), with their details; may be repeated",
    trace_help: "Show messages of message traces of Microsoft Graph (JSON); may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("Exchange Online's message trace"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    let is_trace = beginning.has_keys(&["recipientAddress", "receivedDateTime"]);
    let is_detail = beginning.has_keys(&["event", "description", "messageId"]);
    beginning.all_if(is_trace || is_detail)
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(JsonReader::new(file, Box::new(take))?))
}

fn take(value: &Value, rows: &mut VecDeque<Row>) -> bool {
    if value.get("event").is_some() {
        let row = detail(value, None);
        let is_row = row.is_some();
        rows.extend(row);
        return is_row;
    }
    if value.get("recipientAddress").is_none() {
        return false;
    }
    let mut row = Row::default();
    row.at = text(value, "receivedDateTime").parse().ok();
    row.set(Column::Source, "SMTP");
    for (column, name) in [
        (Column::NetworkMessageId, "id"),
        (Column::SenderAddress, "senderAddress"),
        (Column::RecipientAddress, "recipientAddress"),
        (Column::MessageId, "messageId"),
        (Column::MessageSubject, "subject"),
        (Column::TotalBytes, "size"),
        (Column::OriginalClientIp, "fromIP"),
        (Column::ServerIp, "toIP"),
        (Column::EventId, "status"),
    ] {
        row.set(column, text(value, name));
    }
    if row[Column::EventId].is_empty() {
        row.set(Column::EventId, "RECEIVE");
    }
    let inner = ["details", "messageTraceDetails", "value"].iter().filter_map(|name| value.get(name)?.as_array());
    let details: Vec<Row> = inner.flatten().filter_map(|inner| detail(inner, Some(&row))).collect();
    rows.push_back(row);
    rows.extend(details);
    true
}

/// `message` has what the detail itself has not.
fn detail(value: &Value, message: Option<&Row>) -> Option<Row> {
    let at = ["dateTime", "date"].iter().find_map(|name| text(value, name).parse().ok());
    let mut row = trace_detail::of_event(at, &text(value, "event"), &text(value, "description"))?;
    row.set(Column::MessageId, text(value, "messageId"));
    for column in [Column::NetworkMessageId, Column::SenderAddress, Column::RecipientAddress, Column::MessageSubject] {
        row.set(column, message.map(|message| &message[column]).unwrap_or_default());
    }
    if let Some(message) = message.filter(|_| row[Column::MessageId].is_empty()) {
        row.set(Column::MessageId, &message[Column::MessageId]);
    }
    Some(row)
}
