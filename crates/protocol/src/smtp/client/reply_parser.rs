//! Reads replies from a byte stream (RFC 5321 section 4.2), strict on codes, lenient on line ends, bounded in length.

use bytes::{Buf, BytesMut};

use crate::smtp::{EnhancedCode, Reply};

/// RFC 5321 section 4.5.3.1.5 allows 512; some servers send long texts.
const LINE_BYTES_MAX: usize = 4096;
/// An EHLO reply of a verbose server has some 30 lines.
const LINES_MAX: usize = 128;
/// Enough to tell another protocol.
const SHOWN_CHARS_MAX: usize = 40;

/// Why the bytes are no reply. Reads on after "the answer is not SMTP: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// With the line, as far as it is short and printable.
    #[error("a line does not begin with a reply code: {0:?}")]
    NoCode(String),
    #[error("the lines of one reply have different codes")]
    CodeChanged,
    #[error("a line is over 4096 bytes long")]
    LineTooLong,
    #[error("a reply has more than 128 lines")]
    TooManyLines,
}

/// Collects the lines of one reply at a time.
#[derive(Debug, Default)]
pub struct ReplyParser {
    partial: Option<Reply>,
    lines: usize,
}

impl ReplyParser {
    /// Takes lines from `input` until one reply is whole; `None` when more bytes are needed.
    pub fn parse(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, ReplyError> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            let line = input.split_to(end);
            input.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if self.add_line(line)? {
                self.lines = 0;
                return Ok(self.partial.take());
            }
        }
        // One more than that may be the CR.
        if input.len() > LINE_BYTES_MAX + 1 { Err(ReplyError::LineTooLong) } else { Ok(None) }
    }

    /// Adds one line; true if it was the last of its reply.
    fn add_line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(ReplyError::LineTooLong);
        }
        let (code, last, text) = split_line(line)?;
        self.lines += 1;
        match &mut self.partial {
            None => {
                let (enhanced, text) = match EnhancedCode::parse_prefix(&text) {
                    Some((enhanced, rest)) => (Some(enhanced), rest.to_owned()),
                    None => (None, text),
                };
                self.partial = Some(Reply::new(code, enhanced, text));
            }
            Some(reply) if reply.code != code => return Err(ReplyError::CodeChanged),
            Some(reply) => {
                let text = match EnhancedCode::parse_prefix(&text) {
                    Some((enhanced, rest)) if Some(enhanced) == reply.enhanced => rest,
                    _ => &text,
                };
                reply.text.push('\n');
                reply.text.push_str(text);
            }
        }
        if !last && self.lines >= LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        Ok(last)
    }
}

/// Code, whether it is the last line, and the text without control characters.
fn split_line(line: &[u8]) -> Result<(u16, bool, String), ReplyError> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
        return Err(no_code(line));
    };
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let (last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return Err(no_code(line)),
    };
    Ok((code, last, printable(text)))
}

fn no_code(line: &[u8]) -> ReplyError {
    ReplyError::NoCode(printable(line).chars().take(SHOWN_CHARS_MAX).collect())
}

/// Without control characters.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        ReplyParser::default().parse(&mut BytesMut::from(bytes))
    }

    #[test]
    fn replies() {
        let code = |class, subject, detail| Some(EnhancedCode::new(class, subject, detail));
        let table: &[(&[u8], Reply)] = &[
            (b"250 ok\r\n", Reply::new(250, None, "ok")),
            (b"250\r\n", Reply::new(250, None, "")),
            (b"250 ok\n", Reply::new(250, None, "ok")),
            (b"550 5.1.1 no such user\r\n", Reply::new(550, code(5, 1, 1), "no such user")),
            (b"550-5.1.1 no\r\n550 5.1.1 user\r\n", Reply::new(550, code(5, 1, 1), "no\nuser")),
            (b"451-4.7.1 a\r\n451 4.7.2 b\r\n", Reply::new(451, code(4, 7, 1), "a\n4.7.2 b")),
            (b"250 5.1 half a code\r\n", Reply::new(250, None, "5.1 half a code")),
            (b"220 a\x07b\xff\r\n", Reply::new(220, None, "a b\u{fffd}")),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse(bytes), Ok(Some(expected.clone())), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn not_replies() {
        let long = [b"250 ".as_slice(), &[b'x'; 5000]].concat();
        let endless = b"250-x\r\n".repeat(129);
        let web = [b"<p>\x07".as_slice(), &[b'x'; 100]].concat();
        let web = [&web, b"\r\n".as_slice()].concat();
        let table: &[(&[u8], ReplyError)] = &[
            (b"hello\r\n", ReplyError::NoCode("hello".to_owned())),
            (b"25 x\r\n", ReplyError::NoCode("25 x".to_owned())),
            (b"999 x\r\n", ReplyError::NoCode("999 x".to_owned())),
            (b"250x\r\n", ReplyError::NoCode("250x".to_owned())),
            (b"\r\n", ReplyError::NoCode(String::new())),
            (&web, ReplyError::NoCode(format!("<p> {}", "x".repeat(36)))),
            (b"250-a\r\n251 b\r\n", ReplyError::CodeChanged),
            (&long, ReplyError::LineTooLong),
            (&endless, ReplyError::TooManyLines),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse(bytes), Err(expected.clone()), "{:.40}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_split_gives_the_same_reply() {
        let bytes = b"250-mx.test Hello\r\n250-SIZE 1000\r\n250 PIPELINING\r\n";
        for at in 0..bytes.len() {
            let mut parser = ReplyParser::default();
            let mut input = BytesMut::from(&bytes[..at]);
            assert_eq!(parser.parse(&mut input), Ok(None));
            input.extend_from_slice(&bytes[at..]);
            let reply = parser.parse(&mut input).unwrap().unwrap();
            assert_eq!(reply.text, "mx.test Hello\nSIZE 1000\nPIPELINING");
        }
    }
}
