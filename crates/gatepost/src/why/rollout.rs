//! Whether a rollout breaks a destination: it works under the old TLS policy and fails under the new one.

use std::collections::BTreeSet;

use diagnosis::{Dimension, Finding, diagnose};
use jiff::Timestamp;
use store::{AttemptMatch, State, Store, TraceQuery};

use super::from_store;
use crate::fleet::Rollout;

/// Messages that failed under the new policy: where they went is looked at.
const FAILING_MAX: u32 = 100;
/// Destinations looked at, and messages of each: few enough to be nothing beside the mail.
const DESTINATIONS_MAX: usize = 8;
const MESSAGES_MAX: u32 = 300;
/// A rollout is looked at again and again: less is left to chance than in one diagnosis.
const CHANCE_MAX: f64 = 0.001;

/// What speaks against a rollout in messages that were received since, if anything does.
pub(crate) async fn trouble_of<S: Store>(
    store: &S,
    rollout: &Rollout,
    since: Timestamp,
) -> anyhow::Result<Option<Finding>> {
    let failing = TraceQuery {
        states: Some(vec![State::Queued, State::Leased]),
        since: Some(since),
        last_attempt: AttemptMatch { tls_policy: Some(rollout.to.clone()), ..AttemptMatch::default() },
        limit: FAILING_MAX,
        ..TraceQuery::default()
    };
    let destination = |record: &store::DeliveryRecord| {
        let address = record.last_attempt.as_ref()?.to_ip?;
        Some((record.delivery.connector.clone(), address))
    };
    let destinations: BTreeSet<_> = store.trace(failing).await?.iter().filter_map(destination).collect();
    for (connector, address) in destinations.into_iter().take(DESTINATIONS_MAX) {
        let query = TraceQuery {
            connector: Some(connector),
            since: Some(since),
            last_attempt: AttemptMatch { to_ip: Some(address), ..AttemptMatch::default() },
            limit: MESSAGES_MAX,
            ..TraceQuery::default()
        };
        let (evidence, _) = from_store(store, query).await?;
        // As long as it takes, no other task of the node has this thread.
        let findings = tokio::task::spawn_blocking(move || diagnose(&evidence)).await?;
        if let Some(finding) = findings.into_iter().find(|finding| speaks_against(rollout, finding)) {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

fn speaks_against(rollout: &Rollout, finding: &Finding) -> bool {
    let Some(split) = &finding.scope.split else { return false };
    split.dimension == [Dimension::TlsPolicy]
        && split.p_value <= CHANCE_MAX
        && split.fails.contains(&rollout.to)
        && split.works.contains(&rollout.from)
        && !rollout.accepted.contains(&finding.scope.destination)
}
