//! The enhanced summary of Exchange Online: one record for each message, with each recipient and what became of it. The
//! service writes it, and so does Gatepost.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    culture_time::CultureTimes,
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    message_trace::{Column, Row},
    named::{NamedReader, Record},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "enhanced-summary",
    why_help: "Explain an enhanced summary of Exchange Online (CSV), which has outcomes but no errors; may be repeated",
    trace_help: "Show messages of an enhanced summary of Exchange Online (CSV); may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("Exchange Online's message trace"),
    has_connectors: true,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.all_if(beginning.has_names(&["origintimestamputc", "recipientstatus"]))
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(NamedReader::new(file, TimeZone::UTC, Box::new(take))?))
}

fn take(record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>) -> bool {
    let mut base = Row::default();
    base.at = times.read(record.get("origintimestamputc"));
    base.set(Column::Source, "SMTP");
    for (column, name) in [
        (Column::SenderAddress, "senderaddress"),
        (Column::MessageSubject, "messagesubject"),
        (Column::TotalBytes, "totalbytes"),
        (Column::MessageId, "messageid"),
        (Column::NetworkMessageId, "networkmessageid"),
        (Column::OriginalClientIp, "originalclientip"),
        (Column::ConnectorId, "connectorid"),
    ] {
        base.set(column, record.get(name));
    }
    let before = rows.len();
    for part in record.get("recipientstatus").split(';') {
        let Some((recipient, status)) = part.rsplit_once("##") else { continue };
        let last = status.split(',').next_back().unwrap_or_default().trim();
        let mut row = base.clone();
        row.set(Column::RecipientAddress, recipient.trim());
        row.set(Column::EventId, if last.is_empty() { "RECEIVE".to_owned() } else { last.to_ascii_uppercase() });
        // The summary has no errors, so a bounce says where they are.
        let is_bounce = last.eq_ignore_ascii_case("fail");
        let more = if is_bounce { " (the summary does not say why; Get-MessageTraceDetailV2 does)" } else { "" };
        row.set(Column::RecipientStatus, format!("{}{more}", status.trim()));
        rows.push_back(row);
    }
    rows.len() > before
}
