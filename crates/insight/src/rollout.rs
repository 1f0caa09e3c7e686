//! Finds destinations that a rollout breaks: they work under the old TLS policy and fail under the new one, or their mail
//! is encrypted under the old policy and goes in plaintext under the new one.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use diagnosis::{
    Dimension, Evidence, Finding, Scope, diagnose,
    sources::history::{Encryption, add_history},
};
use jiff::Timestamp;
use store::{AttemptMatch, State, Store, TraceQuery};
use trace::Event;

use crate::Gathered;

/// Maximum number of messages that failed under the new policy, read to find their addresses.
const FAILING_MAX: u32 = 100;
/// Maximum number of addresses to compare, and of messages for each. Small, so that mail is not slowed down.
const DESTINATIONS_MAX: usize = 8;
const MESSAGES_MAX: u32 = 300;
/// Largest accepted probability of a coincidence. Smaller than in one diagnosis, because a rollout is checked repeatedly.
const CHANCE_MAX: f64 = 0.001;

/// The facts of a rollout that its effect depends on.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The old TLS policy.
    pub from: &'a str,
    /// The new one.
    pub to: &'a str,
    /// Destinations whose findings an operator has accepted.
    pub accepted: &'a [String],
}

/// A finding against a rollout, from messages of a connector received since a time; `None` if there is none.
pub async fn trouble_of<S: Store>(
    store: &S,
    rollout: &Moved<'_>,
    connector: &str,
    since: Timestamp,
) -> anyhow::Result<Option<Finding>> {
    for address in failing(store, rollout, connector, since).await? {
        let query = TraceQuery {
            last_attempt: AttemptMatch { to_ip: Some(address), ..AttemptMatch::default() },
            limit: MESSAGES_MAX,
            ..received(connector, since)
        };
        if let Some(finding) = look(store, rollout, query.clone(), add_history).await? {
            return Ok(Some(finding));
        }
        let mut encryption = Encryption::default();
        let add = |evidence: &mut Evidence, events: &[Event], id: Option<&str>| encryption.add(evidence, events, id);
        if let Some(finding) = look(store, rollout, query, add).await? {
            return Ok(Some(unencrypted(rollout, finding)));
        }
    }
    Ok(None)
}

async fn look<S: Store>(
    store: &S,
    rollout: &Moved<'_>,
    query: TraceQuery,
    add: impl FnMut(&mut Evidence, &[Event], Option<&str>),
) -> anyhow::Result<Option<Finding>> {
    let mut gathered = Gathered::for_findings();
    gathered.add_store_by(store, query, || true, add).await?;
    // A diagnosis takes long, so it must not block a thread of the runtime.
    let findings = tokio::task::spawn_blocking(move || diagnose(&gathered.evidence)).await?;
    Ok(findings.into_iter().find(|finding| is_against(rollout, finding)))
}

/// Rewrites the summary: mail flows and loses only its encryption.
fn unencrypted(rollout: &Moved<'_>, mut finding: Finding) -> Finding {
    let Scope { destination, failed, works_with, split, .. } = &finding.scope;
    let with = works_with.as_ref().map(|with| format!(", always with {with}")).unwrap_or_default();
    let worked = split.as_ref().map_or(0, |split| split.worked);
    finding.summary = format!(
        "mail to {destination} goes in plaintext under the TLS policy {to}, because the TLS handshake fails ({failed} \
         attempts, {cause}); under {from} it was encrypted ({worked} attempts{with})",
        to = rollout.to,
        from = rollout.from,
        cause = finding.cause,
    );
    finding
}

fn received(connector: &str, since: Timestamp) -> TraceQuery {
    TraceQuery { connector: Some(connector.to_owned()), since: Some(since), ..TraceQuery::default() }
}

/// The most frequent addresses of messages that wait, bounced or went in plaintext under the new policy.
async fn failing<S: Store>(
    store: &S,
    rollout: &Moved<'_>,
    connector: &str,
    since: Timestamp,
) -> store::Result<Vec<IpAddr>> {
    let under = AttemptMatch { tls_policy: Some(rollout.to.to_owned()), ..AttemptMatch::default() };
    let in_plaintext = AttemptMatch { tls_version: Some("none".to_owned()), ..under.clone() };
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for (states, last_attempt) in
        [(vec![State::Queued, State::Leased, State::Failed], under), (vec![State::Delivered], in_plaintext)]
    {
        let query = TraceQuery { states: Some(states), last_attempt, limit: FAILING_MAX, ..received(connector, since) };
        for attempt in store.trace(query).await?.into_iter().filter_map(|record| record.last_attempt) {
            if let Some(address) = attempt.to_ip {
                *counts.entry(address).or_default() += 1;
            }
        }
    }
    let mut addresses: Vec<IpAddr> = counts.keys().copied().collect();
    addresses.sort_by_key(|address| (Reverse(counts.get(address)), *address));
    addresses.truncate(DESTINATIONS_MAX);
    Ok(addresses)
}

fn is_against(rollout: &Moved<'_>, finding: &Finding) -> bool {
    let Some(split) = &finding.scope.split else { return false };
    split.dimension == [Dimension::TlsPolicy]
        && split.p_value <= CHANCE_MAX
        && split.fails.iter().any(|value| value == rollout.to)
        && split.works.iter().any(|value| value == rollout.from)
        && !rollout.accepted.contains(&finding.scope.destination)
}
