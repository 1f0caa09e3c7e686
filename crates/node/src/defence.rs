//! A rollout that breaks a destination halts itself: before it takes more nodes, and while some still have the policy
//! that works. Mail never waits for this: it is a task of its own, and reads with the low priority of a search.

use std::{sync::Arc, time::Duration};

use diagnosis::Finding;
use insight::{Moved, trouble_of};
use jiff::Timestamp;
use store::PolicyResults;
use tokio::time::{Instant, sleep};
use trace::NextStep;

use crate::{
    Node,
    fleet::{self, Rollout, Trouble},
};

/// The least time between two looks.
const INTERVAL: Duration = Duration::from_secs(3);
/// Looking takes this part of the time at most, one in so many.
const SHARE: u32 = 20;
/// Messages that were received within this time are looked at: two of the usual waits for a retry.
const WINDOW: Duration = Duration::from_secs(1800);

pub(super) async fn run(node: Arc<Node>) {
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

async fn look(node: &Arc<Node>) -> anyhow::Result<()> {
    let Some(plan) = node.plan.load_full() else { return Ok(()) };
    let is_on = node.config.load().rollout.self_defence;
    if !is_on || plan.1.halted.is_some() || plan.1.is_idle() {
        return Ok(());
    }
    let now = Timestamp::now();
    let since = now - WINDOW;
    let moved = Moved { from: &plan.1.from, to: &plan.1.to, accepted: &plan.1.accepted };
    for connector in failing(node, &plan.1, since) {
        if let Some(finding) = trouble_of(&node.store, &moved, &connector, since).await? {
            return halt(node, &plan, finding, now).await;
        }
    }
    Ok(())
}

/// The connectors that the rollout moves, and for which the new policy has failed on this node since: the history is read
/// for no others.
fn failing(node: &Node, rollout: &Rollout, since: Timestamp) -> Vec<String> {
    let config = node.config.load();
    let is_moved = |name: &str| config.connector(name).is_some_and(|connector| connector.tls_policy == rollout.from);
    let fails = |results: &PolicyResults| results.policy == rollout.to && results.failed >= Some(since);
    let reports = node.outbound.reports().into_iter();
    let failing = reports.filter(|report| report.under_policy.as_ref().is_some_and(fails) && is_moved(&report.name));
    failing.map(|report| report.name).collect()
}

async fn halt(node: &Node, plan: &(u64, Rollout), finding: Finding, now: Timestamp) -> anyhow::Result<()> {
    let (reason, trouble) = (finding.summary.clone(), trouble(finding));
    let (destination, cause) = (trouble.destination.clone(), trouble.cause.clone());
    let by = format!("node {}", node.name);
    let version = fleet::halt_itself(&node.store, plan, reason.clone(), trouble, &by, now).await?;
    // Another node may have been first, or an operator.
    if let Some(version) = version {
        let next_step = NextStep::RolloutStatus;
        tracing::error!(version, destination, cause, reason, %next_step, "the rollout has halted itself");
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
