//! What a log of another mail system is to those who read it, whatever its kind.

use std::{
    hash::{Hash, Hasher},
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use super::Beginning;
use crate::{message_trace::Row, text};

/// Rows of a file, one after the other as they stand.
pub trait Rows: Iterator<Item = io::Result<Row>> {
    /// The line that the last row begins on, counted from 1.
    fn line(&self) -> u64;

    /// How much of the file, so far, was not recognised.
    fn skipped(&self) -> u64;

    /// Lines that were not recognised, by the program that wrote them, as far as the reader knows it. [`Rows::skipped`]
    /// may count more: other systems' lines and blank ones.
    fn unread(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// How much a kind of log knows of an attempt. Of several that know of one attempt, the first is quoted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Detail {
    /// Each attempt, in the words of the server that made it.
    Attempts,
    /// Each event of a message.
    Events,
    /// What became of a message, as a service shows it.
    Summaries,
}

/// Opens a file. Times without a zone are in the zone, those without a year not after the time.
pub type Open = for<'a> fn(Box<dyn Read + 'a>, Timestamp, TimeZone) -> io::Result<Box<dyn Rows + 'a>>;

/// A kind of log that is read into rows as of a message trace.
#[derive(Debug)]
pub struct ForeignFormat {
    /// Stable. Named so as a source of evidence; the options that read it are `why --NAME` and `trace --from-NAME`.
    pub name: &'static str,
    pub why_help: &'static str,
    pub trace_help: &'static str,
    pub open: Open,
    pub detail: Detail,
    /// The server whose lines stand among those of others; `None`: a file's header says what it is.
    pub server: Option<&'static str>,
    /// Whether mail by one connector goes one way, so that its attempts can be compared.
    pub has_connectors: bool,
    /// How many lines of a file's beginning are of this kind; all of them where a header says so.
    pub lines_of: fn(&Beginning) -> usize,
}

impl ForeignFormat {
    /// Reads a file. Times without a zone are in `zone`, those without a year not after `now`.
    ///
    /// # Errors
    ///
    /// `InvalidData` where the file's beginning shows that it is of another kind.
    pub fn read<'a>(&self, file: impl Read + 'a, now: Timestamp, zone: &TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
        (self.open)(text::utf8(file)?, now, zone.clone())
    }
}

impl PartialEq for ForeignFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ForeignFormat {}

impl Hash for ForeignFormat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
