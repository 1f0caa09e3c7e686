//! Deletes the bodies that no message needs any more, where they are outside the store. Mail does not wait for it.

use std::{sync::Arc, time::Duration};

use store::Bodies as _;
use tokio::time::MissedTickBehavior;

use crate::Node;

/// What is left after a failure is left to all nodes a minute later, so that this is not urgent.
const INTERVAL: Duration = Duration::from_secs(2);

pub(crate) async fn clean_always(node: Arc<Node>) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = node.store.clean_bodies().await {
            tracing::warn!(%error, "failed to delete the bodies of finished messages; trying again");
        }
    }
}
