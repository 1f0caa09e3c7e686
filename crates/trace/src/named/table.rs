//! Tables: CSV with a header, in whatever separator the language of the machine wants. Lines that begin with `#` stand
//! above the header, or have it themselves (`#Fields: …`).

use std::io::{self, Read};

use super::Record;
use crate::{
    cell::unguarded,
    field_names::{fields_line, line_separator, plain},
    records::{self, Records},
};

/// Reads a table.
pub(super) struct Table<R: Read> {
    records: Records<R>,
    record: records::Record,
    names: Vec<String>,
    separator: u8,
    not_read: u64,
}

impl<R: Read> Table<R> {
    pub(super) fn new(file: R, separator: u8) -> io::Result<Self> {
        let records = Records::separated(file, separator)?;
        Ok(Self { records, record: records::Record::default(), names: Vec::new(), separator, not_read: 0 })
    }

    pub(super) fn skipped(&self) -> u64 {
        self.not_read + self.records.lost
    }

    /// The next record and the line on which it begins.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Record)>> {
        loop {
            let names = self.names.len();
            if !self.records.read(&mut self.record, |line| line.is_header() || (names > 0 && line.len() == names))? {
                return Ok(None);
            }
            if self.read_header() {
                continue;
            }
            match self.fields() {
                Some(record) => return Ok(Some((self.records.line, record))),
                None => self.not_read += 1,
            }
        }
    }

    /// True if the record is a header, or stands above one. Files that were joined have one in their midst.
    fn read_header(&mut self) -> bool {
        let first = self.record.get(0).unwrap_or_default().trim_start_matches('\u{feff}');
        let is_comment = first.starts_with('#');
        let fields = fields_line(first);
        if is_comment && fields.is_none() {
            return true;
        }
        let names: Vec<String> =
            std::iter::once(fields.unwrap_or(first)).chain(self.record.iter().skip(1)).map(plain).collect();
        let separator = char::from(self.separator).to_string();
        let line = self.record.iter().collect::<Vec<_>>().join(&separator);
        let is_header =
            fields.is_some() || (self.names.is_empty() && line_separator(&line).is_some()) || names == self.names;
        if is_header {
            self.names = names;
        }
        is_header
    }

    fn fields(&self) -> Option<Record> {
        // A row that is cut, or a line of something else.
        if self.names.is_empty() || self.record.len() * 2 <= self.names.len().min(6) {
            return None;
        }
        let values: Vec<&str> = self.record.iter().map(|cell| &cell[unguarded(cell)]).collect();
        let values = joined(&values, self.names.len());
        let mut record = Record::default();
        for (name, value) in self.names.iter().zip(values) {
            record.add(name.clone(), value);
        }
        Some(record)
    }
}

/// A text with commas that nobody quoted became several values: a value that begins with a space goes on with the one
/// before, as long as there are too many.
fn joined(values: &[&str], wanted: usize) -> Vec<String> {
    let mut too_many = values.len().saturating_sub(wanted);
    let mut joined: Vec<String> = Vec::new();
    for value in values {
        match joined.last_mut() {
            Some(last) if too_many > 0 && value.starts_with(' ') => {
                too_many -= 1;
                last.push(',');
                last.push_str(value);
            }
            _ => joined.push((*value).to_owned()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_unquoted_commas_are_put_together() {
        assert_eq!(joined(&["a", "b##Receive", " Fail", "c"], 3), ["a", "b##Receive, Fail", "c"]);
        assert_eq!(joined(&["a", " b"], 2), ["a", " b"]);
    }
}
