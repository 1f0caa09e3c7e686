//! The progress of an attempt, for other parts of the node: the report, a shutdown, a lost lease.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::smtp::{Destination, Phase};
use tokio::time::Instant;

/// The attempt writes it, and anybody can read it.
#[derive(Debug)]
pub struct Progress(Mutex<Now>);

/// The current activity of an attempt.
#[derive(Clone, Debug)]
pub struct Now {
    pub phase: Phase,
    /// When the phase began.
    pub since: Instant,
    /// `None` until an address is known.
    pub destination: Option<Destination>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(Now { phase: Phase::Resolve, since: Instant::now(), destination: None }))
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Now {
        self.lock().clone()
    }

    /// True once the final dot may have been sent. Stopping the attempt after that may cause a duplicate.
    pub fn is_past_content(&self) -> bool {
        self.lock().phase >= Phase::EndOfData
    }

    pub fn resolving(&self) {
        *self.lock() = Now { phase: Phase::Resolve, since: Instant::now(), destination: None };
    }

    pub(super) fn connecting_to(&self, destination: &Destination) {
        *self.lock() = Now { phase: Phase::Connect, since: Instant::now(), destination: Some(destination.clone()) };
    }

    /// For a connection that is already open.
    pub(super) fn sending_to(&self, destination: &Destination) {
        let mut now = self.lock();
        now.phase = Phase::Mail;
        now.since = Instant::now();
        if now.destination.as_ref() != Some(destination) {
            now.destination = Some(destination.clone());
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut now = self.lock();
        if now.phase != phase {
            now.phase = phase;
            now.since = Instant::now();
        }
    }
}
