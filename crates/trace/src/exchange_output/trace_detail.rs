//! The CSV or list of `Get-MessageTraceDetailV2` and its forerunner: one row for each event of a message.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    culture_time::CultureTimes,
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    message_trace::{Column, CustomData, Row},
    named::{NamedReader, Record},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "trace-detail",
    why_help: "Explain the output of Get-MessageTraceDetailV2, as CSV or as a list; may be repeated",
    trace_help: "Show messages in the output of Get-MessageTraceDetailV2, as CSV or as a list; may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("Exchange Online's message trace"),
    has_connectors: true,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.all_if(beginning.has_names(&["date", "event", "detail"]) && beginning.has_names(&["messagetraceid"]))
}

/// Exchange Online gives times in UTC.
fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(NamedReader::new(file, TimeZone::UTC, Box::new(take))?))
}

fn take(record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>) -> bool {
    let event = record.get("event");
    let row = of_event(times.read(record.get("date")), event, record.get("detail"));
    let Some(mut row) = row else { return false };
    row.set(Column::MessageId, record.get("messageid"));
    row.set(Column::NetworkMessageId, record.get("messagetraceid"));
    row.set(Column::SenderAddress, record.get("senderaddress"));
    row.set(Column::RecipientAddress, record.get("recipientaddress"));
    let connector = data_value(record.get("data"), "ConnectorId");
    row.set(Column::ConnectorId, connector.unwrap_or_default());
    rows.push_back(row);
    true
}

/// A row of an event and its description; Graph has the same words.
pub(super) fn of_event(at: Option<Timestamp>, event: &str, detail: &str) -> Option<Row> {
    let name: String = event.chars().filter(char::is_ascii_alphanumeric).collect();
    if name.is_empty() {
        return None;
    }
    let mut row = Row::default();
    row.at = at;
    row.set(Column::Source, "SMTP");
    row.set(Column::EventId, name.to_ascii_uppercase());
    row.set(Column::RecipientStatus, detail.strip_prefix("Reason: ").unwrap_or(detail));
    if let Some((version, cipher)) = tls(detail) {
        let mut data = CustomData::default();
        data.add_tls(version, cipher);
        row.set(Column::CustomData, data);
    }
    Some(row)
}

/// `… using TLS1.2 with AES256`
fn tls(detail: &str) -> Option<(&str, &str)> {
    let (version, cipher) = detail.split_once(" using ")?.1.split_once(" with ")?;
    let cipher = cipher.split([' ', ',']).next()?.trim_end_matches('.');
    (version.starts_with("TLS") && !version.contains(' ') && !cipher.is_empty()).then_some((version, cipher))
}

/// `<root><MEP Name="ConnectorId" String="Default"/></root>`
fn data_value<'a>(data: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = data.split_once(&format!("Name=\"{name}\""))?;
    let (element, _) = rest.split_once('>')?;
    Some(element.split_once("String=\"")?.1.split_once('"')?.0)
}
