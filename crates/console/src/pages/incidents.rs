//! `/incidents`: mail that is or was stuck, open incidents first.

use axum::response::Response;
use insight::{capitalised, views::FindingView};
use jiff::Timestamp;
use maud::{Markup, html};
use store::{Incident, Right};

use super::{
    Refusal,
    fragment::{Fragment, INCIDENTS_MAX, Look, Shape, Snapshot},
    shell::{Section, Visit},
    words::{ago, foreign, number, said, time},
};

/// The list.
pub(super) const LIST: Fragment =
    Fragment { name: "incidents", needs: Right::Viewer, shape: Shape::Block, render: |look| Box::pin(listed(look)) };

pub(super) async fn show(visit: Visit) -> Result<Response, Refusal> {
    let body = html! {
        h1 { "Incidents" }
        (visit.fragment(&LIST, "").await?)
        p { a href="/why" { "Look for causes now" } " also where no incident has opened." }
    };
    Ok(visit.page(Section::Incidents, "Incidents", &body))
}

async fn listed(look: &Look) -> store::Result<Markup> {
    Ok(list(look.snapshot.incidents().await?, look.right, look.snapshot.at))
}

fn list(incidents: &[Incident], right: Right, now: Timestamp) -> Markup {
    let (open, closed): (Vec<&Incident>, Vec<&Incident>) =
        incidents.iter().partition(|incident| incident.closed.is_none());
    html! {
        @if incidents.is_empty() { p { "No incidents. Mail is not stuck, and was not stuck while there is history." } }
        @if !open.is_empty() {
            h2 { "Open" }
            @for incident in open { (as_sentence(incident, right, now)) }
        }
        @if !closed.is_empty() {
            h2 { "Closed" }
            table.cards {
                thead { tr { @for name in ["Incident", "Cause", "Opened", "Lasted", "Peak"] { th scope="col" { (name) } } } }
                tbody {
                    @for incident in closed {
                        tr {
                            td data-label="Incident" { span { (link(incident, right)) } }
                            td data-label="Cause" { code { (said(&incident.cause, right)) } }
                            td data-label="Opened" { (time(incident.opened)) }
                            td data-label="Lasted" { (incident.closed.map(|(at, _)| ago(incident.opened, at)).unwrap_or_default()) }
                            td data-label="Peak" { (number(incident.pending_peak)) }
                        }
                    }
                }
            }
            @if incidents.len() >= INCIDENTS_MAX as usize { p.quiet { "Older incidents are not listed." } }
        }
    }
}

/// An open incident: whom it is about, and how much mail waits.
pub(super) fn as_sentence(incident: &Incident, right: Right, now: Timestamp) -> Markup {
    let finding = finding(incident);
    html! {
        article.incident {
            p { span.key.fails {} b { (link(incident, right)) } }
            p {
                @if !finding.numbers.is_empty() { (said(&insight::sentence(&capitalised(&finding.numbers)), right)) " " }
                (number(incident.pending)) " waiting"
                @if let Some(oldest) = incident.oldest { ", oldest " (ago(oldest, now)) }
                ". Open for " (ago(incident.opened, now)) "."
            }
        }
    }
}

fn link(incident: &Incident, right: Right) -> Markup {
    let finding = finding(incident);
    let headline = if finding.headline.is_empty() { &incident.destination } else { &finding.headline };
    html! {
        a href=(format!("/incidents/{}", incident.id)) {
            (said(&incident.connector, right)) ": " (said(headline, right))
        }
    }
}

fn finding(incident: &Incident) -> FindingView {
    serde_json::from_str(&incident.finding).unwrap_or_default()
}

/// For pages that lead to them.
pub(super) async fn open_incidents(snapshot: &Snapshot) -> store::Result<Vec<Incident>> {
    let incidents = snapshot.incidents().await?;
    Ok(incidents.iter().filter(|incident| incident.closed.is_none()).cloned().collect())
}

pub(super) fn to_incident(incident: &Incident) -> Markup {
    html! {
        a.to-incident href=(format!("/incidents/{}", incident.id)) {
            "open incident of " (foreign(&incident.connector)) ": " (foreign(&incident.cause))
        }
    }
}
