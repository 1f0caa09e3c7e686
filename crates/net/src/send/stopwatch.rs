//! Measures how long each phase takes, and how many bytes it sends and receives.

use protocol::smtp::{Phase, PhaseTime};
use tokio::time::Instant;

/// Measures one phase after another.
pub(super) struct Stopwatch {
    phase: Phase,
    began: Instant,
    sent_bytes: u64,
    received_bytes: u64,
    running: bool,
}

impl Stopwatch {
    pub(super) fn start(phase: Phase) -> Self {
        Self { phase, began: Instant::now(), sent_bytes: 0, received_bytes: 0, running: true }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.received_bytes += bytes;
    }

    /// The duration of the previous phase, if this is a new one.
    pub(super) fn enter(&mut self, phase: Phase) -> Option<PhaseTime> {
        if self.running && phase == self.phase {
            return None;
        }
        let before = self.stop();
        *self = Self::start(phase);
        before
    }

    /// The duration of the last phase. `None` if called again.
    pub(super) fn stop(&mut self) -> Option<PhaseTime> {
        let time = PhaseTime {
            phase: self.phase,
            duration_us: self.began.elapsed().as_micros() as u64,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
        };
        std::mem::take(&mut self.running).then_some(time)
    }
}
