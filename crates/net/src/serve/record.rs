//! Puts the commands and replies of a session into its transcript, in order.

use std::net::SocketAddr;

use protocol::smtp::server::Session;

use crate::{Disconnected, Line, Transcript};

/// One session's transcript. It costs nothing if nobody records it.
pub(super) struct Record {
    transcript: Option<Box<dyn Transcript>>,
    /// Number of bytes at the start of the output that are already in the transcript.
    written: usize,
    pub(super) ended: Disconnected,
}

impl Default for Record {
    fn default() -> Self {
        Self { transcript: None, written: 0, ended: Disconnected::Local }
    }
}

impl Record {
    /// Starts with the greeting, which the client got before it had a session.
    pub(super) fn open(
        transcript: Option<Box<dyn Transcript>>,
        local: Option<SocketAddr>,
        session: &mut Session,
        banner: &str,
    ) -> Self {
        let mut record = Self { transcript, ..Self::default() };
        if let (Some(_), Some(local)) = (&record.transcript, local) {
            session.record_lines();
            record.write(Line::Connected { local });
            record.write(Line::Sent(banner.trim_ascii_end().as_bytes()));
        }
        record
    }

    pub(super) fn write(&mut self, line: Line<'_>) {
        if let Some(transcript) = &mut self.transcript {
            transcript.write(line);
        }
    }

    /// Commands were answered, with the replies in `output`.
    pub(super) fn heard(&mut self, session: &mut Session, output: &[u8]) {
        if self.transcript.is_none() {
            return;
        }
        for heard in session.take_lines() {
            self.replies(&output[..heard.output_position.min(output.len())]);
            self.write(Line::Received(heard.line.trim_ascii_end()));
        }
    }

    /// The output has been sent and is empty again.
    pub(super) fn said(&mut self, session: &mut Session, output: &[u8]) {
        self.heard(session, output);
        self.replies(output);
        self.written = 0;
    }

    fn replies(&mut self, output: &[u8]) {
        if self.transcript.is_some() {
            for line in output.get(self.written..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                self.write(Line::Sent(line.trim_ascii_end()));
            }
        }
        self.written = output.len();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = self.ended;
        self.write(Line::Disconnected(ended));
    }
}
