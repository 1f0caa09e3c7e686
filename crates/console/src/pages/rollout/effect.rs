//! What came of the rollout: attempts that failed and worked, by policy and node, and by connector.

use insight::{Outcomes, outcomes};
use jiff::Timestamp;
use maud::{Markup, html};
use node::fleet::Status;
use store::{Store, TallyBy};

use super::{
    super::{
        outcome_table::{Group, outcome_table},
        words::time,
    },
    EFFECT_AGE_MAX,
};

pub(super) async fn effect<S: Store>(store: &S, status: &Status, now: Timestamp) -> store::Result<Markup> {
    let Some((stored, _)) = &status.plan else { return Ok(html! {}) };
    let since = stored.at.max(now - EFFECT_AGE_MAX);
    let by = async |by: [TallyBy; 2]| outcomes(store, &by, since, Timestamp::MAX).await;
    let nodes = by([TallyBy::TlsPolicy, TallyBy::Node]).await?;
    let connectors = by([TallyBy::Connector, TallyBy::TlsPolicy]).await?;
    Ok(html! {
        section {
            h2 { "Effect" }
            p.quiet {
                "Attempts since " (time(since))
                @if since == stored.at { ", when this plan came into force" }
                ", over all destinations. An attempt may fail for other reasons than TLS."
            }
            @if nodes.is_empty() { p { "No attempts since then." } } @else {
                (outcome_table("TLS policy, node", &grouped(&nodes)))
                (outcome_table("Connector, TLS policy", &grouped(&connectors)))
            }
        }
    })
}

/// Groups by the first of two values.
pub(in super::super) fn grouped(outcomes: &[Outcomes]) -> Vec<Group> {
    let groups = outcomes.chunk_by(|a, b| a.values.first() == b.values.first());
    let name = |outcome: &Outcomes, place: usize| outcome.values.get(place).cloned().unwrap_or_default();
    let group = |group: &[Outcomes]| Group {
        name: group.first().map(|first| name(first, 0)).unwrap_or_default(),
        rows: group.iter().map(|one| (name(one, 1), one.failed, one.worked)).collect(),
    };
    groups.map(group).collect()
}
