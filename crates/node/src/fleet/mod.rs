//! Staged rollout of a TLS policy: which nodes use which policy. Each stored plan has a version, and every node follows the
//! latest.
//!
//! ```text
//!   Change, current plan, nodes ──plan──> Rollout ──store.replace_plan──> version ──followed by──> nodes
//! ```

mod change;
mod plan;
mod status;

use anyhow::Context as _;
use jiff::{Timestamp, ToSpan};
use store::{NodeReport, Store, StoredPlan};

pub use change::{Basis, NotChanged, PlanId, change, halt_itself, in_words};
pub use plan::{Change, Refused, Rollout, Share, Trouble, plan};
pub use status::{Status, trouble_view};

/// The plan in force, with its version.
pub async fn in_force<S: Store>(store: &S) -> anyhow::Result<Option<(StoredPlan, Rollout)>> {
    let stored = store.plan().await.context("failed to read the rollout plan")?;
    stored.map(|stored| read(&stored).map(|rollout| (stored, rollout))).transpose()
}

pub fn read(stored: &StoredPlan) -> anyhow::Result<Rollout> {
    let StoredPlan { version, plan, .. } = stored;
    serde_json::from_str(plan).with_context(|| {
        format!("failed to read version {version} of the rollout plan; a newer version of Gatepost may have stored it")
    })
}

/// Nodes that reported within this time belong to the fleet. A share is a share of these.
const REPORTED_WITHIN_MINUTES: i64 = 10;

/// The nodes that belong to the fleet now.
pub fn members(reports: &[NodeReport], now: Timestamp) -> Vec<String> {
    let since = now - REPORTED_WITHIN_MINUTES.minutes();
    reports.iter().filter(|report| report.at >= since).map(|report| report.node.clone()).collect()
}
