//! Halts a rollout that breaks a destination, before more nodes move and while some nodes still have the policy that
//! works. Mail never waits for this: it is a separate task and reads the store with the low priority of a search.

use std::{sync::Arc, time::Duration};

use diagnosis::Finding;
use insight::{Moved, trouble_of};
use jiff::Timestamp;
use store::{PolicyResults, StoredPlan};
use tokio::time::{Instant, sleep};
use trace::NextStep;

use crate::{
    Node,
    fleet::{self, Rollout, Trouble},
};

/// Minimum time between two checks.
const INTERVAL: Duration = Duration::from_secs(3);
/// Checks take at most one part in this many of the time.
const SHARE: u32 = 20;
/// Only messages received within this time count. It is twice the default wait for a retry.
const WINDOW: Duration = Duration::from_secs(1800);

pub(super) async fn run(node: Arc<Node>) {
    let mut pause = INTERVAL;
    loop {
        sleep(pause).await;
        let began = Instant::now();
        if let Err(error) = look(&node).await {
            tracing::warn!(error = format!("{error:#}"), "failed to check the rollout; checking again soon");
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

/// The connectors that the rollout moves and on which the new policy has failed on this node since. Only for these is
/// the history read.
fn failing(node: &Node, rollout: &Rollout, since: Timestamp) -> Vec<String> {
    let config = node.config.load();
    let is_moved = |name: &str| config.connector(name).is_some_and(|connector| connector.tls_policy == rollout.from);
    let fails = |results: &PolicyResults| results.policy == rollout.to && results.failed >= Some(since);
    let reports = node.outbound.reports().into_iter();
    let failing = reports.filter(|report| report.under_policy.as_ref().is_some_and(fails) && is_moved(&report.name));
    failing.map(|report| report.name).collect()
}

async fn halt(node: &Node, plan: &(StoredPlan, Rollout), finding: Finding, now: Timestamp) -> anyhow::Result<()> {
    let (reason, trouble) = (finding.summary.clone(), trouble(finding));
    let (destination, cause) = (trouble.destination.clone(), trouble.cause.clone());
    let by = format!("node {}", node.name);
    let version = fleet::halt_itself(&node.store, plan, reason.clone(), trouble, &by, now).await?;
    // Another node or an operator may have been first.
    if let Some(version) = version {
        let next_step = NextStep::RolloutStatus;
        tracing::error!(version, destination, cause, reason, %next_step, "the rollout halted automatically");
    }
    Ok(())
}

fn trouble(finding: Finding) -> Trouble {
    let remedy = finding.remedy.iter().map(|remedy| format!("{}: {}", remedy.side, remedy.action));
    Trouble {
        remedy: remedy.collect(),
        destination: finding.scope.destination,
        cause: finding.cause.to_string(),
        check: finding.check,
    }
}
