//! Lanes: attempts by value and node, over time.

use std::fmt::Write as _;

use maud::{Markup, html};
use protocol::text::clean;

use super::{Drawing, axis, axis::Axis, dimensions};
use crate::{
    views::{LaneView, SeenAttemptView},
    wording::{capitalised, counted, moment},
};

/// Heights in pixels of a lane, and of a node's lane.
const LANE: f64 = 44.0;
const NODE: f64 = 15.0;
/// Even one attempt is visible.
const COUNT_MIN: f64 = 4.0;

impl Drawing<'_> {
    /// Attempts over time, one lane above the other, and the changes that happened meanwhile.
    pub fn lanes(&self) -> Markup {
        let lanes = &self.picture.lanes;
        if !self.picture.attempts.is_empty() || lanes.lanes.is_empty() {
            return self.list();
        }
        let marked = self.marks.iter().map(|mark| mark.at);
        let axis = Axis::covering(lanes.since.into_iter().chain(lanes.until).chain(marked));
        let named = if lanes.dimension.is_empty() { "destination".to_owned() } else { dimensions(&lanes.dimension) };
        let has_nodes = lanes.lanes.iter().any(|lane| !lane.nodes.is_empty());
        let nodes = || lanes.lanes.iter().flat_map(|lane| &lane.nodes);
        let (most, most_of_node) = (highest(lanes.lanes.iter()), highest(nodes()));
        html! {
            table.lanes {
                thead {
                    tr {
                        th scope="col" { (capitalised(&named)) @if has_nodes { ", node" } }
                        th scope="col" { span.key.fails {} "Failed" }
                        th scope="col" { span.key.works {} "Worked" }
                        td.time { @if let Some(axis) = &axis { (axis.numbers(self.marks)) } }
                    }
                }
                @for lane in &lanes.lanes {
                    tbody {
                        (self.row(lane, axis.as_ref(), LANE, most))
                        @for node in &lane.nodes { (self.row(node, axis.as_ref(), NODE, most_of_node)) }
                    }
                }
            }
            @if axis.is_some() { (self.below()) }
        }
    }

    /// What stands below the time axis.
    fn below(&self) -> Markup {
        let lanes = &self.picture.lanes;
        html! {
            div.below {
                @if let (Some(since), Some(until)) = (lanes.since, lanes.until) {
                    @let marked = || self.marks.iter().map(|mark| mark.at);
                    (Axis::ends(marked().fold(since, std::cmp::min), marked().fold(until, std::cmp::max)))
                }
                (axis::legend(self.marks, self.text))
                @if let Some(since) = self.picture.read_since {
                    p.quiet { "Of attempts before " (moment(since)) ", not all were read." }
                }
            }
        }
    }

    fn row(&self, lane: &LaneView, axis: Option<&Axis>, height: f64, most: u32) -> Markup {
        let number = |count: u64| if count == 0 { "–".to_owned() } else { count.to_string() };
        let is_node = height < LANE;
        html! {
            tr.node[is_node] {
                th scope="row" { (self.text_of(&lane.value)) @if !is_node { (self.badge(&lane.value)) } }
                td data-label="failed" { (number(lane.failed)) }
                td data-label="worked" { (number(lane.worked)) }
                td.time { @if let Some(axis) = axis { (self.picture_of(lane, axis, height, most)) } }
            }
        }
    }

    fn picture_of(&self, lane: &LaneView, axis: &Axis, height: f64, most: u32) -> Markup {
        let lanes = &self.picture.lanes;
        let (Some(since), Some(until)) = (lanes.since, lanes.until) else { return html! {} };
        let (left, right) = (axis.place(since), axis.place(until));
        let label =
            format!("{}: {} failed, {} worked", clean(&lane.value), counted(lane.failed, "attempt"), lane.worked);
        let (failed, worked) = columns(lane, height, most);
        html! {
            svg.lane.small[height < LANE] role="img" aria-label=(label) {
                (axis.lines(self.marks))
                svg x=(axis::percent(left)) width=(axis::percent(right - left)) height="100%"
                    viewBox=(format!("0 0 {} {height}", lanes.columns)) preserveAspectRatio="none" {
                    @if !failed.is_empty() { path.fails d=(failed) {} }
                    @if !worked.is_empty() { path.works d=(worked) {} }
                }
            }
        }
    }

    /// Whether a TLS policy is the old or the new one of a rollout.
    fn badge(&self, value: &str) -> Markup {
        let is_policy = self.picture.lanes.dimension == ["tls-policy"];
        html! {
            @match self.rollout.filter(|_| is_policy) {
                Some((_, new)) if new == value => { " " span.badge.new { "new policy" } },
                Some((old, _)) if old == value => { " " span.badge { "old policy" } },
                _ => {},
            }
        }
    }

    /// Below ten attempts, each has a row.
    fn list(&self) -> Markup {
        html! {
            @if !self.picture.attempts.is_empty() {
                table.few {
                    thead { tr { @for name in ["Time", "Node", "TLS policy", "Outcome"] { th scope="col" { (name) } } } }
                    tbody { @for attempt in &self.picture.attempts { (self.attempt(attempt)) } }
                }
                (axis::legend(self.marks, self.text))
            }
        }
    }

    fn attempt(&self, attempt: &SeenAttemptView) -> Markup {
        let optional = |text: &Option<String>| text.as_deref().map(|text| self.text_of(text));
        html! {
            tr {
                td data-label="Time" { (attempt.at.map(moment).unwrap_or_default()) }
                td data-label="Node" { @if let Some(node) = optional(&attempt.node) { (node) } }
                td data-label="TLS policy" { @if let Some(policy) = optional(&attempt.tls_policy) { (policy) } }
                td data-label="Outcome" {
                    span {
                        @match &attempt.failure {
                            Some(failure) => { span.key.fails {} "failed: " (self.text_of(failure)) },
                            None => {
                                span.key.works {} "worked"
                                @if let Some(tls) = optional(&attempt.tls) { ", " (tls) }
                            },
                        }
                    }
                }
            }
        }
    }

    pub(super) fn text_of(&self, text: &str) -> Markup {
        (self.text)(text)
    }
}

/// Most attempts in one column of one lane.
fn highest<'a>(lanes: impl Iterator<Item = &'a LaneView>) -> u32 {
    lanes.flat_map(|lane| &lane.counts).map(|(_, failed, worked)| failed + worked).max().unwrap_or(1).max(1)
}

/// Paths of the columns: failed attempts at the bottom, and those that worked on top of them.
fn columns(lane: &LaneView, height: f64, most: u32) -> (String, String) {
    let (mut solid, mut hollow) = (String::new(), String::new());
    let room = height - 1.0;
    let tall = |count: u32| if count == 0 { 0.0 } else { (room * f64::from(count) / f64::from(most)).max(COUNT_MIN) };
    for (column, failed, worked) in &lane.counts {
        let (below, above) = (tall(*failed), tall(*worked));
        for (path, base, high) in [(&mut solid, 0.0, below), (&mut hollow, below, above)] {
            if high > 0.0 {
                // Writing to a text cannot fail.
                let _ = write!(path, "M{column}.15 {:.0}v-{high:.0}h.7v{high:.0}z", height - base);
            }
        }
    }
    (solid, hollow)
}
