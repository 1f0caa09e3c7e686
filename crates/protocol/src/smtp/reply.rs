//! SMTP replies (RFC 5321 section 4.2) and enhanced status codes (RFC 3463).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kept::{cut, json_bytes};

/// `class.subject.detail` (RFC 3463).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl EnhancedCode {
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads the code at the start of `text`, which a space or the end must follow.
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let class = digits(parts.next()?, 1)?;
        let subject = digits(parts.next()?, 3)?;
        let detail = digits(parts.next()?, 3)?;
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Self::new(class as u8, subject, detail), rest))
    }
}

fn digits(text: &str, length_max: usize) -> Option<u16> {
    let ok = !text.is_empty() && text.len() <= length_max && text.bytes().all(|b| b.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl From<EnhancedCode> for String {
    fn from(code: EnhancedCode) -> Self {
        code.to_string()
    }
}

impl TryFrom<String> for EnhancedCode {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match Self::parse_prefix(&text) {
            Some((code, "")) => Ok(code),
            _ => Err("an enhanced status code is class.subject.detail"),
        }
    }
}

/// One reply: code, enhanced code and text kept apart. Lines of the text are joined by `\n`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<EnhancedCode>,
    pub text: String,
    /// Lines that were left out before the last one, see [`Reply::shortened`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lines_omitted: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Most of a reply's text that is kept, as bytes of JSON. History stores it twice, in the event and in the queue.
const KEPT_BYTES_MAX: usize = 1024;
/// Most of one line, where the reply is longer than that.
const KEPT_LINE_BYTES_MAX: usize = 400;

impl Reply {
    pub fn new(code: u16, enhanced: Option<EnhancedCode>, text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into(), lines_omitted: 0 }
    }

    /// The reply with no more text than history keeps: the first lines and the last one. Foreign servers choose how
    /// much they say; nobody may fill the disk with it. Code and enhanced code stay exact.
    pub fn shortened(mut self) -> Self {
        if json_bytes(&self.text) <= KEPT_BYTES_MAX {
            return self;
        }
        let Some((first, last)) = self.text.rsplit_once('\n') else {
            self.text = cut(&self.text, KEPT_BYTES_MAX);
            return self;
        };
        let last = cut(last, KEPT_LINE_BYTES_MAX);
        // A line break takes two bytes of JSON.
        let mut room = KEPT_BYTES_MAX.saturating_sub(json_bytes(&last) + 2);
        let mut kept = String::new();
        let mut lines = first.split('\n').map(|line| cut(line, KEPT_LINE_BYTES_MAX)).peekable();
        while let Some(line) = lines.next_if(|line| json_bytes(line) + 2 <= room) {
            room -= json_bytes(&line) + 2;
            kept.push_str(&line);
            kept.push('\n');
        }
        self.lines_omitted = u32::try_from(lines.count()).unwrap_or(u32::MAX);
        self.text = kept + &last;
        self
    }

    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the reply as it goes over the wire: `250-…` lines, CRLF after each.
    pub fn write_to(&self, output: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            output.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                output.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            output.extend_from_slice(line.as_bytes());
            output.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        match self.text.rsplit_once('\n') {
            Some((first, last)) if self.lines_omitted > 0 => {
                let (first, omitted) = (first.replace('\n', " / "), self.lines_omitted);
                write!(f, " {first} / ({omitted} more lines) / {last}")
            }
            None if self.lines_omitted > 0 => write!(f, " ({} more lines) / {}", self.lines_omitted, self.text),
            _ => write!(f, " {}", self.text.replace('\n', " / ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(text: &str) -> Reply {
        Reply::new(550, Some(EnhancedCode::new(5, 7, 1)), text).shortened()
    }

    #[test]
    fn what_real_servers_say_is_kept_whole() {
        for text in ["", "no such user", "a\nb\nc", &"x".repeat(1024), &format!("{}\nend", "line\n".repeat(150))] {
            let reply = shortened(text);
            assert_eq!((reply.text.as_str(), reply.lines_omitted), (text, 0));
        }
    }

    #[test]
    fn the_worst_reply_keeps_its_first_lines_and_its_last() {
        let lines: Vec<String> = (0..128).map(|number| format!("line {number} {}", "x".repeat(80))).collect();
        let reply = shortened(&lines.join("\n"));
        let kept: Vec<&str> = reply.text.split('\n').collect();
        assert!(kept.len() > 5 && kept.starts_with(&[lines[0].as_str(), lines[1].as_str()]), "{kept:?}");
        assert_eq!(kept.last(), Some(&lines[127].as_str()));
        assert_eq!(kept.len() as u32 + reply.lines_omitted, 128);
        assert_eq!((reply.code, reply.enhanced), (550, Some(EnhancedCode::new(5, 7, 1))));
        let omitted = reply.lines_omitted;
        assert!(reply.to_string().contains(&format!(" / ({omitted} more lines) / line 127 ")), "{reply}");
    }

    #[test]
    fn a_long_line_is_cut() {
        let reply = shortened(&"x".repeat(4000));
        assert_eq!((reply.text, reply.lines_omitted), (format!("{}…", "x".repeat(1021)), 0));
    }

    #[test]
    fn whatever_is_said_takes_no_more_room() {
        for piece in ["x", "\"", "\\", "é", "\u{fffd}", "\n", "a\n", "\u{1}", "\u{10ffff}"] {
            for count in [1, 511, 1000, 4096, 512 * 1024] {
                let reply = shortened(&piece.repeat(count));
                assert!(json_bytes(&reply.text) <= 1024, "{piece:?} × {count}: {} bytes", json_bytes(&reply.text));
                assert_eq!(reply.clone().shortened().text, reply.text, "what is kept is kept whole");
            }
        }
    }
}
