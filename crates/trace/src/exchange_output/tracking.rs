//! What `Get-MessageTrackingLog` and `Get-MessageTraceV2` print as a list, and the CSV that `Export-Csv` makes of the first.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    culture_time::CultureTimes,
    foreign::{Beginning, Detail, ForeignFormat, Rows, looks},
    message_trace::{Column, Row},
    named::{NamedReader, Record},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "tracking-output",
    why_help: "Explain the output of Get-MessageTrackingLog, as a list or as CSV; may be repeated",
    trace_help: "Show messages in the output of Get-MessageTrackingLog, as a list or as CSV; may be repeated",
    open,
    detail: Detail::Events,
    server: Some("Exchange's message tracking"),
    has_connectors: true,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    let is_tracking = beginning.has_names(&["timestamp", "eventid", "messageid"]);
    let is_trace =
        beginning.has_names(&["received", "status", "messagetraceid"]) && looks::is_powershell_list(beginning);
    beginning.all_if(is_tracking || is_trace)
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(NamedReader::new(file, zone, Box::new(take))?))
}

fn take(record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>) -> bool {
    let mut row = Row::default();
    for (name, value) in record.iter() {
        match column(name) {
            Some(column) => row.set(column, text(value)),
            None if name == "timestamp" => row.at = times.read(value),
            // Exchange Online gives times in UTC, Exchange in those of the server.
            None if name == "received" => row.at = CultureTimes::new(TimeZone::UTC).read(value),
            None => {}
        }
    }
    if is_lost(record.get("recipientstatus")) && matches!(&row[Column::EventId], "DEFER" | "FAIL") {
        row.set(Column::RecipientStatus, LOST);
    }
    let is_row = !row[Column::EventId].is_empty();
    if is_row {
        rows.push_back(row);
    }
    is_row
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "recipients" | "recipientaddress" => Column::RecipientAddress,
        "sender" | "senderaddress" => Column::SenderAddress,
        "subject" => Column::MessageSubject,
        "status" => Column::EventId,
        "size" => Column::TotalBytes,
        "messagetraceid" => Column::NetworkMessageId,
        "toip" => Column::ServerIp,
        "fromip" => Column::OriginalClientIp,
        "eventdata" | "customdata" => return None,
        name => return Column::named(name),
    })
}

/// Stands in the place of what the export lost.
const LOST: &str = "(the export has System.String[] here; export with Format-List, which keeps the text)";

fn is_lost(value: &str) -> bool {
    value.starts_with("System.") && value.ends_with("[]")
}

/// `{a, b}` is a list of two. In CSV a list is only said to be one, unless it is joined before the export.
fn text(value: &str) -> String {
    let inner = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        // An error is a list of one, and has braces of its own.
        Some(inner) if inner.starts_with('[') => inner.to_owned(),
        Some(inner) => inner.split(", ").map(|part| part.trim_end_matches("...")).collect::<Vec<_>>().join(";"),
        None if is_lost(value) => String::new(),
        None => value.to_owned(),
    }
}
