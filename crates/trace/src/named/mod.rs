//! Records of named values, as PowerShell and Exchange write them: a list (`Name : value`), or a table (CSV) whose header
//! has the names. Names are compared by their letters and digits, in lower case.
//!
//! ```text
//!   file ──List──┐
//!                ├── Record (name, value) … ──a kind's own function──> rows as of a message trace
//!   file ──Table─┘
//! ```

mod list;
mod table;

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::tz::TimeZone;

use crate::{culture_time::CultureTimes, field_names::separator, foreign::Rows, message_trace::Row};
use list::List;
use table::Table;

/// Looked at to tell a list from a table.
const BEGINNING_BYTES: u64 = 16 * 1024;

/// One record. A name may stand in it more than once; the first counts.
#[derive(Default)]
pub(crate) struct Record(Vec<(String, String)>);

impl Record {
    /// The value of a name; empty where it has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn add(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }
}

/// Where records come from.
enum Container<'a> {
    List(Box<List<Box<dyn Read + 'a>>>),
    Table(Box<Table<Box<dyn Read + 'a>>>),
}

/// Makes rows of a record; false if it is not of the kind that was asked for.
pub(crate) type MakeRows = Box<dyn FnMut(&Record, &mut CultureTimes, &mut VecDeque<Row>) -> bool>;

/// Reads a file of either form.
pub(crate) struct NamedReader<'a> {
    container: Container<'a>,
    make: MakeRows,
    times: CultureTimes,
    ready: VecDeque<Row>,
    /// The line on which the last record begins.
    line: u64,
    not_of_kind: u64,
}

impl<'a> NamedReader<'a> {
    /// Times without a zone are in `zone`.
    pub(crate) fn new(mut file: Box<dyn Read + 'a>, zone: TimeZone, make: MakeRows) -> io::Result<Self> {
        let mut beginning = Vec::new();
        (&mut file).take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
        let text = crate::text::decoded(&beginning).into_owned();
        let file: Box<dyn Read + 'a> = Box::new(io::Cursor::new(beginning).chain(file));
        let container = match separator(&text) {
            Some(separator) => Container::Table(Box::new(Table::new(file, separator)?)),
            None => Container::List(Box::new(List::new(file)?)),
        };
        let (times, ready) = (CultureTimes::new(zone), VecDeque::new());
        Ok(Self { container, make, times, ready, line: 0, not_of_kind: 0 })
    }
}

impl Rows for NamedReader<'_> {
    fn line(&self) -> u64 {
        self.line
    }

    fn skipped(&self) -> u64 {
        self.not_of_kind
            + match &self.container {
                Container::List(list) => list.skipped,
                Container::Table(table) => table.skipped(),
            }
    }
}

impl Iterator for NamedReader<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(Ok(row));
            }
            let record = match &mut self.container {
                Container::List(list) => list.next(),
                Container::Table(table) => table.next(),
            };
            match record {
                Ok(Some((line, record))) => {
                    self.line = line;
                    let is_of_kind = (self.make)(&record, &mut self.times, &mut self.ready);
                    self.not_of_kind += u64::from(!is_of_kind);
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
