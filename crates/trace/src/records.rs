//! Records of a foreign CSV file (RFC 4180), each within bounds. A quote that nothing closes hides no more than its own row:
//! reading goes on at the next line that looks like a row.

use std::io::{self, Read};

use csv_core::ReadRecordResult;

use crate::{
    lines::{LINE_BYTES_MAX, Line, Lines},
    text::Decoder,
};

/// One record: its fields, one after the other in one text.
#[derive(Clone, Default)]
pub(crate) struct Record {
    text: String,
    ends: Vec<usize>,
}

impl Record {
    pub(crate) fn get(&self, field: usize) -> Option<&str> {
        self.text.get(self.range(field)?)
    }

    /// Where a field stands in [`Record::text`].
    pub(crate) fn range(&self, field: usize) -> Option<std::ops::Range<usize>> {
        let start = match field.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        Some(start..*self.ends.get(field)?)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The beginning of another file of Exchange's, joined to this one.
    pub(crate) fn is_header(&self) -> bool {
        self.get(0).is_some_and(|first| first.starts_with("#Software:") || first.starts_with("#Fields:"))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|field| self.get(field))
    }
}

/// Reads a file record by record.
pub(crate) struct Records<R> {
    lines: Lines<Decoder<R>>,
    /// What is left of a line in which a record ended.
    rest: Vec<u8>,
    parser: Parser,
    /// For a look at one line by itself.
    probe: Parser,
    lines_read: u64,
    /// The line that the last record begins on, counted from 1.
    pub(crate) line: u64,
    /// Records that were lost: too long, or with a quote that nothing closes.
    pub(crate) lost: u64,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(file: R) -> io::Result<Self> {
        Self::separated(file, b',')
    }

    /// Of a file with another separator than the comma.
    pub(crate) fn separated(file: R, separator: u8) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(Decoder::new(file)?),
            rest: Vec::new(),
            parser: Parser::new(separator),
            probe: Parser::new(separator),
            lines_read: 0,
            line: 0,
            lost: 0,
        })
    }

    /// Reads the next record; false at the end of the file. `is_row` says whether a line that stands within quotes looks
    /// like a row of its own.
    pub(crate) fn read(&mut self, record: &mut Record, is_row: impl Fn(&Record) -> bool) -> io::Result<bool> {
        while !self.parser.is_whole {
            if !self.rest.is_empty() {
                let line = std::mem::take(&mut self.rest);
                self.line = self.lines_read;
                keep_rest(&mut self.rest, &line, self.parser.push(&line));
                continue;
            }
            let was_open = self.parser.is_open();
            let line = self.lines.next()?;
            self.lines_read += u64::from(line.is_some());
            match line {
                None if self.parser.end() => {}
                None => return Ok(false),
                Some(Line::TooLong) => {
                    self.lost += 1 + u64::from(was_open);
                    self.parser.clear();
                }
                Some(Line::Whole(line)) => {
                    let is_too_long = self.parser.output_length + line.len() > LINE_BYTES_MAX;
                    if was_open && (is_too_long || self.probe.is_row(line, record, &is_row)) {
                        self.lost += 1;
                        self.parser.clear();
                    }
                    if !self.parser.is_open() {
                        self.line = self.lines_read;
                    }
                    keep_rest(&mut self.rest, line, self.parser.push(line));
                }
            }
        }
        self.parser.give(record);
        Ok(true)
    }
}

/// Old Macintosh files have several records in what is one line elsewhere.
fn keep_rest(rest: &mut Vec<u8>, line: &[u8], taken: usize) {
    let left = line.get(taken..).unwrap_or_default();
    if left != b"\n" {
        rest.extend_from_slice(left);
    }
}

/// From bytes to one record.
struct Parser {
    csv: csv_core::Reader,
    output: Vec<u8>,
    output_length: usize,
    ends: Vec<usize>,
    ends_length: usize,
    /// The record is complete.
    is_whole: bool,
}

impl Parser {
    fn new(separator: u8) -> Self {
        Self {
            csv: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            output: Vec::new(),
            output_length: 0,
            ends: Vec::new(),
            ends_length: 0,
            is_whole: false,
        }
    }

    /// A record began and is not complete.
    fn is_open(&self) -> bool {
        self.output_length > 0 || self.ends_length > 0
    }

    fn clear(&mut self) {
        self.csv.reset();
        (self.output_length, self.ends_length, self.is_whole) = (0, 0, false);
    }

    /// Takes bytes up to the record's end, and says how many. No bytes: the file is over.
    fn push(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        loop {
            let (output, ends) = (&mut self.output[self.output_length..], &mut self.ends[self.ends_length..]);
            let (result, read, written, fields) = self.csv.read_record(bytes, output, ends);
            bytes = &bytes[read..];
            self.output_length += written;
            self.ends_length += fields;
            match result {
                ReadRecordResult::InputEmpty if bytes.is_empty() => return all,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.output.resize((2 * self.output.len()).max(1024), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize((2 * self.ends.len()).max(64), 0),
                ReadRecordResult::Record => {
                    self.is_whole = true;
                    return all - bytes.len();
                }
                ReadRecordResult::End => return all,
            }
        }
    }

    /// The file is over; true where that completes a record.
    fn end(&mut self) -> bool {
        self.push(&[]);
        self.is_whole
    }

    /// Gives the record out, and begins another.
    fn give(&mut self, record: &mut Record) {
        record.text.clear();
        // The decoder gives nothing but UTF-8.
        record.text.push_str(std::str::from_utf8(&self.output[..self.output_length]).unwrap_or_default());
        record.ends.clear();
        record.ends.extend_from_slice(&self.ends[..self.ends_length]);
        (self.output_length, self.ends_length, self.is_whole) = (0, 0, false);
    }

    /// Whether a line looks like a row by itself, whatever stands before it. `record` is overwritten.
    fn is_row(&mut self, line: &[u8], record: &mut Record, is_row: impl Fn(&Record) -> bool) -> bool {
        self.clear();
        self.push(line);
        if !self.is_whole && !self.end() {
            return false;
        }
        self.give(record);
        is_row(record)
    }
}
