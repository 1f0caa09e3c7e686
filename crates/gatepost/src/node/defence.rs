//! A rollout that breaks a destination halts itself: before it takes more nodes, and while some still have the policy
//! that works. Mail never waits for this: it is a task of its own, and reads with the low priority of a search.

use std::{sync::Arc, time::Duration};

use diagnosis::Finding;
use jiff::Timestamp;
use store::Store;
use tokio::time::{Instant, sleep};

use super::Node;
use crate::{
    fleet::{self, Rollout, Trouble},
    why,
};

/// The least time between two looks.
const INTERVAL: Duration = Duration::from_secs(3);
/// Looking takes this part of the time at most, one in so many.
const SHARE: u32 = 20;
/// Messages that were received within this time are looked at: two of the usual waits for a retry.
const WINDOW: Duration = Duration::from_secs(1800);

pub(super) async fn run<S: Store>(node: Arc<Node<S>>) {
    let mut pause = INTERVAL;
    loop {
        sleep(pause).await;
        let began = Instant::now();
        if let Err(error) = look(&node).await {
            tracing::warn!(error = format!("{error:#}"), "failed to look at how the rollout fares");
        }
        pause = INTERVAL.max(began.elapsed() * SHARE);
    }
}

async fn look<S: Store>(node: &Arc<Node<S>>) -> anyhow::Result<()> {
    let Some(plan) = node.plan.load_full() else { return Ok(()) };
    let (is_on, is_over) = (node.config.load().rollout.self_defence, plan.1.halted.is_some() || plan.1.is_idle());
    let now = Timestamp::now();
    let since = now - WINDOW;
    // The history is read only where this node itself saw the new policy fail.
    if !is_on || is_over || !has_failed(node, &plan.1.to, since) {
        return Ok(());
    }
    let Some(finding) = why::trouble_of(&node.store, &plan.1, since).await? else { return Ok(()) };
    halt(node, &plan, finding, now).await
}

fn has_failed<S: Store>(node: &Node<S>, policy: &str, since: Timestamp) -> bool {
    let results = node.outbound.reports().into_iter().filter_map(|report| report.under_policy);
    results.into_iter().any(|results| results.policy == policy && results.failed >= Some(since))
}

async fn halt<S: Store>(node: &Node<S>, plan: &(u64, Rollout), finding: Finding, now: Timestamp) -> anyhow::Result<()> {
    let (reason, trouble) = (finding.summary.clone(), trouble(finding));
    let (destination, cause) = (trouble.destination.clone(), trouble.cause.clone());
    let by = format!("node {}", node.name);
    let version = fleet::halt_itself(&node.store, plan, reason.clone(), trouble, &by, now).await?;
    // Another node may have been first, or an operator.
    if let Some(version) = version {
        tracing::error!(version, destination, cause, reason, "the rollout has halted itself: gatepost rollout status");
    }
    Ok(())
}

fn trouble(finding: Finding) -> Trouble {
    let remedy = finding.remedy.iter().map(|remedy| format!("{}: {}", remedy.side, remedy.action));
    Trouble {
        remedy: remedy.collect(),
        destination: finding.scope.destination,
        cause: finding.cause.to_owned(),
        check: finding.check,
    }
}
