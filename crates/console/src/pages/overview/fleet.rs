//! The nodes: their TLS policy, load, and when each was last heard.

use insight::{
    TrafficRange,
    views::{NodeStateView, NodeView},
};
use maud::{Markup, html};
use node::{
    Node,
    fleet::{self, Rollout},
};

use super::{Look, ago, encoded, number, said};

/// Neither running nor stopped in order.
pub(super) fn is_silent(node: &NodeView) -> bool {
    node.state == NodeStateView::Silent
}

pub(super) async fn nodes(look: &Look) -> store::Result<Markup> {
    let (snapshot, right) = (&look.snapshot, look.right);
    let shown = snapshot.nodes().await?.iter().filter(|node| node.state != NodeStateView::Stopped);
    let lately = snapshot.traffic(TrafficRange::Hour).await?;
    let plan = fleet::in_force(&snapshot.node.store).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "failed to read the plan of the rollout for the console");
        None
    });
    let rollout = plan.map(|(_, rollout)| rollout);
    let named = policies(&snapshot.node);
    Ok(html! {
        h2 { "Nodes" }
        table.cards {
            thead {
                tr {
                    @for name in ["Node", "TLS policy", "Delivered per minute", "Open", "Last seen"] { th scope="col" { (name) } }
                }
            }
            tbody {
                @for node in shown {
                    tr {
                        td data-label="Node" {
                            span {
                                a href=(format!("/nodes/{}", encoded(&node.node))) { (said(&node.node, right)) }
                                @if let Some(state) = state(node) { " " span.badge { (state) } }
                            }
                        }
                        td data-label="TLS policy" { (said(&policies_on(&node.node, &named, rollout.as_ref()), right)) }
                        td data-label="Per minute" { (rate(lately.per_minute.get(&node.node).copied())) }
                        td data-label="Open" { (number(u64::from(node.connections))) }
                        td data-label="Last seen" { (ago(node.last_seen, snapshot.at)) }
                    }
                }
            }
        }
    })
}

/// The TLS policies that connectors name.
fn policies(node: &Node) -> Vec<String> {
    let config = node.config.load();
    let mut policies: Vec<String> = config.connectors.iter().map(|connector| connector.tls_policy.clone()).collect();
    policies.sort();
    policies.dedup();
    policies
}

/// The TLS policies that a node uses, after the rollout.
fn policies_on(node: &str, named: &[String], rollout: Option<&Rollout>) -> String {
    let on = |named: &String| match rollout {
        Some(rollout) => rollout.policy_on(node, named).to_owned(),
        None => named.clone(),
    };
    let mut policies: Vec<String> = named.iter().map(on).collect();
    policies.sort();
    policies.dedup();
    policies.join(", ")
}

/// `None`: it runs.
fn state(node: &NodeView) -> Option<&'static str> {
    match node.state {
        NodeStateView::Running => None,
        NodeStateView::Draining => Some("draining"),
        NodeStateView::Drained => Some("drained"),
        NodeStateView::Silent => Some("silent"),
        NodeStateView::Stopped => Some("stopped"),
    }
}

fn rate(per_minute: Option<f64>) -> String {
    match per_minute {
        None => "0".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}
