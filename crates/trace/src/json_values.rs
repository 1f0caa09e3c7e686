//! JSON files of foreign systems: a value for each line, values one after the other, or lists of them. What is not JSON is
//! skipped; a value that is cut ends at the next line that is a whole one.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use serde_json::Value;

use crate::{
    foreign::Rows,
    lines::{Line, Lines},
    message_trace::Row,
    text::{Decoder, lossy},
};

/// One value over several lines has no more.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// Makes rows of a value; false if it is of another kind.
pub(crate) type MakeRows = Box<dyn FnMut(&Value, &mut VecDeque<Row>) -> bool>;

pub(crate) struct JsonReader<R> {
    lines: Lines<Decoder<R>>,
    make: MakeRows,
    /// A value that has begun.
    open: Open,
    /// Each with the line on which it begins.
    values: VecDeque<(u64, Value)>,
    ready: VecDeque<Row>,
    line: u64,
    lines_read: u64,
    skipped: u64,
}

/// A value over several lines.
#[derive(Default)]
struct Open {
    text: String,
    line: u64,
    lines: u64,
    depth: i64,
    is_in_string: bool,
    is_escaped: bool,
}

/// A member as text; empty where there is none.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

impl<R: Read> JsonReader<R> {
    pub(crate) fn new(file: R, make: MakeRows) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::new(Decoder::new(file)?),
            make,
            open: Open::default(),
            values: VecDeque::new(),
            ready: VecDeque::new(),
            line: 0,
            lines_read: 0,
            skipped: 0,
        })
    }

    /// Reads a line; false at the end of the file.
    fn read_line(&mut self) -> io::Result<bool> {
        let line = self.lines.next()?;
        self.lines_read += 1;
        let text = match line {
            None => {
                self.skipped += self.open.lines;
                self.open = Open::default();
                return Ok(false);
            }
            Some(Line::TooLong) => {
                self.skipped += 1;
                return Ok(true);
            }
            Some(Line::Whole(line)) => lossy(line).trim_start_matches('\u{feff}').to_owned(),
        };
        let begins = text.starts_with(['{', '[']) || self.open.depth == 0;
        let whole = if begins { whole_values(&text) } else { Vec::new() };
        if !whole.is_empty() {
            self.skipped += self.open.lines;
            self.open = Open::default();
            whole.into_iter().for_each(|value| self.add(value, self.lines_read));
        } else if self.open.depth > 0 || text.contains(|c: char| !c.is_whitespace() && !"[],".contains(c)) {
            self.go_on(&text);
        }
        Ok(true)
    }

    fn go_on(&mut self, text: &str) {
        if self.open.depth == 0 {
            if !text.trim_start().starts_with(['{', '[']) {
                self.skipped += 1;
                return;
            }
            self.open = Open { line: self.lines_read, ..Open::default() };
        }
        let end = self.open.take(text);
        if end.is_some() || self.open.text.len() > VALUE_BYTES_MAX {
            let open = std::mem::take(&mut self.open);
            match serde_json::from_str(&open.text[..end.unwrap_or(0)]) {
                Ok(value) => self.add(value, open.line),
                Err(_) => self.skipped += open.lines,
            }
        }
    }

    /// A list, or a page of one (`value`), is several values.
    fn add(&mut self, value: Value, line: u64) {
        match value {
            Value::Array(values) => self.values.extend(values.into_iter().map(|value| (line, value))),
            Value::Object(mut members)
                if members.get("value").is_some_and(Value::is_array) && !members.contains_key("recipientAddress") =>
            {
                if let Some(values) = members.remove("value") {
                    self.add(values, line);
                }
            }
            value => self.values.push_back((line, value)),
        }
    }
}

/// The objects in a line. Before the first there may be the stamp of whatever wrote the file.
fn whole_values(line: &str) -> Vec<Value> {
    let text = line.find('{').and_then(|start| line.get(start..)).unwrap_or_default();
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.map_while(Result::ok).filter(Value::is_object).collect()
}

impl Open {
    /// Adds a line; gives the place at which the value ends.
    fn take(&mut self, text: &str) -> Option<usize> {
        self.lines += 1;
        let before = self.text.len();
        self.text.push_str(text);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                b'{' | b'[' if !self.is_in_string => self.depth += 1,
                b'}' | b']' if !self.is_in_string => {
                    self.depth -= 1;
                    if self.depth <= 0 {
                        return Some(before + at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl<R: Read> Rows for JsonReader<R> {
    fn line(&self) -> u64 {
        self.line
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl<R: Read> Iterator for JsonReader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(Ok(row));
            }
            if let Some((line, value)) = self.values.pop_front() {
                self.line = line;
                self.skipped += u64::from(!(self.make)(&value, &mut self.ready));
                continue;
            }
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(u64, String)>, u64) {
        let mut reader = JsonReader::new(
            text.as_bytes(),
            Box::new(|value, rows: &mut VecDeque<Row>| {
                let mut row = Row::default();
                row.set(crate::message_trace::Column::MessageId, self::text(value, "a"));
                rows.push_back(row);
                value.get("a").is_some()
            }),
        )
        .unwrap();
        let mut rows = Vec::new();
        while let Some(row) = reader.next() {
            rows.push((reader.line(), row.unwrap()[crate::message_trace::Column::MessageId].to_owned()));
        }
        (rows, reader.skipped())
    }

    #[test]
    fn values_are_found_in_whatever_form() {
        let one_and_two = || vec![(1, "1".to_owned()), (2, "2".to_owned())];
        let both_on_line_1 = || vec![(1, "1".to_owned()), (1, "2".to_owned())];
        for (text, expected, skipped) in [
            ("{\"a\":1}\n{\"a\":2}\n", one_and_two(), 0),
            ("{\"value\":[{\"a\":1},{\"a\":2}]}", both_on_line_1(), 0),
            ("[\n {\"a\":1},\n {\"a\":\n \"2\"}\n]\n", vec![(2, "1".to_owned()), (3, "2".to_owned())], 0),
            ("[\n{\"a\":1},\n{\"a\":2}\n]\n", vec![(2, "1".to_owned()), (3, "2".to_owned())], 0),
            ("{\n \"value\": [\n {\n \"a\": 1\n },\n {\n \"a\": 2\n }]}\n", both_on_line_1(), 0),
            ("{\"a\":1}\n{\"a\":\"cut\n", vec![(1, "1".to_owned())], 1),
            ("{\"b\":\"cut\n{\"a\":1}\nrubbish\n", vec![(2, "1".to_owned())], 2),
            ("Nov 25 host kumod: {\"a\":1}\n", vec![(1, "1".to_owned())], 0),
            ("", vec![], 0),
        ] {
            assert_eq!(read(text), (expected, skipped), "{text}");
        }
    }
}
