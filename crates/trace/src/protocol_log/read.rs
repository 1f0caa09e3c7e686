//! Reads protocol logs as they come: cut, in UTF-8 or UTF-16, with fields missing at the end, several files in one. What
//! cannot be read is counted, and the rest goes on.

use std::io::{self, Read};

use super::{FIELDS, LogType, Row, RowKind, Software};
use crate::{
    cell::unguarded,
    records::{Record, Records},
};

/// What a file held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// As the last `#Log-type` says.
    pub log_type: Option<LogType>,
    pub rows: Vec<Row>,
    /// Rows that could not be read: too few fields, too long, or an event of another kind of log.
    pub rows_skipped: u64,
}

/// Reads a whole file that is in memory.
pub fn read(bytes: &[u8]) -> Log {
    let Ok(mut reader) = Reader::new(bytes) else { return Log::default() };
    let rows = reader.by_ref().map_while(Result::ok).collect();
    Log { log_type: reader.log_type, rows, rows_skipped: reader.rows_skipped() }
}

/// Reads a file of any size, a row at a time.
pub struct Reader<R: Read> {
    records: Records<R>,
    record: Record,
    /// Where in a record each of the fields is.
    order: [Option<usize>; FIELDS.len()],
    /// As the last `#Log-type` says.
    pub log_type: Option<LogType>,
    /// As the last `#Software` says; `None`: the beginning is missing.
    pub software: Option<Software>,
    skipped: u64,
}

impl<R: Read> Reader<R> {
    /// Reads as much as tells the encoding.
    pub fn new(file: R) -> io::Result<Self> {
        Ok(Self {
            records: Records::new(file)?,
            record: Record::default(),
            order: std::array::from_fn(Some),
            log_type: None,
            software: None,
            skipped: 0,
        })
    }

    /// Rows that could not be read so far: too few fields, too long, or an event of another kind of log.
    pub fn rows_skipped(&self) -> u64 {
        self.skipped + self.records.lost
    }

    /// Reads the next row into one that was used before; false at the end of the file. This saves most
    /// of the cost of a row.
    pub fn read_row(&mut self, row: &mut Row) -> io::Result<bool> {
        loop {
            if !self.records.read(&mut self.record, |line| looks_like_row(&self.order, line))? {
                return Ok(false);
            }
            if self.is_header() {
                self.read_header();
            } else if self.fill(row).is_some() {
                return Ok(true);
            } else {
                self.skipped += 1;
            }
        }
    }

    fn is_header(&self) -> bool {
        self.record.get(0).is_some_and(|first| first.trim_start_matches('\u{feff}').starts_with('#'))
    }

    fn read_header(&mut self) {
        let mut words = self.record.iter().map(|word| word.trim_matches([' ', '\t', '\r', '\n', '\u{feff}', '#']));
        let Some((name, value)) = words.next().and_then(|first| first.split_once(':')) else { return };
        let value = value.trim().to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "fields" => {
                let names: Vec<String> =
                    std::iter::once(value).chain(words.map(|name| name.to_ascii_lowercase())).collect();
                self.order = FIELDS.map(|field| names.iter().position(|name| name == field));
            }
            "software" => {
                self.software = Some(if value == "gatepost" { Software::Gatepost } else { Software::Exchange });
            }
            "log-type" if value.contains("send") => self.log_type = Some(LogType::Send),
            "log-type" if value.contains("receive") => self.log_type = Some(LogType::Receive),
            _ => {}
        }
    }

    /// `None` if the record is not a row.
    fn fill(&self, row: &mut Row) -> Option<()> {
        let field = |index: usize| self.order[index].and_then(|at| self.record.get(at));
        let text = |index: usize| {
            let cell = field(index).unwrap_or_default().trim_end_matches(['\r', '\n']);
            &cell[unguarded(cell)]
        };
        row.at = field(0)?.trim_start_matches('\u{feff}').trim().parse().ok();
        row.kind = RowKind::of(field(6)?.trim())?;
        row.sequence = field(3)?.trim().parse().ok()?;
        let session = field(2).filter(|id| !id.is_empty())?;
        let fields = [&mut row.connector, &mut row.local, &mut row.remote, &mut row.data, &mut row.context];
        for (field, value) in fields.into_iter().zip([1, 4, 5, 7, 8].map(text)) {
            value.clone_into(field);
        }
        session.clone_into(&mut row.session);
        Some(())
    }
}

/// Whether a line is more likely a row than a part of a text in quotes: it has a number and an event in their places.
fn looks_like_row(order: &[Option<usize>; FIELDS.len()], line: &Record) -> bool {
    let field = |index: usize| line.get(order[index]?).map(str::trim);
    let is_numbered = field(3).is_some_and(|number| number.parse::<u32>().is_ok());
    line.is_header() || (is_numbered && field(6).and_then(RowKind::of).is_some())
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Row::default();
        match self.read_row(&mut row) {
            Ok(true) => Some(Ok(row)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
