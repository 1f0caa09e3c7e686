//! Handles a system clock that is set back: mail that waits for a moment would wait until the clock reaches it again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use store::{Backend, Fleet as _, Queue as _};
use tokio::time::Instant;

use super::Node;
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
        let was_set_back = self.was_set_back(Timestamp::now(), Instant::now());
        if !was_set_back || node.store.is_shared() {
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

/// For the start of a node: the clock may have been set back while none ran. A report from the future shows it. Without
/// one, nothing waits too long, and a long queue need not be read.
pub(super) async fn follow_since_last_report(store: &Backend, config: &Config) -> store::Result<()> {
    if store.is_shared() {
        return Ok(());
    }
    let last = store.reports().await?.iter().map(|report| report.at).max();
    if last <= Some(Timestamp::now()) {
        return Ok(());
    }
    tracing::warn!("the system's clock was set back while no node ran");
    follow(store, config).await
}

/// Ends all waits that are longer than the configuration allows. Reads the whole queue.
async fn follow(store: &Backend, config: &Config) -> store::Result<()> {
    let waits = config.retry.as_schedule().intervals;
    let deliveries = store.follow_clock(waits).await?;
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
    use protocol::smtp::{Address, Envelope, ReversePath};
    use store::{Content, History as _, NewDelivery, NewMessage, NodeState, SqliteStore};
    use uuid::Uuid;

    use super::*;

    /// A message that waits for ten minutes, in a store whose clock is `ahead`; what the start of a node makes of it now.
    async fn due_after_start(ahead: Duration) -> Timestamp {
        let folder = tempfile::tempdir().unwrap();
        let clock = store::Clock::system();
        clock.set(Timestamp::now() + ahead);
        let before = Backend::Sqlite(SqliteStore::open_by(folder.path(), "mx1", clock).unwrap());
        let member = before.join("mx1").await.unwrap().member;
        before.report(&member, NodeState::default()).await.unwrap();
        let delivery = NewDelivery {
            recipient: Address::parse("user@onprem.test").unwrap(),
            notify: None,
            orcpt: None,
            connector: "onprem".to_owned(),
            due_in: Duration::from_secs(600),
            review_in: Duration::from_secs(86_400),
        };
        let message = NewMessage {
            network_message_id: Uuid::now_v7(),
            received: Timestamp::now(),
            envelope: Envelope::from(ReversePath::Null),
            message_id: None,
            subject: None,
            size_bytes: 2,
            client: None,
            content: Content::Inline("\r\n".into()),
            withhold_addresses: false,
            deliveries: vec![delivery],
        };
        let id = message.network_message_id;
        before.accept(message, None, vec![]).await.unwrap();
        before.close().await;

        let store = Backend::open(folder.path(), "mx1").unwrap();
        follow_since_last_report(&store, &Config::default()).await.unwrap();
        let due = store.message(id).await.unwrap().unwrap().deliveries[0].due;
        store.close().await;
        due
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_while_no_node_ran_is_noticed() {
        // What was never tried waits for nothing; it is looked at only if the clock shows the need.
        let soon = Timestamp::now() + Duration::from_secs(60);
        assert!(due_after_start(Duration::from_secs(2400)).await < soon);
        assert!(due_after_start(Duration::ZERO).await > soon);
    }

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
