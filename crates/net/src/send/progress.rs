//! How far an attempt has come, for those who look at it from outside: the node's report, a shutdown, a lost lease.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::smtp::{Destination, Phase};
use tokio::time::Instant;

/// Written by the attempt, read by anybody.
#[derive(Debug)]
pub struct Progress(Mutex<Now>);

/// What an attempt is doing.
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

    /// True once the final dot may be out: stopping the attempt then may cause a duplicate.
    pub fn is_past_content(&self) -> bool {
        self.lock().phase >= Phase::EndOfData
    }

    pub fn resolving(&self) {
        *self.lock() = Now { phase: Phase::Resolve, since: Instant::now(), destination: None };
    }

    pub(super) fn connecting_to(&self, destination: &Destination) {
        *self.lock() = Now { phase: Phase::Connect, since: Instant::now(), destination: Some(destination.clone()) };
    }

    /// Over a connection that is open already.
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
