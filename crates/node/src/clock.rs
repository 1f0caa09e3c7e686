//! Handles a system clock that is set back: mail that waits for a moment would wait until the clock reaches it again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use store::{Backend, Queue as _};
use tokio::time::Instant;

use super::{LEASE, Node};
use crate::config::Config;

/// Smaller steps are normal corrections and do no harm.
const STEP_MIN: Duration = Duration::from_secs(5);

/// Compares the system's clock with a monotonic clock.
pub(super) struct Watch {
    last: (Timestamp, Instant),
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { last: (Timestamp::now(), Instant::now()) }
    }

    /// Call it every few seconds.
    pub(super) async fn look(&mut self, node: &Arc<Node>) {
        if !self.was_set_back(Timestamp::now(), Instant::now()) {
            return;
        }
        tracing::warn!("the system's clock was set back; making deliveries due that would wait too long");
        if let Err(error) = follow(&node.store, &node.config.load()).await {
            tracing::error!(%error, "failed to make deliveries due after the clock was set back");
        }
    }

    fn was_set_back(&mut self, now: Timestamp, instant: Instant) -> bool {
        let (before, since) = std::mem::replace(&mut self.last, (now, instant));
        let expected = before.checked_add(instant.saturating_duration_since(since));
        expected.is_ok_and(|expected| now.checked_add(STEP_MIN).is_ok_and(|latest| latest < expected))
    }
}

/// From now to then, for the store, which counts from its own now; nothing if it is over.
pub(super) fn from_now(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Ends all waits that are longer than the configuration allows. At the start of a node, too: the clock may have been
/// set while none ran.
pub(super) async fn follow(store: &Backend, config: &Config) -> store::Result<()> {
    let waits = config.retry.schedule.iter().map(|interval| **interval).collect();
    let deliveries = store.follow_clock(waits, LEASE).await?;
    if deliveries > 0 {
        tracing::warn!(
            deliveries,
            "these deliveries would have waited longer than [retry] schedule allows; they are due now"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_back_is_noticed() {
        let (wall, instant) = (Timestamp::UNIX_EPOCH, Instant::now());
        let seconds = Duration::from_secs;
        for (wall_later, later, set_back) in
            [(2, 2, false), (5000, 2, false), (0, 4, false), (0, 6, true), (-2400, 2, true)]
        {
            let mut watch = Watch { last: (wall, instant) };
            let now = Timestamp::from_second(wall_later).unwrap();
            assert_eq!(watch.was_set_back(now, instant + seconds(later)), set_back, "{wall_later} {later}");
            assert!(!watch.was_set_back(now, instant + seconds(later)), "reported once");
        }
    }
}
