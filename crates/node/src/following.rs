//! Follows the fleet's configuration while a node runs: the version in force, with this node's own file. A node that cannot
//! follow a version keeps the one that it had, says so in its reports, and tries again.
//!
//! ```text
//!   store ──another──> FleetConfig ──with the file──> can follow ──> Running::reload
//!                                                     cannot ─────> reported, tried again every 5 s
//! ```
//!
//! After a restore of the database, the version in force may be an older one, or another one with the same number. Nodes
//! follow that, too, so that all of them do the same as one that starts now.

use std::time::Duration;

use store::{Backend, ConfigurationId, StoredConfiguration};
use trace::NextStep;

use crate::{
    Node, Running,
    config::{File, Fleet, FleetConfig, Purpose},
    running::ReloadedBy,
    start::{Followed, examined, log_refused, refused, why_not},
};

/// Interval at which a node looks for another version.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A version that was refused is tried again after this number of looks: a missing file may be there by now.
const LOOKS_BEFORE_RETRY: u32 = 5;

/// What the store has, compared with what a node knows.
enum Look {
    Same,
    /// The store has none any more: it was restored from a backup that has none.
    Gone,
    Another(StoredConfiguration),
}

/// The next version that this node is to follow, once there is one.
pub(crate) async fn another(node: &Node) -> StoredConfiguration {
    if !node.store.is_shared() || node.file.load().is_none() {
        return std::future::pending().await;
    }
    let mut was_gone = false;
    for looks in 1u32.. {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let followed = node.followed.load_full();
        let known = match &followed.refused {
            Some(refused) if looks % LOOKS_BEFORE_RETRY != 0 => Some(refused.id),
            _ => followed.id(),
        };
        match look(&node.store, known).await {
            Ok(Look::Another(stored)) => return stored,
            Ok(Look::Same) => was_gone = false,
            Ok(Look::Gone) if was_gone => {}
            Ok(Look::Gone) => {
                was_gone = true;
                node.followed.store(Followed { refused: None, ..Followed::clone(&followed) }.into());
                tracing::warn!(
                    kept = followed.id().map(|kept| kept.version),
                    "the store has no configuration of the fleet any more, as after a restore of the database; keeping \
                     what this node had until one is applied"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "failed to read the fleet's configuration; keeping the current one");
            }
        }
    }
    std::future::pending().await
}

async fn look(store: &Backend, known: Option<ConfigurationId>) -> store::Result<Look> {
    if store.newest_configuration_id().await? == known {
        return Ok(Look::Same);
    }
    Ok(store.newest_configuration().await?.map_or(Look::Gone, Look::Another))
}

/// Follows that version completely, or not at all.
pub(crate) fn follow(running: &Running, stored: StoredConfiguration) {
    let (node, by) = (&running.node, stored.record.by.clone());
    let Some(file) = node.file.load_full() else { return };
    let (before, fleet) = (node.followed.load_full(), FleetConfig::from(stored));
    match adopt(running, &file, &fleet, &by) {
        Ok(()) => {
            log_followed(&fleet, before.id(), &by);
            node.followed.store(Followed::new(fleet).into());
        }
        Err(why) => {
            let refused = refused(&fleet, why);
            if before.refused.as_ref() != Some(&refused) {
                log_refused(&refused, before.id());
            }
            node.followed.store(Followed { config: before.config.clone(), refused: Some(refused) }.into());
        }
    }
}

fn log_followed(fleet: &FleetConfig, before: Option<ConfigurationId>, by: &str) {
    let (version, before) = (fleet.version(), before.map(|before| before.version));
    if before >= version {
        tracing::warn!(
            version,
            before,
            by,
            next_step = %NextStep::ConfigHistory,
            "the fleet's configuration has gone back, as after a restore of the database; following what the store has now"
        );
    } else {
        tracing::info!(version, by, "following a new version of the fleet's configuration");
    }
}

fn adopt(running: &Running, file: &File, fleet: &FleetConfig, by: &str) -> Result<(), Vec<String>> {
    let why = why_not(file, fleet);
    if !why.is_empty() {
        return Err(why);
    }
    let config =
        examined(file, Fleet::Known(fleet), Purpose::Follow).map_err(|errors| errors.messages().collect::<Vec<_>>())?;
    // The fleet's settings need no restart (scope.rs).
    let by = ReloadedBy::Fleet { version: fleet.version(), by };
    running.reload(config, by).map(drop).map_err(|error| vec![format!("{error:#}")])
}

#[cfg(test)]
mod tests {
    use store::{Fleet as _, Following, NewConfiguration};
    use trace::change::Settings;

    use super::*;
    use crate::on_server::OnServer;

    const DOMAIN: &str = "[[accepted_domain]]\nname = \"a.test\"\nconnector = \"c\"\n\
                          [[connector]]\nname = \"c\"\nhosts = [\"127.0.0.1:9\"]\n";

    fn expires_after(days: u32) -> String {
        format!("[retry]\nexpire = \"{days}d\"\n{DOMAIN}")
    }

    async fn apply(fleet: &OnServer, before: Option<u64>, toml: String) {
        let Backend::Postgres(store) = &fleet.store else { panic!("it is on a server") };
        let (by, program) = ("amy".to_owned(), "1.2.3".to_owned());
        let settings = Settings::default();
        let new = NewConfiguration { toml, by, comment: None, repeats: None, program, settings };
        assert_eq!(store.replace_configuration(before, new).await.unwrap(), Some(before.unwrap_or(0) + 1));
    }

    /// Follows what there is to follow. Returns after how many days mail expires, the version, and the one that is refused.
    async fn followed(running: &Running) -> (u64, Option<u64>, Option<u64>) {
        let another = tokio::time::timeout(Duration::from_secs(60), another(&running.node)).await;
        follow(running, another.expect("something to follow"));
        let Following { id, refused } = running.node.followed.load().report();
        let days = running.node.config.load().retry.expire.as_secs() / 86400;
        (days, id.map(|id| id.version), refused.map(|refused| refused.id.version))
    }

    /// What is restored has an older version, and the next one has a number that the node has followed already.
    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_follows_the_configuration_of_a_restored_database() {
        let fleet = OnServer::new("").await;
        apply(&fleet, None, expires_after(1)).await;
        let running = fleet.start().await.unwrap();
        apply(&fleet, Some(1), expires_after(2)).await;
        assert_eq!(followed(&running).await, (2, Some(2), None));
        fleet.sql("DELETE FROM configuration WHERE version = 2");
        assert_eq!(followed(&running).await, (1, Some(1), None), "the restored one");
        apply(&fleet, Some(1), expires_after(3)).await;
        assert_eq!(followed(&running).await, (3, Some(2), None));
        fleet.sql("DELETE FROM configuration WHERE version = 2");
        apply(&fleet, Some(1), expires_after(4)).await;
        assert_eq!(followed(&running).await, (4, Some(2), None), "another one with the same number");
        // One that was refused is gone, and its number is that of another one.
        let faulty = || format!("{}tls_authorities = \"missing.pem\"\n", expires_after(5));
        apply(&fleet, Some(2), faulty()).await;
        assert_eq!(followed(&running).await, (4, Some(2), Some(3)));
        fleet.sql("DELETE FROM configuration WHERE version = 3");
        apply(&fleet, Some(2), expires_after(6)).await;
        assert_eq!(followed(&running).await, (6, Some(3), None));
        // The backup has none: the node keeps what it has.
        fleet.sql("DELETE FROM configuration");
        let look = look(&fleet.store, running.node.followed.load().id()).await.unwrap();
        assert!(matches!(look, Look::Gone));
        running.node.report().await;
        running.stop(std::future::pending()).await;
        // The node had another version 3 than the store has now, so that is not what it goes back to.
        for version in 0..3 {
            apply(&fleet, Some(version).filter(|version| *version > 0), expires_after(7)).await;
        }
        apply(&fleet, Some(3), faulty()).await;
        let error = fleet.start().await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("has followed no other that the store has"), "{error}");
        assert_eq!(fleet.store.reports().await.unwrap()[0].configuration.id.map(|id| id.version), Some(3));
    }
}
