//! Lists as `Format-List` writes them: a block of `Name : value` lines for each record, an empty line between blocks. Long
//! values go on in the next lines, below the value.

use std::io::{self, Read};

use super::Record;
use crate::{
    field_names::{list_field, plain},
    lines::{Line, Lines},
    text::{Decoder, lossy},
};

/// Records of Exchange have some 40 fields.
const FIELDS_MAX: usize = 500;
/// A word so long may fill what a narrow window leaves for values.
const LONG_WORD_BYTES: usize = 40;
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Reads a list.
pub(super) struct List<R> {
    lines: Lines<Decoder<R>>,
    block: Block,
    lines_read: u64,
    pub(super) skipped: u64,
    is_over: bool,
}

/// A record that is being read.
#[derive(Default)]
struct Block {
    record: Record,
    line: u64,
    /// Columns before the first name, more than none in text that was quoted.
    indent: usize,
    /// Columns of the last line, and of the longest.
    last_width: usize,
    width: usize,
}

impl<R: Read> List<R> {
    pub(super) fn new(file: R) -> io::Result<Self> {
        let lines = Lines::new(Decoder::new(file)?);
        Ok(Self { lines, block: Block::default(), lines_read: 0, skipped: 0, is_over: false })
    }

    /// The next record and the line on which it begins.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Record)>> {
        while !self.is_over {
            let line = self.lines.next()?;
            self.lines_read += 1;
            let done = match line {
                None => {
                    self.is_over = true;
                    self.block.end()
                }
                Some(Line::TooLong) => {
                    self.skipped += 1;
                    None
                }
                Some(Line::Whole(line)) => {
                    let line = lossy(line);
                    let (done, is_read) =
                        self.block.take(line.trim_start_matches('\u{feff}').trim_end(), self.lines_read);
                    self.skipped += u64::from(!is_read);
                    done
                }
            };
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }
}

impl Block {
    /// Takes a line; gives the record that it ends, and whether the line was read.
    fn take(&mut self, line: &str, number: u64) -> (Option<(u64, Record)>, bool) {
        if line.is_empty() {
            return (self.end(), true);
        }
        let indent = line.len() - line.trim_start().len();
        let is_inside = !self.record.0.is_empty();
        if is_inside && indent > self.indent {
            self.go_on(line);
            return (None, true);
        }
        let Some((name, value)) = list_field(line) else { return (self.end(), false) };
        let name = plain(name);
        // Blocks that were joined without a line between them.
        let is_next = self.record.0.first().is_some_and(|(first, _)| *first == name);
        let done = if is_next { self.end() } else { None };
        if self.record.0.is_empty() {
            *self = Self { line: number, indent, ..Self::default() };
        }
        if self.record.0.len() < FIELDS_MAX {
            self.record.add(name, value.to_owned());
        }
        self.measure(line);
        (done, true)
    }

    /// The rest of a value. A line is broken at a space, unless a word alone fills it.
    fn go_on(&mut self, line: &str) {
        let last_word = self.record.0.last().and_then(|(_, value)| value.rsplit(' ').next()).unwrap_or_default();
        let is_broken_word = self.last_width >= self.width && last_word.len() >= LONG_WORD_BYTES;
        if let Some((_, value)) = self.record.0.last_mut()
            && value.len() < VALUE_BYTES_MAX
        {
            if !is_broken_word && !value.is_empty() {
                value.push(' ');
            }
            value.push_str(line.trim());
        }
        self.measure(line);
    }

    fn measure(&mut self, line: &str) {
        self.last_width = line.chars().count();
        self.width = self.width.max(self.last_width);
    }

    fn end(&mut self) -> Option<(u64, Record)> {
        let block = std::mem::take(self);
        (!block.record.0.is_empty()).then_some((block.line, block.record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with the line on which it begins.
    type Read = (u64, Vec<(String, String)>);

    fn read(text: &str) -> (Vec<Read>, u64) {
        let mut list = List::new(text.as_bytes()).unwrap();
        let mut records = Vec::new();
        while let Some((line, record)) = list.next().unwrap() {
            records.push((line, record.0));
        }
        (records, list.skipped)
    }

    #[test]
    fn blocks_are_records_and_long_values_go_on() {
        let text = "[PS] C:\\>Get-Queue | fl\r\n\r\nIdentity  : EX01\\1\r\nLastError : 451 4.4.0 Primary\r\n            target : x\r\n\r\n\
                    Identity  : EX01\\2\r\nLastError :\r\nIdentity  : EX01\\3\r\n";
        let (records, skipped) = read(text);
        let of =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        let first = of(&[("identity", "EX01\\1"), ("lasterror", "451 4.4.0 Primary target : x")]);
        assert_eq!(records[0], (3, first));
        assert_eq!(records[1], (7, of(&[("identity", "EX01\\2"), ("lasterror", "")])));
        assert_eq!(records[2], (9, of(&[("identity", "EX01\\3")])));
        assert_eq!(skipped, 1);
    }

    #[test]
    fn a_word_that_fills_its_line_is_not_parted() {
        let text = format!("LastError : {}\r\n            example\r\n", "mail.very-long-name.".repeat(4));
        let (records, _) = read(&text);
        assert!(records[0].1[0].1.ends_with(".example"), "{records:?}");
    }

    #[test]
    fn quoted_text_is_indented() {
        let (records, _) = read("    Identity : EX01\\1\n    Status   : Retry\n");
        assert_eq!(records[0].1.len(), 2);
    }
}
