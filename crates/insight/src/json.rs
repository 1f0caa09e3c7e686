//! JSON output. Characters that steer a terminal are always escaped.

use std::io::{self, Write};

use protocol::text::steers;
use serde::Serialize;

/// Writes `{"name": [` … `]` with one item per line, for any number of items.
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

    /// Ends the list and the object; `rest` has more keys, each after a comma.
    pub fn close(self, rest: &str) -> io::Result<()> {
        writeln!(self.out, "\n]{rest}}}")
    }
}

/// Compact JSON with escaped control characters.
pub fn text(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string(value)?))
}

/// Indented JSON with escaped control characters.
pub fn pretty(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(serde_json::to_string_pretty(value)?))
}

/// These characters occur only in strings and are all in the basic plane. Line ends belong to the layout, because line ends
/// in strings are escaped already.
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
