//! Questions about the gateway's own history that take a while: findings on demand, and the report of an incident.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use diagnosis::{Attempt, Explained, explain};
use insight::{
    Addresses, Asked, Excerpts, Gathered, Mark, Read, Received, Report, WaitReasons,
    views::{FindingView, PictureView},
};
use jiff::{SignedDuration, Timestamp};
use store::{ChangeLog as _, ChangeQuery, Incident};
use tokio::{sync::Semaphore, task::spawn_blocking, time::Instant};

use crate::{Node, inquiry, protocol_log};

/// Reports that a node makes at once: each reads all attempts of its connector.
static MADE_AT_ONCE: Semaphore = Semaphore::const_new(2);
/// How long before an incident was opened the evidence for its report begins.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// Changes that are read for a report.
const CHANGES_MAX: u32 = 1000;
/// Attempts of each kind that are kept in full.
const KEPT: usize = 10;

/// Findings, with what their pictures are drawn from.
pub struct Findings {
    pub findings: Vec<(FindingView, PictureView)>,
    pub read: Read,
    /// Messages that were received earlier were not all read, because the time was over. `None`: all were.
    pub read_since: Option<Timestamp>,
    /// Nothing that is known has the name that was asked about.
    pub is_unknown: bool,
}

/// What keeps mail from flowing that was received since a time, as far as it can be read within `budget`. `what`: a message,
/// an address, a domain, a connector or a host. The error is for the person who asks, unless the store could not be read.
pub async fn findings(
    node: &Arc<Node>,
    what: Option<&str>,
    since: Timestamp,
    budget: Duration,
) -> anyhow::Result<Findings> {
    let (config, now, end) = (node.config.load_full(), Timestamp::now(), Instant::now() + budget);
    let mut gathered = Gathered::for_pictures(KEPT);
    let mut asked = Asked::new(what, config.names(), &mut gathered.evidence);
    asked.look_in(&node.store, Some(since), &mut gathered.evidence).await?;
    let read_since = gathered.add_store_while(&node.store, asked.query(Some(since)), || Instant::now() < end).await?;
    let reasons = WaitReasons::read(&node.store, &*config, now).await?;
    gathered.add_paused(&node.store, &reasons, asked.connector.as_deref()).await?;
    let is_unknown = asked.unmatched(&gathered.evidence).is_some();
    let explained = spawn_blocking(move || {
        gathered.finish();
        let mut explained = explain(&gathered.evidence);
        explained.retain(Explained::is_asked_about);
        let view = |one: &Explained<'_>| (FindingView::from(&one.finding), PictureView::new(one, read_since));
        let findings = explained.iter().map(view).collect();
        Findings { findings, read: gathered.read.clone(), read_since, is_unknown }
    });
    Ok(explained.await?)
}

/// Gathers the evidence of an incident again, and makes something of the report. `None`: its history has been deleted.
pub async fn report<T: Send + 'static>(
    node: &Arc<Node>,
    incident: Incident,
    make: fn(&Report<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let place = MADE_AT_ONCE.acquire().await?;
    let Some((gathered, attempts, incident)) = gather(node, incident).await? else { return Ok(None) };
    let attempts: Vec<&Attempt<'_>> = attempts.iter().collect();
    let mut excerpts = Excerpts::default();
    let config = node.config.load_full();
    let folder = protocol_log::send_folder(&config.protocol_log, &config.node.data);
    let elsewhere = excerpts.add_store(&node.store, &attempts, &folder).await?;
    inquiry::add_from_nodes(&mut excerpts, &node.store, elsewhere).await?;
    let since = incident.opened.checked_sub(BEFORE).ok();
    let query = ChangeQuery { since, limit: CHANGES_MAX, ..ChangeQuery::default() };
    let changes = Mark::of(&node.store.changes(query).await?);
    let now = Timestamp::now();
    let made = spawn_blocking(move || {
        let _place = place;
        let findings = about(&gathered, &incident);
        make(&Report { changes, ..Report::new(&findings, &gathered, excerpts, &[], now) })
    });
    made.await?.map(Some)
}

/// The evidence, and the attempts that are quoted from it.
async fn gather(
    node: &Arc<Node>,
    incident: Incident,
) -> anyhow::Result<Option<(Gathered, Vec<Attempt<'static>>, Incident)>> {
    let mut gathered = Gathered::for_report(Addresses::default());
    let received = Received {
        since: incident.opened.checked_sub(BEFORE).unwrap_or(Timestamp::MIN),
        until: incident.closed.and_then(|(at, _)| at.checked_add(SignedDuration::from_secs(1)).ok()),
    };
    gathered.add_connector(&node.store, &incident.connector, received).await?;
    let quoted = spawn_blocking(move || {
        gathered.finish();
        let findings = about(&gathered, &incident);
        let attempts: Vec<Attempt<'static>> = insight::attempts(&findings).into_iter().cloned().collect();
        let has_any = !findings.is_empty();
        drop(findings);
        has_any.then_some((gathered, attempts, incident))
    });
    quoted.await.context("failed to explain the evidence")
}

/// What is wrong with the connector; what the incident is about comes first.
fn about<'a>(gathered: &'a Gathered, incident: &Incident) -> Vec<Explained<'a>> {
    let mut findings = explain(&gathered.evidence);
    findings.retain(|explained| explained.finding.scope.connector.as_deref() == Some(&*incident.connector));
    findings.sort_by_key(|explained| explained.finding.cause.as_str() != incident.cause);
    findings
}
