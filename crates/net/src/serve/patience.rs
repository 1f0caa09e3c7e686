//! How long a session waits for its client. Each wait has a limit, and is short once the node must stop.
//!
//! A stopping node waits for messages whose content is complete, until they are stored and answered. A client that is
//! still sending content has a few seconds to finish it. All other clients are told at once to connect again later.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Maximum time for the rest of a message's content, once the node must stop.
pub(super) const CONTENT_GRACE: Duration = Duration::from_secs(5);
/// Maximum time for the client to accept a reply, once the node must stop.
const REPLY_GRACE: Duration = Duration::from_secs(2);

pub(super) struct Patience {
    /// True once the node must stop. It never becomes false again.
    stop: watch::Receiver<bool>,
    stopping_since: Option<Instant>,
}

/// Why a wait ended without a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lapse {
    TimedOut,
    Stopped,
}

impl Patience {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Self {
        Self { stop, stopping_since: None }
    }

    pub(super) fn is_stopping(&mut self) -> bool {
        if self.stopping_since.is_none() && self.stop.has_changed().unwrap_or(true) {
            self.stopping_since = Some(Instant::now());
        }
        self.stopping_since.is_some()
    }

    /// Waits for input from the client, at most `grace` after the node was told to stop.
    pub(super) async fn hear<T>(
        &mut self,
        limit: Instant,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Lapse> {
        self.wait(limit, |stopping_since| stopping_since + grace, work).await
    }

    /// Waits until the client accepts a reply. A stopping node leaves a moment for it.
    pub(super) async fn say<T>(&mut self, limit: Instant, work: impl Future<Output = T>) -> Result<T, Lapse> {
        self.wait(limit, |_| Instant::now() + REPLY_GRACE, work).await
    }

    async fn wait<T>(
        &mut self,
        limit: Instant,
        end: impl FnOnce(Instant) -> Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Lapse> {
        let mut work = pin!(work);
        if !self.is_stopping() {
            tokio::select! {
                biased;
                done = timeout_at(limit, &mut work) => return done.map_err(|_| Lapse::TimedOut),
                _ = self.stop.changed() => {}
            }
        }
        let end = end(*self.stopping_since.get_or_insert_with(Instant::now));
        // A client that never stops sending would always be ready.
        if end <= Instant::now() {
            return Err(Lapse::Stopped);
        }
        let lapse = if limit <= end { Lapse::TimedOut } else { Lapse::Stopped };
        timeout_at(limit.min(end), work).await.map_err(|_| lapse)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_wait_ends_at_its_limit_or_soon_after_the_stop() {
        let (stop, stopped) = watch::channel(false);
        let mut patience = Patience::new(stopped);
        let in_an_hour = Instant::now() + HOUR;
        let grace = Duration::from_millis(50);
        assert_eq!(patience.hear(in_an_hour, Duration::ZERO, ready(1)).await, Ok(1));
        let soon = Instant::now() + grace;
        assert_eq!(patience.hear(soon, CONTENT_GRACE, pending::<()>()).await, Err(Lapse::TimedOut));
        assert!(!patience.is_stopping());

        let began = Instant::now();
        let stopping = async {
            tokio::time::sleep(grace).await;
            let _ = stop.send(true);
            pending::<()>().await;
        };
        let lapse = tokio::select! {
            lapse = patience.hear(in_an_hour, grace, pending::<()>()) => lapse,
            () = stopping => Ok(()),
        };
        assert_eq!(lapse, Err(Lapse::Stopped));
        assert!(began.elapsed() >= 2 * grace && patience.is_stopping());
        // A client that never stops sending does not delay the node either, but it gets the replies to its commands.
        assert_eq!(patience.hear(in_an_hour, grace, ready(1)).await, Err(Lapse::Stopped));
        assert_eq!(patience.say(in_an_hour, ready(1)).await, Ok(1));
        assert_eq!(patience.say(in_an_hour, pending::<()>()).await, Err(Lapse::Stopped));
    }
}
