//! Message content on the wire: lines end with CRLF, a line that begins with a dot has one more (RFC 5321 section
//! 4.5.2), and only CRLF.CRLF is the end. Whatever else some servers take for an end is content, and refused as such:
//! that is what SMTP smuggling lives on.

use bytes::{Buf, BytesMut};

/// Adds the dots that the wire needs; keeps its state across pieces.
#[derive(Clone, Debug)]
pub struct DotEncoder {
    /// The last two bytes were CRLF, or nothing was encoded yet.
    at_line_start: bool,
    /// The last byte was CR.
    after_cr: bool,
}

impl Default for DotEncoder {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false }
    }
}

impl DotEncoder {
    /// Appends `input` to `output` with dots doubled at line starts.
    pub fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) {
        output.reserve(input.len() + 16);
        let mut rest = input;
        // A line's end that the pieces split.
        if self.after_cr && rest.first() == Some(&b'\n') {
            output.push(b'\n');
            rest = &rest[1..];
            (self.at_line_start, self.after_cr) = (true, false);
        }
        let Some(first) = rest.first() else { return };
        if self.at_line_start && *first == b'.' {
            output.push(b'.');
        }
        let mut start = 0;
        for found in memchr::memmem::find_iter(rest, b"\r\n.") {
            output.extend_from_slice(&rest[start..found + 3]);
            output.push(b'.');
            start = found + 3;
        }
        output.extend_from_slice(&rest[start..]);
        self.after_cr = rest.ends_with(b"\r");
        self.at_line_start = rest.ends_with(b"\r\n");
    }

    /// Appends the end of data; content that does not end with CRLF gets one.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

/// Why content is void. The line is counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContentFault {
    #[error("line {line} has a bare LF; lines end with CRLF")]
    BareLf { line: u64 },
    #[error("line {line} has a bare CR; lines end with CRLF")]
    BareCr { line: u64 },
    #[error("line {line} has a NUL byte")]
    Nul { line: u64 },
    #[error("line {line} is over {max} bytes long")]
    LineTooLong { line: u64, max: usize },
    #[error("the message is over {max} bytes long")]
    TooLarge { max: u64 },
}

/// Checks content as it passes, whichever way it came (DATA or BDAT).
#[derive(Clone, Debug)]
pub(super) struct ContentCheck {
    line: u64,
    line_bytes: usize,
    after_cr: bool,
    size: u64,
    eight_bit: bool,
    line_max: usize,
    size_max: u64,
    fault: Option<ContentFault>,
}

impl ContentCheck {
    pub(super) fn new(line_max: usize, size_max: u64) -> Self {
        Self { line: 1, line_bytes: 0, after_cr: false, size: 0, eight_bit: false, line_max, size_max, fault: None }
    }

    pub(super) fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// Bytes that came, those after a fault too.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Looks at more content.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.size_max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        self.size += bytes.len() as u64;
        if self.fault.is_some() || bytes.is_empty() {
            return;
        }
        self.eight_bit |= !bytes.is_ascii();
        // The first fault in the text is the one that is named, whichever pieces the text comes in.
        let fitting = &bytes[..room.min(bytes.len())];
        if let Err(fault) = self.check_lines(fitting) {
            self.fault = Some(fault);
        } else if fitting.len() < bytes.len() {
            self.fault = Some(ContentFault::TooLarge { max: self.size_max });
        }
    }

    /// A CR at the very end of the content is bare.
    pub(super) fn end(&mut self) {
        if self.after_cr && self.fault.is_none() {
            self.fault = Some(ContentFault::BareCr { line: self.line });
        }
    }

    fn check_lines(&mut self, bytes: &[u8]) -> Result<(), ContentFault> {
        let Some(first) = bytes.first() else { return Ok(()) };
        if self.after_cr && *first != b'\n' {
            return Err(ContentFault::BareCr { line: self.line });
        }
        let mut start = 0;
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, bytes) {
            let preceded_by_cr = if at == 0 { self.after_cr } else { bytes[at - 1] == b'\r' };
            match bytes[at] {
                b'\n' if preceded_by_cr => {
                    self.count(at - start)?;
                    start = at + 1;
                    self.line += 1;
                    self.line_bytes = 0;
                }
                b'\n' => {
                    self.count(at - start)?;
                    return Err(ContentFault::BareLf { line: self.line });
                }
                b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                    self.count(at + 1 - start)?;
                    return Err(ContentFault::BareCr { line: self.line });
                }
                b'\r' => {}
                _ => {
                    self.count(at - start)?;
                    return Err(ContentFault::Nul { line: self.line });
                }
            }
        }
        self.count(bytes.len() - start)?;
        self.after_cr = bytes.ends_with(b"\r");
        Ok(())
    }

    /// The CR of the line's end counts as one byte of slack.
    fn count(&mut self, more: usize) -> Result<(), ContentFault> {
        self.line_bytes += more;
        if self.line_bytes > self.line_max.saturating_add(1) {
            return Err(ContentFault::LineTooLong { line: self.line, max: self.line_max });
        }
        Ok(())
    }
}

/// Finds the end of DATA and takes the extra dots away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DotDecoder {
    state: DotState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DotState {
    /// At the start, or after CRLF.
    LineStart,
    Within,
    AfterCr,
    /// A dot at the start of a line, which is not passed on yet.
    Dot,
    /// CR after such a dot.
    DotCr,
}

impl Default for DotDecoder {
    fn default() -> Self {
        Self { state: DotState::LineStart }
    }
}

impl DotDecoder {
    /// Moves content from `input` to `content`; true once the end of data was consumed.
    pub(super) fn decode(&mut self, input: &mut BytesMut, content: &mut Vec<u8>) -> bool {
        content.reserve(input.len());
        while let Some(first) = input.first().copied() {
            match (self.state, first) {
                (DotState::LineStart, b'.') => {
                    self.state = DotState::Dot;
                    input.advance(1);
                }
                (DotState::Dot, b'\r') => {
                    self.state = DotState::DotCr;
                    input.advance(1);
                }
                (DotState::DotCr, b'\n') => {
                    input.advance(1);
                    return true;
                }
                // `.CR` and then no LF: the dot was stuffing, the CR is content (and bare).
                (DotState::DotCr, _) => {
                    content.push(b'\r');
                    self.state = DotState::AfterCr;
                }
                (DotState::Dot, _) => self.state = DotState::Within,
                (DotState::AfterCr, b'\n') => {
                    content.push(b'\n');
                    self.state = DotState::LineStart;
                    input.advance(1);
                }
                (DotState::AfterCr | DotState::LineStart | DotState::Within, _) => self.copy_run(input, content),
            }
        }
        false
    }

    /// Copies up to and including the next CRLF that a dot follows, or to the end of the input.
    fn copy_run(&mut self, input: &mut BytesMut, content: &mut Vec<u8>) {
        let end = match memchr::memmem::find(input, b"\r\n.") {
            Some(found) => found + 2,
            None => input.len(),
        };
        let run = &input[..end];
        content.extend_from_slice(run);
        self.state = if run.ends_with(b"\r\n") {
            DotState::LineStart
        } else if run.ends_with(b"\r") {
            DotState::AfterCr
        } else {
            DotState::Within
        };
        input.advance(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let mut encoder = DotEncoder::default();
        let mut output = Vec::new();
        pieces.iter().for_each(|piece| encoder.encode(piece, &mut output));
        encoder.finish(&mut output);
        output
    }

    fn decode(wire: &[u8], split: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let (first, second) = wire.split_at(split.min(wire.len()));
        let (mut decoder, mut content) = (DotDecoder::default(), Vec::new());
        let mut input = BytesMut::from(first);
        if decoder.decode(&mut input, &mut content) {
            input.extend_from_slice(second);
            return Some((content, input.to_vec()));
        }
        input.extend_from_slice(second);
        decoder.decode(&mut input, &mut content).then(|| (content, input.to_vec()))
    }

    #[test]
    fn only_crlf_dot_crlf_ends_data() {
        for wire in ["a\n.\nb", "a\n.\r\nb", "a\r\n.\nb", "a\r.\rb", "a\r\n.\rb", "a\r\n\0.\r\nb", "a\r.\r\nb", ".\rx"]
        {
            let wire = format!("{wire}\r\n");
            for split in 0..wire.len() {
                assert_eq!(decode(wire.as_bytes(), split), None, "{wire:?}");
            }
        }
        assert_eq!(decode(b".\r\nrest", 0), Some((vec![], b"rest".to_vec())));
        assert_eq!(decode(b"..\r\n.\r\n", 1), Some((b".\r\n".to_vec(), vec![])));
    }

    #[test]
    fn faults_name_the_line() {
        let check = |bytes: &[u8]| {
            let faults: Vec<_> = (0..=bytes.len())
                .map(|split| {
                    let mut check = ContentCheck::new(10, 1000);
                    check.add(&bytes[..split]);
                    check.add(&bytes[split..]);
                    check.end();
                    check.fault()
                })
                .collect();
            assert!(faults.iter().all(|fault| *fault == faults[0]), "{}: {faults:?}", bytes.escape_ascii());
            faults[0]
        };
        assert_eq!(check(b"ok\r\n0123456789\r\n"), None);
        assert_eq!(check(b"ok\r\na\nb\r\n"), Some(ContentFault::BareLf { line: 2 }));
        assert_eq!(check(b"a\rb\r\n"), Some(ContentFault::BareCr { line: 1 }));
        assert_eq!(check(b"a\r"), Some(ContentFault::BareCr { line: 1 }));
        assert_eq!(check(b"a\r\n\0"), Some(ContentFault::Nul { line: 2 }));
        assert_eq!(check(b"a\r\n012345678901\r\n"), Some(ContentFault::LineTooLong { line: 2, max: 10 }));
        let mut large = ContentCheck::new(10, 3);
        large.add(b"abcd");
        assert_eq!(large.fault(), Some(ContentFault::TooLarge { max: 3 }));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(lines in prop::collection::vec("[.a\r ]{0,6}", 0..20), split: usize, at: usize) {
            let text: String = lines.iter().map(|line| format!("{}\r\n", line.replace('\r', ""))).collect();
            let at = at % (text.len() + 1);
            let wire = encode(&[&text.as_bytes()[..at], &text.as_bytes()[at..]]);
            prop_assert_eq!(wire.clone(), encode(&[text.as_bytes()]));
            let ends = memchr::memmem::find_iter(&wire, b"\r\n.\r\n").count() + usize::from(wire.starts_with(b".\r\n"));
            prop_assert_eq!(ends, 1);
            prop_assert_eq!(decode(&wire, split % wire.len()), Some((text.into_bytes(), vec![])));
        }

        #[test]
        fn the_split_does_not_matter(wire in "[.\r\nax]{0,40}", split: usize) {
            prop_assert_eq!(decode(wire.as_bytes(), split % (wire.len() + 1)), decode(wire.as_bytes(), 0));
        }
    }
}
