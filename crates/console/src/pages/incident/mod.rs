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
use store::{Fleet as _, Incident, Incidents as _, Queue as _, Right, State};
use uuid::Uuid;

use super::{
    Refusal,
    asked::{Asked, link},
    fragment::{Fragment, Look, Shape},
    pictures::{Pictures, Subject, prose},
    queue::{DONE, notice},
    shell::{Section, Visit},
    words::{ago, number, said, time},
};

pub(super) use files::{bundle, report};
pub(super) use notes::add as add_note;

/// How long after its end an incident's closing may be recorded.
const CLOSED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// State, figures and what to do: what changes while an incident is open, and says how it ended.
pub(super) const INCIDENT: Fragment = Fragment {
    name: "incident",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(rendered(look, Shown::state)),
};

/// Which attempts fail and which work, as far as the last review has seen them.
pub(super) const PICTURE: Fragment = Fragment {
    name: "incident-picture",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(picture(look)),
};

/// What the page shows beside the pictures.
struct Shown {
    incident: Incident,
    finding: FindingView,
    /// The change that it follows, and the seconds between.
    follows: Option<(String, i64)>,
    /// Deliveries of the connector that wait for their next attempt now.
    waiting: u64,
    roll_back: Option<todo::RollBack>,
    /// Nodes that run.
    nodes: usize,
    /// The TLS policy to set for the connector, if it has another one.
    policy: Option<String>,
    now: Timestamp,
}

pub(super) async fn show(Path(id): Path<String>, mut asked: Asked, visit: Visit) -> Result<Response, Refusal> {
    let done = asked.take(DONE)?;
    asked.end()?;
    let incident = find(&visit.node, &id).await?;
    let id = incident.id.to_string();
    let notes = visit.node.store.notes(incident.id).await?;
    let shown = Shown::read(&visit.node, incident, visit.snapshot.at).await?;
    let (title, person) = (shown.headline(), &visit.person);
    let body = html! {
        nav.trail aria-label="Place" {
            a href="/incidents" { "Incidents" } " / " (said(&shown.incident.connector, person.right))
        }
        (notice(done.as_deref()))
        h1 { (said(&title, person.right)) }
        p.lead { (said(&shown.lead(), person.right)) }
        (visit.fragment(&INCIDENT, &id).await?)
        (visit.fragment(&PICTURE, &id).await?)
        section #evidence { (shown.evidence(person.right)) }
        section #notes { (notes::all(&notes, &shown.path(), person)) }
        (shown.forms(person))
    };
    Ok(visit.page(Section::Incidents, &title, &body))
}

/// The incident that a fragment is of; anybody may have written its id.
async fn of(look: &Look) -> store::Result<Option<Incident>> {
    match look.of.parse() {
        Ok(id) => look.snapshot.node.store.incident(id).await,
        Err(_) => Ok(None),
    }
}

async fn rendered(look: &Look, render: fn(&Shown, Right) -> Markup) -> store::Result<Markup> {
    let Some(incident) = of(look).await? else { return Ok(html! {}) };
    let shown = Shown::read(&look.snapshot.node, incident, look.snapshot.at).await?;
    Ok(render(&shown, look.right))
}

async fn picture(look: &Look) -> store::Result<Markup> {
    let Some(incident) = of(look).await? else { return Ok(html! {}) };
    let store = &look.snapshot.node.store;
    let stored = store.picture(incident.id).await?;
    let view: Option<PictureView> = stored.and_then(|json| serde_json::from_str(&json).ok());
    let Some(view) = view else {
        return Ok(html! {
            section #lanes {
                h2 { "Who fails and who does not" }
                p.quiet { "There is no picture of this incident yet, or an older version of Gatepost opened it." }
            }
        });
    };
    let finding = finding(&incident);
    let pictures = Pictures::read(store, view, subject(&incident, &finding, look.snapshot.at)).await?;
    Ok(pictures.sections(&finding, look.right, None))
}

fn finding(incident: &Incident) -> FindingView {
    serde_json::from_str(&incident.finding).unwrap_or_default()
}

fn subject<'a>(incident: &'a Incident, finding: &'a FindingView, now: Timestamp) -> Subject<'a> {
    // The change that says that it has ended is recorded a moment later.
    let until = incident.closed.and_then(|(at, _)| at.checked_add(CLOSED_WITHIN).ok()).unwrap_or(now);
    Subject { finding, connector: Some(&incident.connector), until }
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
        let finding = finding(&incident);
        let follows = subject(&incident, &finding, now).follows(&node.store).await?;
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
            follows: follows.map(|(mark, after)| (mark.what, after.as_secs())),
            waiting: counts.iter().filter(is_waiting).map(|count| count.deliveries).sum(),
            roll_back: plan.and_then(|(stored, rollout)| todo::RollBack::of(&finding, &stored, rollout)),
            nodes: node.store.members().await?.iter().filter(|member| member.lives).count(),
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

    fn state(&self, right: Right) -> Markup {
        html! {
            (self.figures(right))
            @if !self.is_open() { section #ended { (self.ended(right)) } }
            section #todo { (self.todo(right)) }
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
                @let connector = [("connector", &self.incident.connector)];
                @if right >= Right::Tracer {
                    a href=(link("/queue/list", connector)) { "All waiting mail of this connector" } " · "
                    a href=(link("/trace", connector)) { "Trace of this connector" }
                } @else {
                    a href=(link("/queue", connector)) { "Waiting mail of this connector, by cause" }
                }
            }
        }
    }
}
