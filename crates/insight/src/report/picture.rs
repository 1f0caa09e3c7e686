//! Small pictures in SVG. Failed attempts are solid and working ones hollow, so that the difference does not depend on
//! colour. The pictures contain no text, so that they can be stretched; labels are beside them.

use diagnosis::{Changed, Explained, Lane};
use jiff::Timestamp;
use maud::{Markup, html};

use super::Report;
use crate::wording::{counted, later, moment};

/// Failed and working attempts side by side; `most` attempts fill the whole width.
pub(super) fn bar(failed: u64, worked: u64, most: u64) -> Markup {
    let width = |count: u64| format!("{:.2}%", 100.0 * count as f64 / most.max(1) as f64);
    html! {
        svg width="100%" height="14" aria-hidden="true" {
            @if failed > 0 { rect.fails x="0" y="0" width=(width(failed)) height="14" {} }
            @if worked > 0 { rect.works x=(width(failed)) y="1" width=(width(worked)) height="12" {} }
        }
    }
}

/// Columns of a time line.
const COLUMNS: usize = 60;
/// Width of a column.
const WIDTH: usize = 10;
/// Height of a column.
const HEIGHT: f64 = 40.0;

impl Report<'_> {
    /// The times of attempts, one lane above the other on the same scale: one for each value of the dimension that separates
    /// failed attempts from those that worked, or one for each kind. Changes are marked.
    pub(super) fn time_line(&self, explained: &Explained<'_>) -> Markup {
        let lanes = lanes(explained);
        let times = || lanes.iter().flat_map(|lane| lane.failed.iter().chain(&lane.worked)).copied();
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return html! {} };
        if moment(first) == moment(last) {
            return html! {};
        }
        let axis = Axis { first, last };
        let counts: Vec<[[u64; COLUMNS]; 2]> =
            lanes.iter().map(|lane| [axis.columns(&lane.failed), axis.columns(&lane.worked)]).collect();
        let both = |[failed, worked]: &[[u64; COLUMNS]; 2]| failed.iter().zip(worked).map(|(a, b)| a + b).max();
        let most = counts.iter().filter_map(both).max().unwrap_or(1).max(1);
        let marks = self.marks(explained, &axis);
        html! {
            figure.times {
                figcaption { "Attempts over time " span.quiet { span.key.fails {} "failed " span.key.works {} "worked" } }
                @for (lane, counts) in lanes.iter().zip(&counts) {
                    div.lane { span { (self.text(&lane.value)) } (axis.lane(counts, most, &marks)) }
                }
                div.lane {
                    span {}
                    p.axis { time datetime=(format!("{first:.0}")) { (moment(first)) } time datetime=(format!("{last:.0}")) { (later(first, last)) } }
                }
                @if !marks.is_empty() {
                    ul.marks { @for mark in &marks { li { span.key.mark {} (moment(mark.at)) ": " (self.text(&mark.what)) "." } } }
                }
                p.quiet { "One column is " (span_of(first, last)) "; the highest column is " (counted(most, "attempt")) "." }
            }
        }
    }

    /// Steps of a rollout and other changes while attempts were made, in order.
    fn marks(&self, explained: &Explained<'_>, axis: &Axis) -> Vec<Changed> {
        let mut marks = explained.changes();
        marks.extend(self.plans.iter().cloned());
        marks.retain(|mark| (axis.first..=axis.last).contains(&mark.at));
        marks.sort();
        marks.dedup();
        marks
    }
}

fn lanes(explained: &Explained<'_>) -> Vec<Lane> {
    let lanes = explained.lanes();
    if !lanes.is_empty() {
        return lanes;
    }
    let (failed, worked) = explained.times();
    vec![
        Lane { value: "Failed".to_owned(), failed, worked: Vec::new() },
        Lane { value: "Worked".to_owned(), failed: Vec::new(), worked },
    ]
}

/// The time from left to right.
struct Axis {
    first: Timestamp,
    last: Timestamp,
}

impl Axis {
    /// From 0 at the left to 1 at the right.
    fn place(&self, at: Timestamp) -> f64 {
        let span = (self.last.as_millisecond() - self.first.as_millisecond()).max(1) as f64;
        (at.as_millisecond() - self.first.as_millisecond()) as f64 / span
    }

    /// Counts the times in each of equal spans.
    fn columns(&self, times: &[Timestamp]) -> [u64; COLUMNS] {
        let mut counts = [0; COLUMNS];
        for time in times {
            if let Some(count) = counts.get_mut(((self.place(*time) * COLUMNS as f64) as usize).min(COLUMNS - 1)) {
                *count += 1;
            }
        }
        counts
    }

    /// Failed attempts are at the bottom, and those that worked stand on them.
    fn lane(&self, [failed, worked]: &[[u64; COLUMNS]; 2], most: u64, marks: &[Changed]) -> Markup {
        let (fails, works): (u64, u64) = (failed.iter().sum(), worked.iter().sum());
        // Even one attempt must be visible.
        let height = |count: u64| if count == 0 { 0.0 } else { (HEIGHT * count as f64 / most as f64).max(3.0) };
        let label = format!("{} failed, {works} worked", counted(fails, "attempt"));
        html! {
            svg viewBox=(format!("0 0 {} {HEIGHT}", COLUMNS * WIDTH)) preserveAspectRatio="none" role="img" aria-label=(label) {
                @for mark in marks {
                    rect.mark x=(format!("{:.1}", self.place(mark.at) * (COLUMNS * WIDTH) as f64)) y="0" width="1" height=(HEIGHT) {}
                }
                @for (at, (failed, worked)) in failed.iter().zip(worked).enumerate() {
                    (column("fails", at, 0.0, height(*failed)))
                    (column("works", at, height(*failed), height(*worked)))
                }
            }
        }
    }
}

fn column(class: &str, at: usize, base: f64, height: f64) -> Markup {
    html! {
        @if height > 0.0 {
            rect class=(class) x=(at * WIDTH + 1) y=(format!("{:.1}", HEIGHT - base - height)) width="8" height=(format!("{height:.1}")) {}
        }
    }
}

/// The time span of one column.
fn span_of(first: Timestamp, last: Timestamp) -> String {
    let seconds = (last.as_millisecond() - first.as_millisecond()) as f64 / 1000.0 / COLUMNS as f64;
    match seconds {
        0.0..0.95 => format!("{:.1} seconds", seconds.max(0.1)),
        0.95..120.0 => format!("{seconds:.0} seconds"),
        120.0..7200.0 => format!("{:.0} minutes", seconds / 60.0),
        _ => format!("{:.0} hours", seconds / 3600.0),
    }
}
