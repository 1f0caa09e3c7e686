//! The nodes of the fleet: who runs, what each does, and who is drained.

use std::collections::HashMap;

use store::{MemberRecord, NodeReport, RefusedConfiguration, Store};

use crate::views::{NodeStateView, NodeView, RefusedConfigView};

/// All nodes that have ever joined, by name.
pub async fn nodes<S: Store>(store: &S) -> store::Result<Vec<NodeView>> {
    // Read first: a node that joins in between has its state from what follows.
    let reports = store.reports().await?;
    let mut reports: HashMap<String, NodeReport> =
        reports.into_iter().map(|report| (report.node.clone(), report)).collect();
    let members = store.members().await?;
    Ok(members.into_iter().map(|member| view(reports.remove(&member.name), member)).collect())
}

fn view(report: Option<NodeReport>, member: MemberRecord) -> NodeView {
    // A report of an earlier process says nothing of this one.
    let report = report.filter(|report| report.at >= member.started).unwrap_or_default();
    let state = state(&member, &report);
    let MemberRecord { name, epoch, host, process, started, seen, drained, .. } = member;
    let (drained, drained_by) = drained.map(|drained| (drained.at, drained.by)).unzip();
    NodeView {
        node: name,
        state,
        epoch: epoch.0,
        host,
        process,
        version: Some(report.version).filter(|version| !version.is_empty()),
        addresses: report.addresses,
        deliveries: report.held,
        connections: report.connectors.iter().map(|connector| connector.connections).sum(),
        plan_version: report.plan_version,
        config_version: report.configuration.id.map(|id| id.version),
        config_applied: report.configuration.id.map(|id| id.at),
        config_refused: report
            .configuration
            .refused
            .map(|RefusedConfiguration { id, why }| RefusedConfigView { version: id.version, why }),
        schema: report.schema,
        started,
        last_seen: seen,
        drained,
        drained_by,
    }
}

/// A node is drained once it says so itself: until its next report it may still take mail.
fn state(member: &MemberRecord, report: &NodeReport) -> NodeStateView {
    match (member.lives, &member.drained) {
        (false, _) if member.has_left => NodeStateView::Stopped,
        (false, _) => NodeStateView::Silent,
        (true, None) => NodeStateView::Running,
        (true, Some(_)) if report.is_drained && report.held == 0 => NodeStateView::Drained,
        (true, Some(_)) => NodeStateView::Draining,
    }
}
