//! JSON as it goes out: characters that steer a terminal are escaped, whoever reads it.

use std::io::{self, Write};

use protocol::text::steers;
use serde::Serialize;

/// Writes `{"name": [` … `]`, one item a line, however many come.
pub struct List<'a> {
    out: &'a mut dyn Write,
    empty: bool,
}

impl<'a> List<'a> {
    pub fn open(name: &str, out: &'a mut dyn Write) -> io::Result<Self> {
        write!(out, "{{\"{name}\": [")?;
        Ok(Self { out, empty: true })
    }

    pub fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        let separator = if self.empty { "\n" } else { ",\n" };
        self.empty = false;
        write!(self.out, "{separator}{}", text(item)?)
    }

    /// Ends list and object; `rest` is more keys, each with a comma before it.
    pub fn close(self, rest: &str) -> io::Result<()> {
        writeln!(self.out, "\n]{rest}}}")
    }
}

/// Compact JSON in which characters that steer a terminal are escaped.
pub fn text(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string(value)?))
}

/// The same over several lines.
pub fn pretty(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string_pretty(value)?))
}

/// Such characters occur only within strings, and all of them are in the basic plane. Line ends are the layout's: those
/// of strings are escaped already.
fn escaped(json: String) -> String {
    let has_to_go = |c: char| steers(c) && c != '\n';
    if !json.contains(has_to_go) {
        return json;
    }
    let escape = |c: char| {
        if has_to_go(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    json.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_without_loss() {
        let foreign = serde_json::json!({ "a": ["\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{61c}\r\n", "日é😀"] });
        for text in [text(&foreign).unwrap(), pretty(&foreign).unwrap()] {
            assert!(!text.contains(|c: char| steers(c) && c != '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), foreign);
        }
    }
}
