//! Reads Postfix's log: lines of one queue id are put together, and those of one client's session.
//!
//! ```text
//!   line ──unwrapped──> read_line ──> Record::read ──by queue id, by process──> rows of what became of messages
//!                           └───────> Said::read ────by process──────────────> rows of clients who failed (Incoming)
//! ```
//!
//! What smtp(8) says of TLS and of servers that it passes over names no message: it goes with the process's next result.

mod columns;
mod line;
mod messages;
mod record;
mod server;
mod sessions;
mod talk;
mod unread;

use std::io::{self, Read};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    container,
    foreign::{Detail, ForeignFormat, Rows},
    log_reader::{LogReader, Take},
    log_time::LogTimes,
    message_trace::Row,
};
use line::Program::{Cleanup, Screen, Server};
pub use line::{Line, Program, read_line};
use messages::Outgoing;
pub use messages::{ADDRESS_VERIFICATION, EXPIRED};
pub use record::{Delivery, Record};
pub use server::{Reject, Said};
use sessions::Sessions;
use unread::Unread;

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "postfix-log",
    why_help: "Explain a Postfix log; may be repeated",
    trace_help: "Show messages of a Postfix log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("Postfix"),
    has_connectors: true,
    lines_of: |beginning| beginning.count(is_line),
};

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(reader(file, now, zone)))
}

/// Reads a log. Times without a zone are in `zone`, those without a year not after `now`.
pub fn reader<R: Read>(file: R, now: Timestamp, zone: TimeZone) -> LogReader<R> {
    LogReader::new(file, Log::new(LogTimes::new(now, zone)))
}

/// True for a line that one of Postfix's programs wrote, however it was passed on.
pub fn is_line(line: &str) -> bool {
    read_line(&container::unwrapped(line), &mut LogTimes::new(Timestamp::UNIX_EPOCH, TimeZone::UTC)).is_some()
}

struct Log {
    times: LogTimes,
    messages: Outgoing,
    sessions: Sessions,
    unread: Unread,
    /// Of the line that is taken.
    number: u64,
    row_number: u64,
}

impl Log {
    fn new(times: LogTimes) -> Self {
        let (messages, sessions) = (Outgoing::new(), Sessions::new());
        Self { times, messages, sessions, unread: Unread::default(), number: 0, row_number: 0 }
    }

    /// False for what is not understood.
    fn take_line(&mut self, line: &Line<'_>) -> bool {
        let said = match line.program {
            Server | Screen => match Said::read(line.program, line.body) {
                Some(said) => said,
                None => return false,
            },
            Cleanup => Said::read(line.program, line.body).unwrap_or(Said::Nothing),
            _ => Said::Nothing,
        };
        match (said, line.program) {
            (Said::Nothing, Server | Screen) => {}
            (Said::Nothing, _) => {
                let Some(record) = Record::read(line.program, line.body) else { return false };
                self.messages.take(line, self.number, &record);
            }
            (Said::Message { queue_id, client }, _) => {
                self.messages.bring(queue_id, line.at, self.sessions.bring(line.process, client));
            }
            (said, _) => {
                self.sessions.take(line, self.number, &said);
                self.messages.ready.extend(self.sessions.take_ready());
            }
        }
        true
    }
}

impl Take for Log {
    fn begin_line(&mut self, number: u64) {
        self.number = number;
    }

    fn take(&mut self, text: &str) -> bool {
        let text = container::unwrapped(text);
        let Some(line) = read_line(&text, &mut self.times) else {
            self.unread.count_other(&text);
            return false;
        };
        let is_read = self.take_line(&line);
        if !is_read {
            self.unread.count(line.service);
        }
        is_read
    }

    fn next_row(&mut self) -> Option<Row> {
        let (number, row) = self.messages.ready.pop_front()?;
        self.row_number = number;
        Some(row)
    }

    fn row_line(&self) -> Option<u64> {
        Some(self.row_number)
    }

    fn end(&mut self) {
        self.messages.end();
        self.sessions.end();
        self.messages.ready.extend(self.sessions.take_ready());
    }

    fn unread(&self) -> Vec<(String, u64)> {
        self.unread.all()
    }
}
