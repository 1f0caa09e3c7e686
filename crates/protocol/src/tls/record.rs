//! Splits the bytes of one side into TLS records (RFC 8446 section 5.1), however TCP has split them.
//!
//! Holds at most one record. If the bytes are not a record, the side stays `foreign`: its first bytes are kept, so that
//! people can see them, and the rest is dropped.

use super::{
    Side, WireVersion,
    text::{hex, is_printable, printable},
};

const HEADER: usize = 5;
/// RFC 5246 section 6.2.3: 2^14 bytes, and those that encryption may add.
const FRAGMENT_MAX: usize = (1 << 14) + 2048;
/// Maximum number of bytes that are not TLS and that people are shown.
const SHOWN_MAX: usize = 80;

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

/// Splits the bytes of one side into records.
#[derive(Debug)]
pub struct Records {
    side: Side,
    /// The record that is not complete yet. Of a foreign side, the first bytes that are not TLS.
    pending: Vec<u8>,
    /// Number of bytes in complete records so far.
    passed: u64,
    foreign: bool,
    /// Length of `pending` when its fault was last described: describing it again for each further byte would be slow.
    described: Option<usize>,
}

/// A complete record, with its header.
#[derive(Debug)]
pub struct Record(Vec<u8>);

impl Record {
    /// RFC 5246 appendix E.2: an SSL 2.0 record with a ClientHello; no TLS content type has the high bit.
    pub fn is_ssl2(&self) -> bool {
        self.0.first().is_some_and(|byte| byte & 0x80 != 0)
    }

    pub fn content_type(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// legacy_record_version; `None`: an SSL 2.0 record has none.
    pub fn version(&self) -> Option<WireVersion> {
        let version = self.0.get(1..3).filter(|_| !self.is_ssl2())?;
        Some(WireVersion(u16::from_be_bytes([version[0], version[1]])))
    }

    pub fn body(&self) -> &[u8] {
        let header = if self.is_ssl2() { 2 } else { HEADER };
        self.0.get(header..).unwrap_or_default()
    }
}

impl Records {
    pub fn new(side: Side) -> Self {
        Self { side, pending: Vec::new(), passed: 0, foreign: false, described: None }
    }

    /// Takes the bytes that the current record still needs, and returns the record when it is complete.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Option<Record> {
        if self.foreign {
            self.keep_foreign(bytes);
            return None;
        }
        let Some(wanted) = self.wanted() else { return self.turn_foreign() };
        let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.pending.len()));
        self.pending.extend_from_slice(taken);
        *bytes = rest;
        match self.wanted() {
            None => self.turn_foreign(),
            Some(wanted) if wanted > self.pending.len() => None,
            Some(wanted) => {
                self.passed += wanted as u64;
                Some(Record(std::mem::take(&mut self.pending)))
            }
        }
    }

    /// Stops reading this side.
    pub(super) fn close(&mut self) {
        self.turn_foreign();
        self.pending = Vec::new();
    }

    /// Describes bytes that are not TLS, for people; the description grows as more of them arrive. `None`: there are
    /// none, or no more than last time.
    pub(super) fn fault(&mut self) -> Option<String> {
        if !self.foreign || self.described.replace(self.pending.len()) == Some(self.pending.len()) {
            return None;
        }
        let side = self.side;
        let spoke = if side == Side::Server { "answered" } else { "spoke" };
        // A port number, a greeting or an HTTP request begins with at least this much text.
        let is_text = self.pending.iter().take(3).all(|&byte| is_printable(byte));
        Some(match (is_text, self.passed) {
            (true, 0) => format!("the {side} {spoke} in plaintext: \"{}\"", self.shown()),
            (true, passed) => format!("the {side} continued in plaintext after {passed} bytes: \"{}\"", self.shown()),
            (false, 0) => format!("the {side} sent data that is not TLS: {}", self.start()),
            (false, passed) => format!("the {side} sent data that is not TLS after {passed} bytes: {}", self.start()),
        })
    }

    /// Length of the current record as far as it is known. `None`: the bytes are not a record.
    fn wanted(&self) -> Option<usize> {
        let start = self.pending.as_slice();
        let &[first, ref rest @ ..] = start else { return Some(HEADER) };
        let length = match first {
            20..=24 if rest.first().is_none_or(|&major| major == 3) => match rest {
                [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + HEADER,
                _ => return Some(HEADER),
            },
            0x80.. if self.side == Side::Client && self.passed == 0 => ssl2_length(start)?,
            _ => return None,
        };
        (length <= HEADER + FRAGMENT_MAX).then_some(length)
    }

    fn turn_foreign(&mut self) -> Option<Record> {
        self.foreign = true;
        self.pending.truncate(SHOWN_MAX);
        None
    }

    fn keep_foreign(&mut self, bytes: &mut &[u8]) {
        let room = SHOWN_MAX.saturating_sub(self.pending.len());
        self.pending.extend(bytes.iter().take(room));
        *bytes = &[];
    }

    /// The first line.
    fn shown(&self) -> String {
        let line = self.pending.split(|byte| matches!(byte, b'\r' | b'\n')).next();
        printable(line.unwrap_or_default())
    }

    fn start(&self) -> String {
        hex(self.pending.get(..16).unwrap_or(&self.pending), " ")
    }
}

/// Two bytes of length, the message type (1: ClientHello), the version (2.0 or 3.x).
fn ssl2_length(start: &[u8]) -> Option<usize> {
    const SMALLEST: usize = 11;
    match *start {
        [_, _, kind, ..] if kind != 1 => None,
        [_, _, _, major, ..] if !matches!(major, 0 | 2 | 3) => None,
        [high, low, _, _, _, ..] => {
            let length = 2 + usize::from(u16::from_be_bytes([high & 0x7f, low]));
            (length >= SMALLEST).then_some(length)
        }
        _ => Some(HEADER),
    }
}
