//! Cuts what goes over a connection into the lines of its transcript, and leaves content out.

use crate::{Disconnected, Line, Transcript};

/// A line that does not end is cut here; the reply parser gives up long before.
const LINE_BYTES_MAX: usize = 8192;

/// One connection's transcript; costs nothing where nobody writes one.
pub(super) struct Record {
    transcript: Option<Box<dyn Transcript>>,
    /// Bytes at the beginning of the output that are content.
    skipped: usize,
    /// The beginning of a line whose end has not come yet.
    pub(super) heard: Vec<u8>,
    /// How the other side ended it; `None` while it has not.
    pub(super) ended: Option<Disconnected>,
}

impl Record {
    pub(super) fn new(transcript: Option<Box<dyn Transcript>>) -> Self {
        Self { transcript, skipped: 0, heard: Vec::new(), ended: None }
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
        let Some(transcript) = &mut self.transcript else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.heard.extend_from_slice(piece);
            if self.heard.ends_with(b"\n") || self.heard.len() > LINE_BYTES_MAX {
                transcript.write(Line::Received(self.heard.trim_ascii_end()));
                self.heard.clear();
            }
        }
    }

    /// There is no end to tell of a connection that never was.
    pub(super) fn not_connected(mut self) {
        self.transcript = None;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or(Disconnected::Local);
        self.write(Line::Disconnected(ended));
    }
}
