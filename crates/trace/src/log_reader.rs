//! From a mail server's log to rows as of a message trace: what the readers of such logs have in common.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    container::as_syslog,
    foreign::Rows,
    lines::{Line, Lines},
    log_time::LogTimes,
    message_trace::Row,
    open_messages::OpenMessages,
    text,
};

/// Reads a log, a row for each attempt, and one for the receipt before the first of each recipient.
pub struct LogReader<R> {
    lines: Lines<R>,
    messages: Box<dyn Take>,
    /// Other programs may have passed the lines on.
    is_passed_on: bool,
    /// Lines that were not this server's, had nothing about a message, or were too long.
    pub lines_skipped: u64,
    lines_read: u64,
    ended: bool,
}

/// What is known of a log's messages, each an `M`.
pub(crate) struct Messages<M> {
    pub(crate) times: LogTimes,
    pub(crate) open: OpenMessages<M>,
    pub(crate) ready: VecDeque<Row>,
}

/// Puts lines together by message.
pub(crate) trait Take {
    /// False where the line tells nothing of a message.
    fn take(&mut self, line: &str) -> bool;

    fn next_row(&mut self) -> Option<Row>;

    /// The number of the line that is taken next, counted from 1.
    fn begin_line(&mut self, _number: u64) {}

    /// The line that the last row stands on, where that may be an earlier one than the last that was taken.
    fn row_line(&self) -> Option<u64> {
        None
    }

    /// The log is over.
    fn end(&mut self) {}

    /// Lines that were not understood, by program.
    fn unread(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

impl<M: Default> Messages<M> {
    /// Times without a zone are in `zone`, those without a year not after `now`.
    pub(crate) fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self { times: LogTimes::new(now, zone), open: OpenMessages::new(), ready: VecDeque::new() }
    }
}

impl<R: Read> LogReader<R> {
    pub(crate) fn new(file: R, messages: impl Take + 'static) -> Self {
        Self {
            lines: Lines::new(file),
            messages: Box::new(messages),
            is_passed_on: false,
            lines_skipped: 0,
            lines_read: 0,
            ended: false,
        }
    }

    /// The same of a log that a syslog, journald or a container may have passed on.
    pub(crate) fn passed_on(file: R, messages: impl Take + 'static) -> Self {
        Self { is_passed_on: true, ..Self::new(file, messages) }
    }
}

impl<R: Read> Rows for LogReader<R> {
    fn line(&self) -> u64 {
        self.messages.row_line().unwrap_or(self.lines_read)
    }

    fn skipped(&self) -> u64 {
        self.lines_skipped
    }

    fn unread(&self) -> Vec<(String, u64)> {
        self.messages.unread()
    }
}

fn take(messages: &mut dyn Take, line: &[u8], is_passed_on: bool) -> bool {
    let line = text::lossy(line.trim_ascii_end());
    if is_passed_on { messages.take(&as_syslog(&line)) } else { messages.take(&line) }
}

impl<R: Read> Iterator for LogReader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.messages.next_row() {
                return Some(Ok(row));
            }
            if self.ended {
                return None;
            }
            let line = self.lines.next();
            self.lines_read += 1;
            self.messages.begin_line(self.lines_read);
            match line {
                Ok(None) => {
                    self.ended = true;
                    self.messages.end();
                }
                Err(error) => return Some(Err(error)),
                Ok(Some(Line::Whole(line))) if take(&mut *self.messages, line, self.is_passed_on) => {}
                Ok(Some(_)) => self.lines_skipped += 1,
            }
        }
    }
}
