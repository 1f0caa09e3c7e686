//! Faults of writing in the node's log: each once in a while, however many commands meet it.

use std::time::{Duration, Instant};

use crate::StoreError;

/// The same fault is told again after this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was told last.
#[derive(Default)]
pub(crate) struct FaultLog(Option<(String, Instant)>);

impl FaultLog {
    pub(crate) fn tell(&mut self, error: &StoreError, now: Instant) {
        let text = error.to_string();
        let is_told = |(told, at): &(String, Instant)| *told == text && now.duration_since(*at) < INTERVAL;
        if !self.0.as_ref().is_some_and(is_told) {
            tracing::error!(%error, "failed to write to the store");
            self.0 = Some((text, now));
        }
    }
}
