//! This node's shares of its connectors' limits, which hold for all nodes together.
//!
//! A share counts from before the node asked for it. In its last part and after it, the node opens no connection, and ends
//! attempts that have not sent their final dot: the store may have given it to others.

use std::{sync::Arc, time::Duration};

use store::{Fleet as _, SHARE_VALID, Share};

use super::lease::Term;
use crate::Node;

/// Shares are asked for this often, and sooner if a lane could use more.
const INTERVAL: Duration = Duration::from_secs(2);
/// But not sooner than this.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// The connections of one lane.
#[derive(Debug, Default)]
pub(super) struct Own {
    connections: u32,
    /// `None` before the first answer.
    until: Option<Term>,
    /// What was wanted when the node asked last, and what it was bound to.
    pub(super) asked: u32,
    pub(super) bound: u32,
}

impl Own {
    /// How many it may have open.
    pub(super) fn connections(&self) -> u32 {
        if self.until.is_some_and(Term::is_valid) { self.connections } else { 0 }
    }

    /// True if others may have it now.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| !until.is_valid())
    }

    pub(super) fn set(&mut self, connections: u32, until: Term) {
        (self.connections, self.until) = (connections, Some(until));
    }
}

/// Asks for shares as long as the node runs.
pub(crate) async fn share_always(node: Arc<Node>) {
    let (mut tick, mut works) = (tokio::time::interval(INTERVAL), true);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = node.outbound.shares_wanted() => {}
        }
        match share(&node).await {
            Ok(()) => works = true,
            Err(error) => {
                if std::mem::take(&mut works) {
                    tracing::warn!(%error, "failed to ask for shares of the connectors' limits; trying again");
                }
            }
        }
        tokio::time::sleep(INTERVAL_MIN).await;
    }
}

/// Asks once. Until the first answer, no lane sends.
async fn share(node: &Node) -> store::Result<()> {
    let demands = node.outbound.demands(node.is_drained());
    let intervals: Vec<Option<Duration>> = demands.iter().map(|demand| demand.interval).collect();
    let until = Term::from_now(SHARE_VALID);
    let shares: Vec<Share> = node.store.share(&node.member, demands).await?;
    for (share, interval) in shares.into_iter().zip(intervals) {
        node.outbound.share(&share, interval, until);
    }
    Ok(())
}
