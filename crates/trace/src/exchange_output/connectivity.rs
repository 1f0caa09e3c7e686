//! The transport connectivity log of Exchange: connections to destinations, without their messages. What stands there of a
//! destination's queue counts its messages.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    culture_time::CultureTimes,
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Server},
    message_trace::{Column, CustomData, Row},
    named::{NamedReader, Record},
    open_messages::OpenMessages,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "connectivity-log",
    why_help: "Explain a transport connectivity log of Exchange; may be repeated",
    trace_help: "Show the destinations in a transport connectivity log of Exchange; may be repeated",
    open,
    detail: Detail::Events,
    server: Some("Exchange's connections"),
    has_connectors: false,
    lines_of,
};

const NAMES: &str = "date-time,session,source,Destination,direction,description\n";

fn lines_of(beginning: &Beginning) -> usize {
    let is_named = beginning.header("log-type").is_some_and(|kind| kind.contains("connectivity log"));
    if is_named {
        return beginning.all_if(true);
    }
    beginning.count(is_row)
}

/// Of a log without its header: a session of 16 hex digits, and a direction.
fn is_row(line: &str) -> bool {
    let fields: Vec<&str> = line.splitn(6, ',').collect();
    let [at, session, _, _, direction, _] = fields[..] else { return false };
    let is_session = session.len() == 16 && session.bytes().all(|byte| byte.is_ascii_hexdigit());
    at.as_bytes().get(10) == Some(&b'T') && is_session && matches!(direction, "+" | "-" | ">")
}

fn open<'a>(mut file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    let mut first = [0; 1];
    let read = file.read(&mut first)?;
    let rest = io::Cursor::new(first).take(read as u64).chain(file);
    // A log that is cut begins with a row.
    let file: Box<dyn Read + 'a> =
        if first[0].is_ascii_digit() { Box::new(NAMES.as_bytes().chain(rest)) } else { Box::new(rest) };
    let mut log = Log { sessions: OpenMessages::new() };
    let take = move |record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>| log.take(record, times, rows);
    Ok(Box::new(NamedReader::new(file, TimeZone::UTC, Box::new(take))?))
}

struct Log {
    sessions: OpenMessages<Session>,
}

#[derive(Default)]
struct Session {
    /// The servers that it is to try, as `mx.a.example[192.0.2.1]`, and the one that it tries.
    servers: String,
    queued: u64,
    /// A failure was given out, so that the end of the session is not another.
    has_failed: bool,
}

impl Log {
    fn take(&mut self, record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>) -> bool {
        let (id, direction) = (record.get("session"), record.get("direction"));
        let (destination, description) = (record.get("destination"), record.get("description"));
        if id.is_empty() || !matches!(direction, "+" | "-" | ">") {
            return false;
        }
        if !record.get("source").eq_ignore_ascii_case("smtp") {
            return true;
        }
        let session = self.sessions.entry(id);
        let event = match direction {
            "+" => {
                session.queued = number_after(description, "QueueLength=");
                None
            }
            ">" => session.note(description),
            _ => session.end(description),
        };
        if let Some(event) = event {
            let at = times.read(record.get("datetime"));
            rows.push_back(session.row(event, at, destination, description));
        }
        if direction == "-" {
            self.sessions.remove(id);
        }
        true
    }
}

impl Session {
    fn note(&mut self, description: &str) -> Option<Event> {
        // Names of servers may have any words in them.
        let is_server = |part: &str| part.trim().ends_with(']') && !part.trim().contains(' ');
        if description.split(',').all(is_server) {
            description.clone_into(&mut self.servers);
            return None;
        }
        let words = description.to_ascii_lowercase();
        let is_failure =
            ["fail", "error", "unable", "refused", "timed out", "not respond"].iter().any(|word| words.contains(word));
        if !is_failure || words.starts_with("established") {
            return None;
        }
        self.has_failed = true;
        Some(Event::Defer)
    }

    /// `Messages: 3 Bytes: 9000 (…)`
    fn end(&self, description: &str) -> Option<Event> {
        if number_after(description, "Messages: ") > 0 {
            return Some(Event::Send);
        }
        // A session that had nothing to send has no reason.
        let has_reason = description.contains('(') && !description.to_ascii_lowercase().contains("session was idle");
        (has_reason && !self.has_failed).then_some(Event::Defer)
    }

    fn row(&self, event: Event, at: Option<Timestamp>, destination: &str, description: &str) -> Row {
        let mut row = Row::default();
        row.at = at;
        row.set(Column::Source, "SMTP");
        row.set(Column::EventId, event.name());
        row.set(Column::NetworkMessageId, destination);
        row.set(Column::RecipientStatus, description);
        let tried = Server::read(self.servers.split(',').next().unwrap_or_default());
        tried.set(&mut row);
        if destination.contains('.') {
            row.set(Column::RecipientAddress, format!("*@{destination}"));
        }
        let count = if event == Event::Send { number_after(description, "Messages: ") } else { self.queued };
        let mut data = CustomData::default();
        data.add("QueuedMessages", count);
        row.set(Column::CustomData, data);
        row
    }
}

fn number_after(text: &str, words: &str) -> u64 {
    let rest = text.split_once(words).map_or("", |(_, rest)| rest);
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(0)
}
