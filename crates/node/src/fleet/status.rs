//! The current status of the rollout: the plan in force, and the nodes that follow it.

use insight::views::{RolloutNodeView, RolloutView, TroubleView};
use jiff::Timestamp;
use store::{NodeReport, Store, StoredPlan};

use super::{Basis, Rollout, Trouble, in_force, members};

/// The plan in force, and the nodes of the fleet.
#[derive(Debug)]
pub struct Status {
    pub plan: Option<(StoredPlan, Rollout)>,
    pub nodes: Vec<NodeReport>,
}

impl Status {
    pub async fn read<S: Store>(store: &S, now: Timestamp) -> anyhow::Result<Self> {
        let plan = in_force(store).await?;
        let mut nodes = store.reports().await?;
        let members = members(&nodes, now);
        nodes.retain(|report| members.contains(&report.node));
        Ok(Self { plan, nodes })
    }

    pub fn rollout(&self) -> Option<&Rollout> {
        self.plan.as_ref().map(|(_, rollout)| rollout)
    }

    /// For a change by an operator who sees this.
    pub fn basis(&self) -> Basis {
        Basis::of(self.plan.as_ref().map(|(stored, _)| stored))
    }

    pub fn moves(&self, node: &str) -> bool {
        self.rollout().is_some_and(|rollout| rollout.moves(node))
    }

    /// True if the node has said that it follows the plan in force, or that it follows none while there is none.
    pub fn is_followed_by(&self, report: &NodeReport) -> bool {
        match &self.plan {
            Some((stored, _)) => report.follows(stored),
            None => report.plan_version.is_none(),
        }
    }

    pub fn view(&self) -> RolloutView {
        let node = |report: &NodeReport| RolloutNodeView {
            node: report.node.clone(),
            moved: self.moves(&report.node),
            plan_version: report.plan_version,
            plan_at: report.plan_at,
            last_seen: report.at,
        };
        let nodes = self.nodes.iter().map(node).collect();
        let Some((stored, rollout)) = &self.plan else { return RolloutView { nodes, ..RolloutView::default() } };
        RolloutView {
            version: Some(stored.version),
            at: Some(stored.at),
            by: Some(stored.by.clone()),
            from: Some(rollout.from.clone()),
            to: Some(rollout.to.clone()),
            percent: rollout.percent,
            halted: rollout.halted.clone(),
            trouble: rollout.trouble.as_ref().map(trouble_view),
            accepted: Some(rollout.accepted.clone()),
            nodes,
        }
    }
}

pub fn trouble_view(trouble: &Trouble) -> TroubleView {
    TroubleView {
        destination: trouble.destination.clone(),
        cause: trouble.cause.clone(),
        remedy: trouble.remedy.clone(),
        check: trouble.check.clone(),
    }
}
