//! Accepted, delivered, deferred and bounced mail over time, with the changes that happened meanwhile.

use std::fmt::Write as _;

use insight::{Axis, Mark, Traffic, TrafficRange, legend};
use maud::{Markup, html};
use store::{ChangeLog as _, ChangeQuery, TallyOutcome};

use super::{Look, named, number};
use crate::pages::words::foreign;

/// Changes that are read for the marks.
const CHANGES_MAX: u32 = 300;

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

pub(super) async fn traffic(look: &Look) -> store::Result<Markup> {
    let traffic = look.snapshot.traffic(named(&look.of).unwrap_or_default()).await?;
    let query = ChangeQuery { since: Some(traffic.since), limit: CHANGES_MAX, ..ChangeQuery::default() };
    let (marks, _) = Mark::few(Mark::of(&look.snapshot.node.store.changes(query).await?));
    let range = traffic.range;
    Ok(html! {
        h2 { "Last " (range.in_words()) }
        p.ranges {
            "Show the last "
            @for (at, other) in TrafficRange::ALL.into_iter().enumerate() {
                @if at > 0 { " · " }
                @if other == range { b aria-current="true" { (other.in_words()) } }
                @else { a href=(format!("/?range={}", other.name())) { (other.in_words()) } }
            }
        }
        div.charts { @for (outcome, title, class) in CHARTS { (chart(traffic, &marks, outcome, title, class)) } }
        (legend(&marks, &foreign))
    })
}

fn chart(traffic: &Traffic, marks: &[Mark], outcome: TallyOutcome, title: &str, class: &str) -> Markup {
    let (counts, total) = (traffic.counts(outcome), traffic.total(outcome));
    let most = counts.iter().copied().max().unwrap_or(0);
    let axis = Axis::exactly(traffic.since, traffic.until);
    let range = traffic.range.in_words();
    let label = format!("{title}: {total} deliveries in the last {range}, at most {most} in one column");
    html! {
        figure.chart {
            figcaption { (title) " " b { (number(total)) } }
            svg.over-time role="img" aria-label=(label) {
                (axis.lines(marks))
                svg width="100%" height="100%" viewBox=(format!("0 0 {} {HEIGHT}", counts.len())) preserveAspectRatio="none" {
                    @if most > 0 { path class=(class) d=(path(counts, most)) {} }
                }
            }
            (axis.numbers(marks))
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
