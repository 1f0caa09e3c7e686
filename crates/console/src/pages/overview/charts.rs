//! Accepted, delivered, deferred and bounced mail over time, with the changes that happened meanwhile.

use std::fmt::Write as _;

use insight::{Axis, TrafficRange, legend};
use maud::{Markup, html};
use store::TallyOutcome;

use super::{Glance, number};
use crate::pages::words::foreign;

/// Height in pixels.
const HEIGHT: f64 = 56.0;
/// Even one delivery is visible.
const COUNT_MIN: f64 = 2.0;

/// The charts in order, with their title and class.
const CHARTS: [(TallyOutcome, &str, &str); 4] = [
    (TallyOutcome::Accepted, "Accepted", "taken"),
    (TallyOutcome::Delivered, "Delivered", "works"),
    (TallyOutcome::Deferred, "Deferred", "waits"),
    (TallyOutcome::Failed, "Bounced", "fails"),
];

impl Glance {
    pub(super) fn traffic(&self) -> Markup {
        let range = self.traffic.range;
        html! {
            h2 { "Last " (range.in_words()) }
            p.ranges {
                "Show the last "
                @for (at, other) in TrafficRange::ALL.into_iter().enumerate() {
                    @if at > 0 { " · " }
                    @if other == range { b aria-current="true" { (other.in_words()) } }
                    @else { a href=(format!("/?range={}", other.name())) { (other.in_words()) } }
                }
            }
            div.charts { @for (outcome, title, class) in CHARTS { (self.chart(outcome, title, class)) } }
            (legend(&self.marks, &foreign))
        }
    }

    fn chart(&self, outcome: TallyOutcome, title: &str, class: &str) -> Markup {
        let counts = self.traffic.counts(outcome);
        let most = counts.iter().copied().max().unwrap_or(0);
        let axis = Axis::exactly(self.traffic.since, self.traffic.until);
        let label = format!(
            "{title}: {} deliveries in the last {}, at most {most} in one column",
            self.traffic.total(outcome),
            self.traffic.range.in_words()
        );
        html! {
            figure.chart {
                figcaption { (title) " " b { (number(self.traffic.total(outcome))) } }
                svg.over-time role="img" aria-label=(label) {
                    (axis.lines(&self.marks))
                    svg width="100%" height="100%" viewBox=(format!("0 0 {} {HEIGHT}", counts.len())) preserveAspectRatio="none" {
                        @if most > 0 { path class=(class) d=(path(counts, most)) {} }
                    }
                }
                (axis.numbers(&self.marks))
            }
        }
    }
}

/// One column for each count.
fn path(counts: &[u64], most: u64) -> String {
    let mut path = String::new();
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let high = ((HEIGHT - 1.0) * *count as f64 / most as f64).max(COUNT_MIN);
        // Writing to a text cannot fail.
        let _ = write!(path, "M{at}.1 {HEIGHT}v-{high:.0}h.8v{high:.0}z");
    }
    path
}
