//! Which TLS policy holds on this node: what the configuration names, unless the fleet's rollout has moved the node.

use std::sync::Arc;

use net::tls::{Identity, TlsSettings};
use protocol::tls::TlsPolicy;
use store::Store;

use super::Node;
use crate::{
    config::{Config, Connector, TlsLevel},
    fleet,
};

/// What a connection is encrypted under.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Under {
    pub tls: Arc<TlsSettings>,
    /// Version of the plan that was followed.
    pub plan_version: Option<u64>,
}

impl<S: Store> Node<S> {
    pub(crate) fn tls_under(&self, connector: &Connector) -> Under {
        let plan = self.plan.load();
        let config = self.config.load();
        let named = connector.tls_policy.as_str();
        let moved = plan.as_ref().map_or(named, |plan| plan.1.policy_on(&self.name, named));
        // follow_plan has told of a policy that this node does not know.
        let policy = config.policy(moved).or_else(|| config.policy(named));
        let tls = tls_settings(connector, policy.unwrap_or_else(TlsPolicy::modern));
        Under { tls: Arc::new(tls), plan_version: plan.as_ref().map(|plan| plan.0) }
    }

    /// Takes over the latest plan in the store.
    pub(super) async fn follow_plan(&self) {
        let stored = match self.store.plan().await {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "failed to read the rollout plan; the last one stays in force"),
        };
        if self.plan.load().as_ref().is_some_and(|plan| plan.0 == stored.version) {
            return;
        }
        let rollout = match fleet::read(&stored) {
            Ok(rollout) => rollout,
            Err(error) => return tracing::error!(error = format!("{error:#}"), "keeping the rollout plan as it was"),
        };
        tracing::info!(
            version = stored.version,
            from = rollout.from,
            to = rollout.to,
            moved = rollout.moves(&self.name),
            halted = rollout.halted,
            "following a new rollout plan"
        );
        if rollout.moves(&self.name) && self.config.load().policy(&rollout.to).is_none() {
            tracing::error!(
                policy = rollout.to,
                "the rollout moves this node to a TLS policy that its configuration does not have; its connectors keep theirs"
            );
        }
        self.plan.store(Some(Arc::new((stored.version, rollout))));
        self.report().await;
    }
}

fn tls_settings(connector: &Connector, policy: TlsPolicy) -> TlsSettings {
    let identity = match (&connector.tls_certificate, &connector.tls_key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    let verify = connector.tls == TlsLevel::Verify;
    TlsSettings { policy, verify, authorities: connector.tls_authorities.clone(), identity }
}

/// Certificates and keys of connectors that cannot be used: found when the configuration is read, not when mail waits.
pub(super) fn check_certificates(config: &Config, context: &net::tls::TlsContext) -> anyhow::Result<()> {
    for connector in &config.connectors {
        let policy = config.policy(&connector.tls_policy).unwrap_or_else(TlsPolicy::modern);
        let checked = context.check(&tls_settings(connector, policy));
        checked.map_err(|error| anyhow::anyhow!("connector \"{}\": {error}", connector.name))?;
    }
    Ok(())
}
