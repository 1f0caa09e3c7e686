//! Splits the traffic of a connection into the lines of its transcript, and leaves content out. A reply may be very
//! long, so the transcript contains only its first lines and the last one.

use crate::{Disconnected, Line, Transcript};

/// Maximum length of a line. RFC 5321 section 4.5.3.1.5 allows 512 octets.
const LINE_BYTES_MAX: usize = 512;
/// Maximum size of a reply in the transcript, besides its last line.
const REPLY_BYTES_MAX: usize = 1024;

/// One connection's transcript. It costs nothing if nobody records it.
pub(super) struct Record {
    transcript: Option<Box<dyn Transcript>>,
    /// Number of bytes at the start of the output that are content.
    skipped: usize,
    /// The start of a line whose end has not arrived yet.
    pub(super) heard: Vec<u8>,
    /// For the current reply: bytes in the transcript, and lines left out.
    written: usize,
    omitted: u32,
    /// How the destination ended the connection. `None` while it is open.
    pub(super) ended: Option<Disconnected>,
}

impl Record {
    pub(super) fn new(transcript: Option<Box<dyn Transcript>>) -> Self {
        Self { transcript, skipped: 0, heard: Vec::new(), written: 0, omitted: 0, ended: None }
    }

    pub(super) fn write(&mut self, line: Line<'_>) {
        if let Some(transcript) = &mut self.transcript {
            transcript.write(line);
        }
    }

    /// Marks the output so far as content.
    pub(super) fn skip(&mut self, output: &[u8]) {
        self.skipped = output.len();
    }

    /// The output is being sent now.
    pub(super) fn sent(&mut self, output: &[u8]) {
        let commands = &output[std::mem::take(&mut self.skipped).min(output.len())..];
        if let Some(transcript) = &mut self.transcript {
            for line in commands.split_inclusive(|byte| *byte == b'\n') {
                transcript.write(Line::Sent(line.trim_ascii_end()));
            }
        }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        if self.transcript.is_none() {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.heard.len());
            self.heard.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.heard);
                self.received_line(line.trim_ascii_end());
            }
        }
    }

    fn received_line(&mut self, line: &[u8]) {
        // RFC 5321 section 4.2.1: a hyphen after the code means that more lines follow.
        let is_last = line.get(3) != Some(&b'-');
        if !is_last && self.written + line.len() > REPLY_BYTES_MAX {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        match std::mem::take(&mut self.omitted) {
            0 => {}
            lines => self.write(Line::Omitted { lines }),
        }
        self.write(Line::Received(line));
        self.written = if is_last { 0 } else { self.written + line.len() };
    }

    /// A connection that was never open has no end to record.
    pub(super) fn not_connected(mut self) {
        self.transcript = None;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let unfinished = std::mem::take(&mut self.heard);
        if !unfinished.is_empty() {
            self.received_line(&unfinished);
        }
        let ended = self.ended.unwrap_or(Disconnected::Local);
        self.write(Line::Disconnected(ended));
    }
}
