//! Follows the fleet's configuration while a node runs: the version in force, with this node's own file. A node that cannot
//! follow a version keeps the one that it had, says so in its reports, and tries again.
//!
//! ```text
//!   store ──newer──> FleetConfig ──with the file──> can follow ──> Running::reload
//!                                                   cannot ─────> reported, tried again every 5 s
//! ```

use std::time::Duration;

use store::StoredConfiguration;

use crate::{
    Node, Running,
    config::{File, Fleet, FleetConfig},
    start::{Followed, examined, log_refused, refused, why_not},
};

/// Interval at which a node looks for a new version.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A version that was refused is tried again after this number of looks: a missing file may be there by now.
const LOOKS_BEFORE_RETRY: u32 = 5;

/// The next version that this node is to follow, once there is one.
pub(crate) async fn newer(node: &Node) -> StoredConfiguration {
    if !node.store.is_shared() || node.file.load().is_none() {
        return std::future::pending().await;
    }
    for looks in 1u32.. {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let followed = node.followed.load_full();
        let known = match &followed.refused {
            Some(refused) if looks % LOOKS_BEFORE_RETRY != 0 => refused.version,
            _ => followed.version(),
        };
        match node.store.newer_configuration(known).await {
            Ok(Some(stored)) => return stored,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to read the fleet's configuration; keeping the current one");
            }
        }
    }
    std::future::pending().await
}

/// Follows that version completely, or not at all.
pub(crate) fn follow(running: &Running, stored: StoredConfiguration) {
    let (node, by) = (&running.node, stored.record.by.clone());
    let Some(file) = node.file.load_full() else { return };
    let (before, fleet) = (node.followed.load_full(), FleetConfig::from(stored));
    match adopt(running, &file, &fleet) {
        Ok(()) => {
            tracing::info!(version = fleet.version, by, "following a new version of the fleet's configuration");
            node.followed.store(Followed::new(fleet).into());
        }
        Err(why) => {
            let refused = refused(&fleet, why);
            if before.refused.as_ref() != Some(&refused) {
                log_refused(&refused, before.config.as_ref().and_then(|config| config.version));
            }
            node.followed.store(Followed { config: before.config.clone(), refused: Some(refused) }.into());
        }
    }
}

fn adopt(running: &Running, file: &File, fleet: &FleetConfig) -> Result<(), Vec<String>> {
    let why = why_not(file, fleet);
    if !why.is_empty() {
        return Err(why);
    }
    let config = examined(file, Fleet::Known(fleet)).map_err(|errors| errors.messages().collect::<Vec<_>>())?;
    // The fleet's settings need no restart (scope.rs).
    running.reload(config).map(drop).map_err(|error| vec![format!("{error:#}")])
}
