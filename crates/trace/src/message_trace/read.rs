//! Reads extended reports and message tracking logs, a row at a time, in memory that does not grow with the file.
//!
//! Columns are found by their names, in any order: the file's `#Fields` line or its first row has them. Rows come in
//! the order of the file. Lines that are not rows are counted.

use std::io::{self, Read};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{COLUMNS, Column, NAMES, Row};
use crate::{
    cell::unguarded,
    foreign::{Detail, ForeignFormat, Rows, looks},
    records::{Record, Records},
};

pub static MESSAGE_TRACE: ForeignFormat = ForeignFormat {
    name: "message-trace",
    why_help: "Explain an extended message trace of Exchange Online; may be repeated",
    trace_help: "Show messages of an extended message trace of Exchange Online (CSV) instead of this gateway's history; may be \
                 repeated",
    open,
    detail: Detail::Summaries,
    server: None,
    has_connectors: true,
    lines_of: looks::message_trace,
};

pub static TRACKING_LOG: ForeignFormat = ForeignFormat {
    name: "tracking-log",
    why_help: "Explain an Exchange message tracking log; may be repeated",
    trace_help: "Show messages of an Exchange message tracking log; may be repeated",
    open,
    detail: Detail::Events,
    server: None,
    has_connectors: true,
    lines_of: looks::tracking_log,
};

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(Reader::new(file)?))
}

/// Rows that could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowsSkipped(pub u64);

/// Reads one file.
pub struct Reader<R: Read> {
    records: Records<R>,
    /// Where each column of the file goes: 0 is the time.
    order: Vec<Option<usize>>,
    record: Record,
    skipped: u64,
}

impl<R: Read> Reader<R> {
    /// Reads as far as the names of the columns.
    ///
    /// # Errors
    ///
    /// `InvalidData` where the file is neither an extended report nor a message tracking log.
    pub fn new(file: R) -> io::Result<Self> {
        let mut reader =
            Self { records: Records::new(file)?, order: Vec::new(), record: Record::default(), skipped: 0 };
        while reader.order.is_empty() {
            if !reader.records.read(&mut reader.record, |_| false)? || !reader.read_header() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not an Exchange message trace or tracking log: no #Fields line and no column date_time_utc or Received",
                ));
            }
        }
        Ok(reader)
    }

    /// What was skipped so far.
    pub fn skipped(&self) -> RowsSkipped {
        RowsSkipped(self.skipped + self.records.lost)
    }

    /// False if it is not a header line.
    fn read_header(&mut self) -> bool {
        let first = self.record.get(0).unwrap_or_default().trim_start_matches('\u{feff}');
        let names = match first.strip_prefix('#') {
            None => first,
            Some(header) => match header.split_once(':') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("fields") => value.trim(),
                _ => return true,
            },
        };
        let names = std::iter::once(names).chain(self.record.iter().skip(1));
        let order: Vec<Option<usize>> = names.map(place).collect();
        let is_trace = order.contains(&Some(0)) && order.iter().flatten().count() > 3;
        if is_trace {
            self.order = order;
        }
        is_trace
    }

    fn row(&self) -> Option<Row> {
        let mut row = Row { text: self.record.text().to_owned(), ..Row::default() };
        for (field, place) in self.order.iter().enumerate() {
            let (Some(place), Some(range)) = (place, self.record.range(field)) else { continue };
            let cell = self.record.get(field).unwrap_or_default();
            match place {
                0 => row.at = moment(cell),
                column => {
                    let text = unguarded(cell);
                    row.place(column - 1, range.start + text.start..range.start + text.end);
                }
            }
        }
        // A row cut at its beginning, or a line of something else.
        let has_event = !row[Column::EventId].is_empty();
        (self.record.len() > 3 && has_event).then_some(row)
    }
}

impl<R: Read> Rows for Reader<R> {
    fn line(&self) -> u64 {
        self.records.line
    }

    fn skipped(&self) -> u64 {
        self.skipped().0
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.read(&mut self.record, |line| looks_like_row(&self.order, line)) {
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
                // Files that were joined have headers in their midst.
                Ok(true) if self.record.get(0).is_some_and(|first| first.starts_with('#')) => {
                    self.read_header();
                }
                Ok(true) => match self.row() {
                    Some(row) => return Some(Ok(row)),
                    None => self.skipped += 1,
                },
            }
        }
    }
}

/// Whether a line is more likely a row than a part of a text in quotes: it has a time in the time's place, or an event and
/// as many fields as the header.
fn looks_like_row(order: &[Option<usize>], line: &Record) -> bool {
    let field = |place: usize| line.get(order.iter().position(|known| *known == Some(place))?);
    let has_event = || field(Column::EventId as usize + 1).is_some_and(|event| !event.is_empty());
    let has_time = field(0).and_then(moment).is_some();
    line.is_header() || (line.len() > 3 && (has_time || (line.len() == order.len() && has_event())))
}

/// A list of messages, as Get-MessageTraceV2 gives it and Export-Csv writes it, has the time as `Received`, and names of
/// its own. Its status stands where others have an event.
const LIST_NAMES: [(&str, Column); 10] = [
    ("senderaddress", Column::SenderAddress),
    ("recipientaddress", Column::RecipientAddress),
    ("subject", Column::MessageSubject),
    ("status", Column::EventId),
    ("toip", Column::ServerIp),
    ("fromip", Column::OriginalClientIp),
    ("size", Column::TotalBytes),
    ("messageid", Column::MessageId),
    ("messagetraceid", Column::NetworkMessageId),
    ("connectorid", Column::ConnectorId),
];

/// 0 for the time, 1 for the first other column.
fn place(name: &str) -> Option<usize> {
    let name = name.trim().trim_matches('"').to_ascii_lowercase().replace('-', "_");
    if name == "date_time" || name == "date_time_utc" || name == "received" {
        return Some(0);
    }
    let listed = LIST_NAMES.iter().find(|(known, _)| *known == name).map(|(_, column)| *column as usize);
    let place = listed.or_else(|| NAMES.iter().position(|(_, known)| *known == name))?;
    debug_assert!(place < COLUMNS);
    Some(place + 1)
}

/// ISO 8601; without a zone, UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_start_matches('\u{feff}');
    let local = || text.parse::<DateTime>().ok()?.to_zoned_datetime(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| local().map(|zoned| zoned.timestamp()))
}
