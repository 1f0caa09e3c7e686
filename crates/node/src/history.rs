//! Deletes history that is older than the configuration allows, in small batches while mail flows. If the disk is so
//! full that new mail is refused, the oldest history is deleted early. Tallies stay then: they are small, and charts need
//! them. They are merged into hours, and deleted at the age of the history.

use std::{sync::Arc, time::Duration};

use super::Node;
use store::{ChangeLog as _, History as _, Queue as _, Room, Tallies as _};

/// Messages deleted at a time. One batch takes the store a few milliseconds.
const BATCH: u32 = 200;
/// Rows of tallies merged or deleted at a time.
const TALLIES: u32 = 2000;
/// Pause between batches, in which mail has the store to itself.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause when nothing is left to delete.
const INTERVAL: Duration = Duration::from_secs(600);
/// Pause when the disk is nearly full, so that freed pages return to the disk.
const INTERVAL_TIGHT: Duration = Duration::from_secs(2);
/// Changes are an audit, and are kept longer than mail.
const CHANGES_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// Pause after a start, because mail comes first.
const FIRST: Duration = Duration::from_secs(5);

/// A task of its own: on a shared store, other nodes may keep it waiting.
pub(super) async fn forget_always(node: Arc<Node>) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = forget_some(&node).await.min(tidy_some(&node).await);
    }
}

/// Merges or deletes a batch of tallies; when none is left, deletes old changes. Returns how long to wait before the next.
async fn tidy_some(node: &Node) -> Duration {
    let keep = *node.config.load().history.keep;
    match node.store.tidy_tallies(keep, TALLIES).await {
        Ok(0) => {
            forget_changes(node).await;
            INTERVAL
        }
        Ok(rows) => {
            tracing::debug!(rows, "merged or deleted tallies");
            PAUSE
        }
        Err(error) => {
            tracing::warn!(%error, "failed to merge old tallies; trying again");
            INTERVAL
        }
    }
}

/// Deletes one batch. Returns how long to wait before the next.
async fn forget_some(node: &Node) -> Duration {
    let keep = *node.config.load().history.keep;
    let is_short = node.store.room() == Room::Short;
    let age = if is_short { Duration::ZERO } else { keep };
    match node.store.forget(age, BATCH).await {
        Ok(0) if node.store.room() == Room::Enough => INTERVAL,
        Ok(0) => INTERVAL_TIGHT,
        Ok(messages) => {
            if is_short {
                tracing::warn!(messages, "deleted the oldest history early because the disk is nearly full; make room");
            }
            tracing::debug!(messages, "deleted history");
            PAUSE
        }
        Err(error) => {
            tracing::warn!(%error, "failed to delete old history; trying again");
            if node.store.room() == Room::Enough { INTERVAL } else { INTERVAL_TIGHT }
        }
    }
}

async fn forget_changes(node: &Node) {
    match node.store.forget_changes(CHANGES_KEPT).await {
        Ok(0) => {}
        Ok(changes) => tracing::debug!(changes, "deleted old changes"),
        Err(error) => tracing::warn!(%error, "failed to delete old changes; trying again"),
    }
}
