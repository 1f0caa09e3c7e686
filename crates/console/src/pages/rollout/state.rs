//! The plan in force: its nodes, why it is halted, and its history.

use jiff::Timestamp;
use maud::{Markup, html};
use node::fleet::{Rollout, Status, Trouble};
use store::{ChangeQuery, NodeReport, Right, Store, StoredPlan};

use super::super::{
    Refusal,
    paths::segment,
    words::{ago, change_text, foreign, said, time},
};

/// A node that reports each two seconds is silent after this.
const SILENT_AFTER_SECONDS: i64 = 30;
const HISTORY_MAX: u32 = 20;

pub(in super::super) fn state(status: &Status, right: Right, now: Timestamp) -> Markup {
    html! {
        @match &status.plan {
            None => p.lead { "No rollout: every node uses the policies in its configuration." },
            Some((stored, rollout)) => {
                p.lead { (lead(status, rollout)) }
                (figures(stored, rollout, right))
                @if let Some(reason) = &rollout.halted { (halted(reason, rollout, right)) }
            },
        }
        h2 { "Nodes" }
        @if status.nodes.is_empty() { p { "No node has reported within the last 10 minutes." } }
        ul.fleet { @for report in &status.nodes { li { (square(status, report, now)) } } }
    }
}

fn lead(status: &Status, rollout: &Rollout) -> Markup {
    let (moved, all) = (status.nodes.iter().filter(|report| rollout.moves(&report.node)).count(), status.nodes.len());
    let (from, to) = (foreign(&rollout.from), foreign(&rollout.to));
    html! {
        @if moved == 0 && rollout.is_idle() { "All nodes use " strong { (from) } "; the rollout to " strong { (to) } " is at 0%." }
        @else if moved == all && all == 1 { "The only node uses " strong { (to) } " in place of " strong { (from) } "." }
        @else if moved == all { "All " (all) " nodes use " strong { (to) } " in place of " strong { (from) } "." }
        @else { (moved) " of " (all) " nodes use " strong { (to) } " in place of " strong { (from) } "." }
    }
}

fn figures(stored: &StoredPlan, rollout: &Rollout, right: Right) -> Markup {
    html! {
        dl.figures {
            div {
                dt { "Share" }
                dd { @match rollout.percent { Some(percent) => { (percent) "%" }, None => "by name" } }
            }
            div { dt { "State" } dd { (word(rollout)) } }
            div { dt { "Plan" } dd { "version " (stored.version) } }
            div { dt { "Set" } dd { (time(stored.at)) " by " (said(&stored.by, right)) } }
        }
    }
}

fn word(rollout: &Rollout) -> Markup {
    match rollout {
        Rollout { halted: Some(_), trouble: Some(_), .. } => html! { span.state.fails { "Halted automatically" } },
        Rollout { halted: Some(_), .. } => html! { span.state.waits { "Halted" } },
        _ if rollout.is_idle() => html! { "Rolled back" },
        Rollout { percent: Some(100), .. } => html! { "Complete" },
        _ => html! { "In progress" },
    }
}

fn halted(reason: &str, rollout: &Rollout, right: Right) -> Markup {
    html! {
        section.notice {
            @match &rollout.trouble {
                None => { h2 { "Halted" } p { (said(&insight::sentence(&insight::capitalised(reason)), right)) } },
                Some(Trouble { destination, cause, remedy, check }) => {
                    h2 { "Halted automatically: " (foreign(destination)) }
                    p { (said(&insight::sentence(&insight::capitalised(reason)), right)) }
                    p { "Cause: " code { (foreign(cause)) } }
                    @if !remedy.is_empty() { ul { @for remedy in remedy { li { (foreign(remedy)) } } } }
                    p { "Check: " code { (foreign(check)) } }
                },
            }
        }
    }
}

/// Solid: moved. Hollow: not moved. Dashed: silent. The word says the same.
fn square(status: &Status, report: &NodeReport, now: Timestamp) -> Markup {
    let is_silent = now.duration_since(report.at).as_secs() > SILENT_AFTER_SECONDS;
    let moved = match status.rollout() {
        Some(rollout) if rollout.moves(&report.node) => Some(format!("moved to {}", rollout.to)),
        _ => None,
    };
    let (class, what) = match (is_silent, moved) {
        (true, moved) => ("silent", format!("silent, {}", moved.as_deref().unwrap_or("not moved"))),
        (false, Some(moved)) => ("moved", moved),
        (false, None) => ("stayed", "not moved".to_owned()),
    };
    let seen = format!("seen {} ago", ago(report.at, now));
    html! {
        svg class=(class) width="20" height="20" aria-hidden="true" { rect x="2" y="2" width="16" height="16" {} }
        a href=(format!("/nodes/{}", segment(&report.node))) { (foreign(&report.node)) }
        span { (foreign(&what)) }
        span.quiet {
            (seen)
            @if !status.is_followed_by(report) { ", does not follow the plan yet" }
        }
    }
}

/// From the change log.
pub(super) async fn history<S: Store>(store: &S, right: Right, now: Timestamp) -> Result<Markup, Refusal> {
    let query = ChangeQuery { kinds: vec!["rollout-set".to_owned()], limit: HISTORY_MAX, ..ChangeQuery::default() };
    let changes = store.changes(query).await?;
    Ok(html! {
        section {
            h2 { "History" }
            @if changes.is_empty() { p { "No rollout so far." } } @else {
                ol.changes {
                    @for change in &changes {
                        li {
                            span.quiet { (time(change.at)) ", " (ago(change.at, now)) " ago, " (said(&change.who, right)) }
                            span { (change_text(&change.kind, right)) }
                        }
                    }
                }
            }
        }
    })
}
