//! Deletes history that is older than the configuration keeps, a little at a time beside the mail.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use store::Store;
use tokio::time::{Instant, Sleep};

use super::Node;

/// Messages deleted at a time: a few milliseconds of the store's time.
const BATCH: u32 = 200;
/// Between batches, mail has the store for itself.
const PAUSE: Duration = Duration::from_millis(200);
/// When nothing was left to delete.
const INTERVAL: Duration = Duration::from_secs(600);
/// After a start, mail comes first.
pub(super) const FIRST: Duration = Duration::from_secs(5);

/// Deletes one batch, and sets the clock for the next.
pub(super) async fn run<S: Store>(node: &Arc<Node<S>>, clock: std::pin::Pin<&mut Sleep>) {
    let keep = *node.config.load().history.keep;
    let deleted = match Timestamp::now().checked_sub(keep) {
        Ok(before) => node.store.forget(before, BATCH).await,
        Err(_) => Ok(0),
    };
    let wait = match deleted {
        Ok(0) => INTERVAL,
        Ok(messages) => {
            tracing::debug!(messages, "deleted history");
            PAUSE
        }
        Err(error) => {
            tracing::warn!(%error, "failed to delete old history; trying again");
            INTERVAL
        }
    };
    clock.reset(Instant::now() + wait);
}
