//! Watches the queue: stuck mail opens an incident, which closes when mail flows again.
//!
//! ```text
//!   take the fleet's turn ──> pending? ──> evidence ──diagnose──> findings ──judge──> incidents ──> store, log
//!                                                                                         └─calls──> webhook
//! ```
//!
//! One node at a time checks the queue. It stores its decision in one transaction, if it still has the turn, so that no
//! incident is opened or reported twice. Nothing on the mail path waits for this.

mod judge;
mod telling;
#[cfg(test)]
mod tests;
mod thread;
mod webhook;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use diagnosis::{Evidence, Finding, explain};
use insight::{Addresses, Received, views::PictureView};
use jiff::Timestamp;
use store::{Fleet as _, Incident, Incidents as _, Pending, Queue as _};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::Node;
use crate::config::Config;
use judge::{Facts, Verdict, judge};
pub(crate) use thread::giving_way;
pub(super) use webhook::from_config as webhook;

/// A delivery that has waited this long without an attempt counts as waiting. Before that it counts as in progress.
const UNTRIED_AFTER: Duration = Duration::from_secs(60);
/// Maximum age of the attempts that are compared, as in `gatepost why`.
pub(crate) const EVIDENCE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of open incidents. There is at most one for each connector and cause.
const OPEN_MAX: u32 = 1000;
/// A slow check is followed by a pause of this many times what it took, but of no more than this many intervals:
/// one slow check says more about a busy machine than about a long queue, and incidents must not stay open for it.
const PAUSE_FACTOR: u32 = 10;

/// Starts the watch. It stops when it is dropped.
pub(super) fn start(node: &Arc<Node>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(review_always(Arc::clone(node)));
    tasks.spawn(webhook::run(Arc::clone(node)));
    tasks
}

async fn review_always(node: Arc<Node>) {
    let mut last_took = Duration::ZERO;
    loop {
        sleep(pause(*node.config.load().watch.interval, last_took)).await;
        let began = Instant::now();
        if let Err(error) = review(&node).await {
            tracing::warn!(%error, "failed to check the queue for stuck mail; trying again");
        }
        last_took = began.elapsed();
        tracing::debug!(milliseconds = last_took.as_millis() as u64, "checked the queue for stuck mail");
    }
}

fn pause(interval: Duration, last_took: Duration) -> Duration {
    last_took.min(interval).saturating_mul(PAUSE_FACTOR).max(interval)
}

/// Checks each connector that has waiting mail or open incidents.
async fn review(node: &Arc<Node>) -> store::Result<()> {
    let (now, config) = (now(), node.config.load_full());
    let Some(turn) = node.store.take_watch(&node.member, *config.watch.interval).await? else { return Ok(()) };
    let pending = node.store.pending(UNTRIED_AFTER).await?;
    let mut open = node.store.incidents(OPEN_MAX).await?;
    open.retain(|incident| incident.closed.is_none());
    let connectors: BTreeSet<&str> = pending.iter().map(|pending| pending.connector.as_str()).collect();
    let connectors = connectors.into_iter().chain(open.iter().map(|incident| incident.connector.as_str()));
    let mut verdict = Verdict::default();
    for connector in connectors.collect::<BTreeSet<_>>() {
        let pending = pending.iter().find(|pending| pending.connector == connector);
        let open: Vec<&Incident> = open.iter().filter(|incident| incident.connector == connector).collect();
        verdict.add(review_connector(node, &config, connector, pending, &open, now).await?);
    }
    note(node, &config, turn, verdict, now).await
}

/// In milliseconds, as the store keeps it, so that every report of an incident has the same time.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

async fn review_connector(
    node: &Arc<Node>,
    config: &Config,
    connector: &str,
    pending: Option<&Pending>,
    open: &[&Incident],
    now: Timestamp,
) -> store::Result<Verdict> {
    let received = Received { since: now - EVIDENCE_AGE_MAX, until: None };
    let read = insight::of_connector(&node.store, connector, received).await?;
    let Some(explained) = explained(connector, read.evidence, read.read_since, config.history.addresses).await else {
        // Without a diagnosis nothing is known, so nothing changes.
        return Ok(Verdict::default());
    };
    let facts = Facts {
        connector,
        pending,
        findings: explained.iter().map(|(finding, _)| finding.clone()).collect(),
        last_delivered: read.last_delivered,
        is_of_accepted_domain: is_of_accepted_domain(config, connector),
        node: &node.name,
        now,
    };
    let mut verdict = judge(&config.watch, &facts, open);
    verdict.add_pictures(&explained);
    Ok(verdict)
}

/// Also true for a connector that was removed from the configuration while its mail still waits.
fn is_of_accepted_domain(config: &Config, connector: &str) -> bool {
    config.accepted_domains.iter().any(|domain| domain.connector == connector) || config.connector(connector).is_none()
}

/// Findings with their pictures in JSON. `None` if the diagnosis did not run.
async fn explained(
    connector: &str,
    evidence: Evidence,
    read_since: Option<Timestamp>,
    keep_addresses: bool,
) -> Option<Vec<(Finding, String)>> {
    let name = connector.to_owned();
    let work = move || -> Vec<(Finding, String)> {
        let explained = explain(&evidence).into_iter();
        // A message may also have recipients of other connectors.
        let own = explained.filter(|explained| explained.finding.scope.connector.as_deref() == Some(&*name));
        own.map(|explained| {
            let picture = serde_json::to_value(PictureView::new(&explained, read_since)).unwrap_or_default();
            let picture = if keep_addresses { picture } else { Addresses::default().private_json(picture) };
            (explained.finding, picture.to_string())
        })
        .collect()
    };
    let mut explained = giving_way(work).await?;
    if !keep_addresses {
        let pieces = explained.iter_mut().flat_map(|(finding, _)| &mut finding.evidence);
        pieces.filter(|piece| piece.what.contains('@')).for_each(|piece| piece.what = "withheld".to_owned());
    }
    Some(explained)
}

/// Stores the decision and reports it.
async fn note(node: &Arc<Node>, config: &Config, turn: u64, verdict: Verdict, now: Timestamp) -> store::Result<()> {
    if verdict.is_empty() {
        return Ok(());
    }
    let told = || verdict.closed.iter().chain(&verdict.opened);
    let calls = match config.watch.webhook {
        Some(_) => told().map(|incident| telling::call(incident, &node.name, now)).collect(),
        None => Vec::new(),
    };
    // Closed incidents make room for new ones.
    let incidents = [&verdict.closed, &verdict.seen, &verdict.opened].into_iter().flatten().cloned().collect();
    if node.store.note_incidents(turn, incidents, calls).await? {
        told().for_each(telling::log);
        for (incident, picture) in verdict.pictures {
            node.store.keep_picture(incident, picture).await?;
        }
    }
    Ok(())
}
