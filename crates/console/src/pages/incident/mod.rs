//! `/incidents/{id}`: for whom delivery fails, since when, why, and what to do.

mod ended;
mod files;
mod notes;
mod todo;

use std::sync::Arc;

use axum::{extract::Path, response::Response};
use insight::{
    capitalised, confidence, sentence,
    views::{FindingView, PictureView, PieceView},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use node::{Node, fleet};
use store::{Fleet as _, Incident, IncidentNote, Incidents as _, Queue as _, Right, State};
use uuid::Uuid;

use super::{
    Refusal,
    fragment::{Fragment, Look, Shape},
    pictures::{Pictures, Subject, encoded, prose, said},
    shell::{Section, Visit},
    words::{ago, number, time},
};

pub(super) use files::{bundle, report};
pub(super) use notes::add as add_note;

/// How long after its end an incident's closing may be recorded.
const CLOSED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// All that the page shows.
struct Shown {
    incident: Incident,
    finding: FindingView,
    pictures: Option<Pictures>,
    /// The change that it follows, and the seconds between.
    follows: Option<(String, i64)>,
    notes: Vec<IncidentNote>,
    /// Deliveries of the connector that wait for their next attempt now.
    waiting: u64,
    remedy: Option<todo::RollBack>,
    /// Nodes that run.
    nodes: usize,
    /// The TLS policy to set for the connector, if it has another one.
    policy: Option<String>,
    now: Timestamp,
}

/// Of an incident, by its id: how it is now.
pub(super) const STATE: Fragment = Fragment {
    name: "incident-state",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(part(look, |shown| shown.state(look.right))),
};

/// What to do, and the buttons for it.
pub(super) const TODO: Fragment = Fragment {
    name: "incident-todo",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(part(look, |shown| shown.todo(look.right))),
};

pub(super) const PICTURES: Fragment = Fragment {
    name: "incident-pictures",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(part(look, |shown| shown.sections(look.right))),
};

/// Nothing for an incident that is not there any more.
async fn part(look: &Look, render: impl Fn(&Shown) -> Markup) -> store::Result<Markup> {
    let Ok(id) = look.of.parse() else { return Ok(html! {}) };
    let node = &look.snapshot.node;
    let Some(incident) = node.store.incident(id).await? else { return Ok(html! {}) };
    Ok(render(&Shown::read(node, incident, look.snapshot.at).await?))
}

pub(super) async fn show(Path(id): Path<String>, visit: Visit) -> Result<Response, Refusal> {
    let shown = Shown::read(&visit.node, find(&visit.node, &id).await?, visit.snapshot.at).await?;
    let title = shown.headline();
    Ok(visit.page(Section::Incidents, &title, &shown.body(&visit)))
}

/// The incident that a path names.
async fn find(node: &Arc<Node>, id: &str) -> Result<Incident, Refusal> {
    let known: Uuid = id
        .parse()
        .map_err(|_| Refusal::bad_request("This is not the id of an incident. Open it from the list of incidents."))?;
    let incident = node.store.incident(known).await?;
    incident.ok_or_else(|| {
        Refusal::not_found("There is no such incident. Incidents are deleted together with the history of mail.")
    })
}

impl Shown {
    async fn read(node: &Arc<Node>, incident: Incident, now: Timestamp) -> store::Result<Self> {
        let finding: FindingView = serde_json::from_str(&incident.finding).unwrap_or_default();
        // The change that says so is recorded a moment later.
        let until = incident.closed.and_then(|(at, _)| at.checked_add(CLOSED_WITHIN).ok()).unwrap_or(now);
        let subject = Subject { finding: &finding, connector: Some(&incident.connector), until };
        let stored = node.store.picture(incident.id).await?;
        let view: Option<PictureView> = stored.and_then(|json| serde_json::from_str(&json).ok());
        let pictures = match view {
            Some(view) => Some(Pictures::read(&node.store, view, subject).await?),
            None => None,
        };
        let follows = subject.follows(&node.store).await?.map(|(mark, after)| (mark.what, after.as_secs()));
        let counts = node.store.counts().await?;
        let is_waiting =
            |count: &&store::QueueCount| count.connector == incident.connector && count.state == State::Queued;
        let plan = fleet::in_force(&node.store).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read the plan of the rollout for the console");
            None
        });
        let config = node.config.load();
        let policy = finding.tls_policy.clone().filter(|policy| {
            config.connector(&incident.connector).is_some_and(|connector| connector.tls_policy != *policy)
        });
        Ok(Self {
            policy,
            waiting: counts.iter().filter(is_waiting).map(|count| count.deliveries).sum(),
            remedy: plan.and_then(|(stored, rollout)| todo::RollBack::of(&finding, &stored, rollout)),
            notes: node.store.notes(incident.id).await?,
            nodes: node.store.members().await?.iter().filter(|member| member.lives).count(),
            pictures,
            follows,
            incident,
            finding,
            now,
        })
    }

    fn is_open(&self) -> bool {
        self.incident.closed.is_none()
    }

    /// For whom it fails; the connector and the cause in what an older version stored.
    fn headline(&self) -> String {
        match self.finding.headline.as_str() {
            "" => format!("{}: {}", self.incident.connector, self.incident.cause),
            headline => capitalised(headline),
        }
    }

    fn body(&self, visit: &Visit) -> Markup {
        let (right, id) = (visit.person.right, self.incident.id.to_string());
        html! {
            nav.trail aria-label="Place" { a href="/incidents" { "Incidents" } " / " (said(&self.incident.connector, right)) }
            h1 { (said(&self.headline(), right)) }
            (STATE.around(&id, &self.state(right)))
            section { (TODO.around(&id, &self.todo(right))) }
            (PICTURES.around(&id, &self.sections(right)))
            section #evidence { (self.evidence(right)) }
            section #notes { (self.notes(&visit.person)) }
            (self.forms(&visit.person))
        }
    }

    fn state(&self, right: Right) -> Markup {
        html! {
            p.lead { (said(&self.lead(), right)) }
            div #figures { (self.figures(right)) }
            @if !self.is_open() { section #ended { (self.ended(right)) } }
        }
    }

    fn sections(&self, right: Right) -> Markup {
        match &self.pictures {
            Some(pictures) => pictures.sections(&self.finding, right, None),
            None => html! {
                section #lanes {
                    h2 { "Who fails and who does not" }
                    p.quiet { "There is no picture of this incident, because an older version of Gatepost opened it." }
                }
            },
        }
    }

    fn lead(&self) -> String {
        if self.finding.numbers.is_empty() {
            sentence(&self.finding.summary)
        } else {
            sentence(&capitalised(&self.finding.numbers))
        }
    }

    /// State, waiting mail, cause, and the change that it follows.
    fn figures(&self, right: Right) -> Markup {
        let Incident { opened, closed, pending, pending_peak, oldest, cause, .. } = &self.incident;
        html! {
            dl.figures {
                div {
                    dt { "State" }
                    dd {
                        @match closed {
                            None => { span.state.open { "Open" } " for " (ago(*opened, self.now)) },
                            Some((at, _)) => { span.state { "Closed" } " " (time(*at)) ", after " (ago(*opened, *at)) },
                        }
                    }
                }
                div {
                    dt { "Waiting" }
                    dd {
                        (number(*pending)) (if *pending == 1 { " message" } else { " messages" })
                        @match (closed, oldest) {
                            (None, Some(oldest)) => { ", oldest " (ago(*oldest, self.now)) },
                            _ => { " (peak " (number(*pending_peak)) ")" },
                        }
                    }
                }
                div { dt { "Cause" } dd { code { (said(cause, right)) } ", " (confidence(cause, self.finding.confidence)) } }
                @if let Some((what, seconds)) = &self.follows {
                    div { dt { "Began" } dd { (seconds) " s after: " (said(what, right)) } }
                } @else if let Some(first) = self.finding.first_seen {
                    div { dt { "Began" } dd { (time(first)) } }
                }
            }
        }
    }

    /// The comparison is left out, because it has its picture. It is the first piece, after the probe's.
    fn pieces(&self) -> impl Iterator<Item = &PieceView> {
        let pieces = &self.finding.evidence;
        let of_probe = pieces.iter().take_while(|piece| piece.source == "probe").count();
        let comparison = self.finding.scope.split.as_ref().map(|_| of_probe);
        pieces.iter().enumerate().filter(move |(at, _)| Some(*at) != comparison).map(|(_, piece)| piece)
    }

    fn evidence(&self, right: Right) -> Markup {
        html! {
            @if !self.finding.evidence.is_empty() {
                h2 { "Evidence" }
                ul {
                    @for piece in self.pieces() {
                        li { (said(&piece.what, right)) " " span.quiet { (said(&piece.place, right)) } }
                    }
                }
            }
            p {
                a href=(format!("/queue/list?connector={}", encoded(&self.incident.connector))) {
                    "All waiting mail of this connector"
                }
                @if right >= Right::Tracer {
                    " · "
                    a href=(format!("/trace?connector={}", encoded(&self.incident.connector))) {
                        "Trace of this connector"
                    }
                }
            }
        }
    }
}
