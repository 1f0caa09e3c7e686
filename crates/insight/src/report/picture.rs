//! Small pictures in SVG. Failed attempts are solid and working ones hollow, so that the difference does not depend on
//! colour. The pictures contain no text, so that they can be stretched; labels are beside them.

use diagnosis::Explained;
use jiff::Timestamp;
use maud::{Markup, html};

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
/// Height of a column.
const HEIGHT: f64 = 40.0;

/// The times of failed and of working attempts, one above the other on the same scale.
pub(super) fn time_line(explained: &Explained<'_>) -> Markup {
    let (failing, working) = explained.times();
    let times = || failing.iter().chain(&working);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return html! {} };
    if moment(*first) == moment(*last) {
        return html! {};
    }
    let (failed, worked) = (columns(&failing, *first, *last), columns(&working, *first, *last));
    let most = failed.iter().chain(&worked).copied().max().unwrap_or(1);
    html! {
        figure.times {
            figcaption { "Attempts over time" }
            div.lane { span { "Failed" } (lane("fails", &failed, most)) }
            div.lane { span { "Worked" } (lane("works", &worked, most)) }
            div.lane {
                span {}
                p.axis { time datetime=(format!("{first:.0}")) { (moment(*first)) } time datetime=(format!("{last:.0}")) { (later(*first, *last)) } }
            }
            p.quiet { "One column is " (span_of(*first, *last)) "; the highest column is " (counted(most, "attempt")) "." }
        }
    }
}

/// Counts the times in each of equal spans.
fn columns(times: &[Timestamp], first: Timestamp, last: Timestamp) -> [u64; COLUMNS] {
    let span = (last.as_millisecond() - first.as_millisecond()).max(1) as f64;
    let mut counts = [0; COLUMNS];
    for time in times {
        let part = (time.as_millisecond() - first.as_millisecond()) as f64 / span;
        if let Some(count) = counts.get_mut(((part * COLUMNS as f64) as usize).min(COLUMNS - 1)) {
            *count += 1;
        }
    }
    counts
}

fn lane(class: &str, counts: &[u64], most: u64) -> Markup {
    let count: u64 = counts.iter().sum();
    // Even one attempt must be visible.
    let height = |count: u64| (HEIGHT * count as f64 / most as f64).max(3.0);
    html! {
        svg viewBox=(format!("0 0 {} {HEIGHT}", COLUMNS * 10)) preserveAspectRatio="none" role="img" aria-label=(counted(count, "attempt")) {
            @for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                rect class=(class) x=(at * 10 + 1) y=(format!("{:.1}", HEIGHT - height(*count))) width="8" height=(format!("{:.1}", height(*count))) {}
            }
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
