//! Cuts what goes over a connection into the lines of its transcript, and leaves content out. A destination may say as
//! much as it likes; of each reply the first lines and the last one are written down.

use crate::{Disconnected, Line, Transcript};

/// A line is cut here. RFC 5321 section 4.5.3.1.5 allows 512 octets.
const LINE_BYTES_MAX: usize = 512;
/// Lines of one reply that are written down, besides its last.
const REPLY_BYTES_MAX: usize = 1024;

/// One connection's transcript; costs nothing where nobody writes one.
pub(super) struct Record {
    transcript: Option<Box<dyn Transcript>>,
    /// Bytes at the beginning of the output that are content.
    skipped: usize,
    /// The beginning of a line whose end has not come yet.
    pub(super) heard: Vec<u8>,
    /// Of the reply that is being read: bytes written down, and lines left out.
    written: usize,
    omitted: u32,
    /// How the other side ended it; `None` while it has not.
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

    /// What stands in the output so far is content.
    pub(super) fn skip(&mut self, output: &[u8]) {
        self.skipped = output.len();
    }

    /// The output is written now.
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
        // RFC 5321 section 4.2.1: a hyphen behind the code says that more lines follow.
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

    /// There is no end to tell of a connection that never was.
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
