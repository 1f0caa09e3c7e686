//! The TLS policy that this node uses: the one in the configuration, unless the fleet's rollout has moved the node.

use std::sync::{Arc, atomic::Ordering};

use net::tls::{Identity, TlsContext, TlsSettings};
use protocol::tls::TlsPolicy;
use store::Fleet as _;

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
        Under { tls: Arc::new(tls), plan_version: plan.as_ref().map(|plan| plan.0) }
    }

    /// Follows the latest plan in the store. If this node cannot follow it, it logs that once and keeps the current
    /// plan. The error is the store's.
    pub(super) async fn follow_plan(&self) -> store::Result<()> {
        let Some(stored) = self.store.plan().await? else { return Ok(()) };
        let is_known = self.plan.load().as_ref().is_some_and(|plan| plan.0 == stored.version)
            || self.plan_refused.load(Ordering::Relaxed) == stored.version;
        if is_known {
            return Ok(());
        }
        let rollout = match fleet::read(&stored).and_then(|rollout| self.can_follow(&rollout).map(|()| rollout)) {
            Ok(rollout) => rollout,
            Err(error) => {
                self.plan_refused.store(stored.version, Ordering::Relaxed);
                tracing::error!(
                    version = stored.version,
                    error = format!("{error:#}"),
                    "failed to follow the new rollout plan; keeping the current one"
                );
                return Ok(());
            }
        };
        tracing::info!(
            version = stored.version,
            from = rollout.from,
            to = rollout.to,
            moved = rollout.moves(&self.name),
            halted = rollout.halted,
            "following a new rollout plan"
        );
        self.plan.store(Some(Arc::new((stored.version, rollout))));
        self.report().await;
        Ok(())
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
