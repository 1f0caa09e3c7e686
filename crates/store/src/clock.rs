//! The store's clock: the only one that decides what is due and which lease has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

/// The system's clock, or, in tests, a clock that stands still until it is set.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicI64>);

/// Not set: the system's clock is read.
const SYSTEM: i64 = 0;

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// From now on it is that time, to the millisecond, for all who share this clock.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millisecond(), Ordering::Relaxed);
    }

    /// Where a test has set it, if so. A store on a server reads the server's clock otherwise.
    pub(crate) fn is_set(&self) -> Option<Timestamp> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis != SYSTEM).then(|| Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX))
    }

    pub fn now(&self) -> Timestamp {
        match self.0.load(Ordering::Relaxed) {
            SYSTEM => Timestamp::now(),
            millis => Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX),
        }
    }
}

/// A time that may be too far away to be told is the latest there is.
pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The same for the past.
pub(crate) fn before(now: Timestamp, ago: Duration) -> Timestamp {
    now.checked_sub(ago).unwrap_or(Timestamp::MIN)
}
