//! The TLS policy that this node uses: the one in the configuration, unless the fleet's rollout has moved the node.

use std::sync::Arc;

use net::tls::{Identity, TlsContext, TlsSettings};
use protocol::tls::TlsPolicy;
use store::{Fleet as _, StoredPlan};
use trace::NextStep;

use super::Node;
use crate::{
    config::{Config, Connector, TlsLevel},
    fleet::{self, Rollout},
};

/// The TLS settings of a connection.
#[derive(Clone, PartialEq, Debug)]
pub struct Under {
    pub tls: Arc<TlsSettings>,
    /// Version of the rollout plan that the node followed.
    pub plan_version: Option<u64>,
}

impl Node {
    pub fn tls_under(&self, connector: &Connector) -> Under {
        let plan = self.plan.load();
        let config = self.config.load();
        let named = connector.tls_policy.as_str();
        let moved = plan.as_ref().map_or(named, |plan| plan.1.policy_on(&self.name, named));
        // A reload may have removed the policy.
        let policy = config.policy(moved).or_else(|| config.policy(named));
        let tls = tls_settings(connector, policy.unwrap_or_else(TlsPolicy::modern));
        Under { tls: Arc::new(tls), plan_version: plan.as_ref().map(|plan| plan.0.version) }
    }

    /// Follows the latest plan in the store. If this node cannot follow it, it logs that once and keeps the current
    /// plan. After a restore of the database, the latest plan may be an older one, another one with the same version, or
    /// none. The error is the store's.
    pub(super) async fn follow_plan(&self) -> store::Result<()> {
        let Some(stored) = self.store.plan().await? else {
            if let Some(before) = self.plan.swap(None) {
                tracing::warn!(
                    before = before.0.version,
                    "the store has no rollout plan any more, as after a restore of the database; using the TLS policies \
                     of the configuration"
                );
                self.report().await;
            }
            return Ok(());
        };
        let (followed, refused) = (self.plan.load_full(), self.plan_refused.load_full());
        if followed.as_ref().is_some_and(|plan| plan.0 == stored) || refused.is_some_and(|plan| *plan == stored) {
            return Ok(());
        }
        let rollout = match fleet::read(&stored).and_then(|rollout| self.can_follow(&rollout).map(|()| rollout)) {
            Ok(rollout) => rollout,
            Err(error) => {
                tracing::error!(
                    version = stored.version,
                    error = format!("{error:#}"),
                    "failed to follow the new rollout plan; keeping the current one"
                );
                self.plan_refused.store(Some(Arc::new(stored)));
                return Ok(());
            }
        };
        if let Some(before) = followed.filter(|before| before.0.version >= stored.version) {
            tracing::warn!(
                version = stored.version,
                before = before.0.version,
                next_step = %NextStep::RolloutStatus,
                "the rollout plan has gone back, as after a restore of the database; following what the store has now"
            );
        }
        self.log_plan(&stored, &rollout);
        self.plan.store(Some(Arc::new((stored, rollout))));
        self.report().await;
        Ok(())
    }

    fn log_plan(&self, stored: &StoredPlan, rollout: &Rollout) {
        tracing::info!(
            version = stored.version,
            from = rollout.from,
            to = rollout.to,
            moved = rollout.moves(&self.name),
            halted = rollout.halted,
            "following a new rollout plan"
        );
    }

    /// Checks that the policy exists and that every connector's certificates work with it.
    fn can_follow(&self, rollout: &Rollout) -> anyhow::Result<()> {
        if !rollout.moves(&self.name) {
            return Ok(());
        }
        let config = self.config.load();
        let Some(policy) = config.policy(&rollout.to) else {
            anyhow::bail!("this node's configuration has no TLS policy \"{}\"", rollout.to);
        };
        for connector in config.connectors.iter().filter(|connector| connector.tls_policy == rollout.from) {
            check_connector(connector, policy.clone(), &self.tls.load())?;
        }
        Ok(())
    }
}

pub fn tls_settings(connector: &Connector, policy: TlsPolicy) -> TlsSettings {
    let identity = match (&connector.tls_certificate, &connector.tls_key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    let verify = connector.tls == TlsLevel::Verify;
    TlsSettings { policy, verify, authorities: connector.tls_authorities.clone(), identity }
}

/// Finds certificates and keys of connectors that do not work when the configuration is read, not when mail waits.
pub(super) fn check_certificates(config: &Config, context: &TlsContext) -> anyhow::Result<()> {
    for connector in config.connectors.iter().chain([&config.internet()]) {
        check_connector(connector, config.policy(&connector.tls_policy).unwrap_or_else(TlsPolicy::modern), context)?;
    }
    Ok(())
}

/// The check also creates the TLS context, so that it is ready for the first message.
fn check_connector(connector: &Connector, policy: TlsPolicy, context: &TlsContext) -> anyhow::Result<()> {
    let checked = context.check(&tls_settings(connector, policy));
    checked.map_err(|error| anyhow::anyhow!("connector \"{}\": {error}", connector.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Running, on_server::OnServer, running::tests::without_background};

    const CONNECTOR: &str = "[[accepted_domain]]\nname = \"a.test\"\nconnector = \"c\"\n\
                             [[connector]]\nname = \"c\"\nhosts = [\"127.0.0.1:9\"]\ntls_policy = \"legacy\"\n";

    async fn set(fleet: &OnServer, before: Option<u64>, to: &str, nodes: &[&str]) {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        let rollout = Rollout { from: "legacy".to_owned(), to: to.to_owned(), nodes, ..Rollout::default() };
        let plan = serde_json::to_string(&rollout).unwrap();
        assert!(fleet.store.replace_plan(before, plan, "amy").await.unwrap().is_some());
    }

    /// The policy of the connector, and the version of the plan.
    async fn under(running: &Running) -> (String, Option<u64>) {
        running.node.follow_plan().await.unwrap();
        let under = running.node.tls_under(&running.node.config.load().connectors[0]);
        (under.tls.policy.name.clone(), under.plan_version)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_follows_the_rollout_plan_of_a_restored_database() {
        let fleet = OnServer::new(CONNECTOR).await;
        let running = fleet.start().await.unwrap();
        // From here on, the test alone says when the node looks.
        without_background(&running).await;
        let expect = |policy: &str, version| (policy.to_owned(), version);
        set(&fleet, None, "modern", &[]).await;
        assert_eq!(under(&running).await, expect("legacy", Some(1)));
        set(&fleet, Some(1), "modern", &["mx1"]).await;
        assert_eq!(under(&running).await, expect("modern", Some(2)));
        fleet.sql("DELETE FROM plan WHERE version = 2");
        assert_eq!(under(&running).await, expect("legacy", Some(1)), "the restored one");
        set(&fleet, Some(1), "modern", &["mx1"]).await;
        assert_eq!(under(&running).await, expect("modern", Some(2)));
        let old = running.node.plan.load_full().unwrap();
        fleet.sql("DELETE FROM plan WHERE version = 2");
        set(&fleet, Some(1), "modern", &["mx2"]).await;
        // Nobody halts it in the belief that it is the one before.
        let halted = fleet::halt_itself(&fleet.store, &old, String::new(), trouble(), "mx1", jiff::Timestamp::now());
        assert_eq!(halted.await.unwrap(), None);
        assert_eq!(under(&running).await, expect("legacy", Some(2)), "another one with the same number");
        let stored = fleet.store.plan().await.unwrap().unwrap();
        assert!(fleet.store.reports().await.unwrap()[0].follows(&stored));
        // One that cannot be followed, and another one with its number.
        set(&fleet, Some(2), "missing", &["mx1"]).await;
        assert_eq!(under(&running).await, expect("legacy", Some(2)));
        fleet.sql("DELETE FROM plan WHERE version = 3");
        set(&fleet, Some(2), "modern", &["mx1"]).await;
        assert_eq!(under(&running).await, expect("modern", Some(3)));
        fleet.sql("DELETE FROM plan");
        assert_eq!(under(&running).await, expect("legacy", None), "the backup has none");
        running.stop(std::future::pending()).await;
    }

    fn trouble() -> fleet::Trouble {
        let (destination, cause, check) = (String::new(), String::new(), String::new());
        fleet::Trouble { destination, cause, remedy: Vec::new(), check }
    }
}
