//! The nodes: their TLS policy, load, and when each was last heard.

use insight::views::{NodeStateView, NodeView};
use maud::{Markup, html};
use store::Right;

use super::{Glance, ago, encoded, number, said};

/// Neither running nor stopped in order.
pub(super) fn is_silent(node: &NodeView) -> bool {
    node.state == NodeStateView::Silent
}

impl Glance {
    pub(super) fn nodes(&self, right: Right) -> Markup {
        let shown = self.nodes.iter().filter(|node| node.state != NodeStateView::Stopped);
        html! {
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
                            td data-label="TLS policy" { (said(&self.policies_on(&node.node), right)) }
                            td data-label="Per minute" { (rate(self.traffic.per_minute.get(&node.node).copied())) }
                            td data-label="Open" { (number(u64::from(node.connections))) }
                            td data-label="Last seen" { (ago(node.last_seen, self.now)) }
                        }
                    }
                }
            }
        }
    }

    /// The TLS policies that a node uses, after the rollout.
    fn policies_on(&self, node: &str) -> String {
        let on = |named: &String| match &self.rollout {
            Some(rollout) => rollout.policy_on(node, named).to_owned(),
            None => named.clone(),
        };
        let mut policies: Vec<String> = self.policies.iter().map(on).collect();
        policies.sort();
        policies.dedup();
        policies.join(", ")
    }
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
