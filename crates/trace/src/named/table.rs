//! Tables: CSV with a header, in whatever separator the language of the machine wants. Lines that begin with `#` stand
//! above the header, or have it themselves (`#Fields: …`).

use std::io::{self, Read};

use super::{Record, plain};
use crate::{
    cell::unguarded,
    records::{self, Records},
};

const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// A header has at least as many names.
const NAMES_MIN: usize = 3;
const NAME_BYTES_MAX: usize = 64;

/// The names of a header; `None` where the line is none.
pub(super) fn header(line: &str) -> Option<Vec<String>> {
    let separator = char::from(line_separator(line)?);
    let line = fields_line(line).unwrap_or(line);
    Some(line.split(separator).map(plain).collect())
}

/// The separator of a file whose beginning has a header or rows; `None` where it is no table.
pub(super) fn separator(beginning: &str) -> Option<u8> {
    let mut lines = beginning.lines().map(|line| line.trim_start_matches('\u{feff}'));
    lines.by_ref().take(30).find_map(line_separator)
}

fn line_separator(line: &str) -> Option<u8> {
    let is_name = |name: &str| {
        let name = name.trim().trim_matches('"');
        let is_plain = |c: char| c.is_alphanumeric() || " _-.()".contains(c);
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.chars().all(is_plain)
            && name.contains(char::is_alphabetic)
    };
    let line = match fields_line(line) {
        Some(fields) => fields,
        None if line.starts_with('#') => return None,
        None => line,
    };
    SEPARATORS.into_iter().find(|separator| {
        let names = || line.split(char::from(*separator));
        names().count() >= NAMES_MIN && names().all(is_name)
    })
}

/// `#Fields: date-time,session`
fn fields_line(line: &str) -> Option<&str> {
    let (key, names) = line.trim_start_matches('"').strip_prefix('#')?.split_once(':')?;
    key.trim().eq_ignore_ascii_case("fields").then(|| names.trim())
}

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
    fn separators_and_names_are_found() {
        let table: [(&str, Option<u8>); 7] = [
            ("\"Date\",\"Event\",\"Detail\"", Some(b',')),
            ("Date;Event;Detail", Some(b';')),
            ("Next Hop Domain\tStatus\tMessage Count", Some(b'\t')),
            ("#Fields: date-time,session,source", Some(b',')),
            ("#Software: a,b,c", None),
            ("Identity : EX01\\1", None),
            ("Hello, world, again!", None),
        ];
        for (line, expected) in table {
            assert_eq!(separator(line), expected, "{line}");
        }
    }

    #[test]
    fn texts_with_unquoted_commas_are_put_together() {
        assert_eq!(joined(&["a", "b##Receive", " Fail", "c"], 3), ["a", "b##Receive, Fail", "c"]);
        assert_eq!(joined(&["a", " b"], 2), ["a", " b"]);
    }
}
