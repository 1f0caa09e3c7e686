//! Deletes history that is older than the configuration keeps, a little at a time beside the mail. Where the disk is so
//! full that new mail is refused, the oldest goes before its time.

use std::{sync::Arc, time::Duration};

use store::{History as _, Queue as _, Room};
use tokio::time::{Instant, Sleep};

use super::Node;

/// Messages deleted at a time: a few milliseconds of the store's time.
const BATCH: u32 = 200;
/// Between batches, mail has the store for itself.
const PAUSE: Duration = Duration::from_millis(200);
/// When nothing was left to delete.
const INTERVAL: Duration = Duration::from_secs(600);
/// When the disk has little room, so that pages that have become free are given back to it.
const INTERVAL_TIGHT: Duration = Duration::from_secs(2);
/// After a start, mail comes first.
pub(super) const FIRST: Duration = Duration::from_secs(5);

/// Deletes one batch, and sets the clock for the next.
pub(super) async fn run(node: &Arc<Node>, clock: std::pin::Pin<&mut Sleep>) {
    let keep = *node.config.load().history.keep;
    let is_short = node.store.room() == Room::Short;
    let age = if is_short { Duration::ZERO } else { keep };
    let wait = match node.store.forget(age, BATCH).await {
        Ok(0) if node.store.room() == Room::Enough => INTERVAL,
        Ok(0) => INTERVAL_TIGHT,
        Ok(messages) => {
            if is_short {
                tracing::warn!(messages, "deleted the oldest history before its time: the disk is nearly full");
            }
            tracing::debug!(messages, "deleted history");
            PAUSE
        }
        Err(error) => {
            tracing::warn!(%error, "failed to delete old history; trying again");
            if node.store.room() == Room::Enough { INTERVAL } else { INTERVAL_TIGHT }
        }
    };
    clock.reset(Instant::now() + wait);
}
