//! The pictures of a finding on a page, with the changes that happened meanwhile.

use insight::{
    Drawing, Mark, counted,
    views::{FindingView, PictureView},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use store::{Backend, ChangeLog as _, ChangeQuery, Right};
use trace::{Change, ChangeKind};

use super::words::{foreign, said};

/// Changes that are read for one picture.
const CHANGES_MAX: u32 = 300;
/// How long before the first attempt changes are marked at least.
const BEFORE_MIN: SignedDuration = SignedDuration::from_secs(10);
/// How long before a finding began the change is looked for that it follows.
const REASON_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// A finding's pictures, ready to be drawn.
pub(super) struct Pictures {
    view: PictureView,
    marks: Vec<Mark>,
    /// Changes that are not marked.
    others: usize,
    /// Old and new TLS policy.
    rollout: Option<(String, String)>,
}

/// What a picture is of.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) finding: &'a FindingView,
    pub(super) connector: Option<&'a str>,
    /// Changes after this time are not marked.
    pub(super) until: Timestamp,
}

impl Pictures {
    pub(super) async fn read(store: &Backend, view: PictureView, subject: Subject<'_>) -> store::Result<Self> {
        let (Some(first), Some(last)) = (view.lanes.since, view.lanes.until) else {
            return Ok(Self { view, marks: Vec::new(), others: 0, rollout: None });
        };
        let margin = (last.duration_since(first) / 10).max(BEFORE_MIN);
        // A picture of the past is not squeezed by a long time in which nothing happened.
        let until = subject.until.max(last).min(last.saturating_add(margin * 5).unwrap_or(Timestamp::MAX));
        let query = ChangeQuery {
            since: first.checked_sub(margin).ok(),
            until: until.checked_add(SignedDuration::from_millis(1)).ok(),
            limit: CHANGES_MAX,
            ..ChangeQuery::default()
        };
        let mut changes = store.changes(query).await?;
        changes.retain(|change| subject.is_about(change));
        let rollout = changes.iter().find_map(|change| match &change.kind {
            ChangeKind::RolloutSet(step) => Some((step.from.clone(), step.to.clone())),
            _ => None,
        });
        let (marks, others) = Mark::few(Mark::of(&changes));
        Ok(Self { view, marks, others, rollout })
    }

    /// Sections with all pictures that there are. `number`: of this finding among those on the page.
    pub(super) fn sections(&self, finding: &FindingView, right: Right, number: Option<usize>) -> Markup {
        let text = |text: &str| said(text, right);
        let drawing = Drawing {
            picture: &self.view,
            text: &text,
            marks: &self.marks,
            rollout: self.rollout.as_ref().map(|(from, to)| (from.as_str(), to.as_str())),
        };
        let compared = drawing.compared(finding.scope.split.as_ref());
        // Below the heading of one of several findings, they are one level lower.
        let part = |name: &str, title: &str, content: Markup| {
            html! {
                section id=(number.map_or_else(|| name.to_owned(), |number| format!("{name}-{number}"))) {
                    @if number.is_some() { h3 { (title) } } @else { h2 { (title) } }
                    (content)
                }
            }
        };
        html! {
            (part("lanes", "Who fails and who does not", html! {
                (drawing.lanes())
                @if self.others > 0 {
                    p.quiet { (counted(self.others as u64, "more change")) " in this time: " a href="/settings/audit" { "audit" } "." }
                }
            }))
            @if !self.view.compared.is_empty() { (part("compared", "What differs and what does not", compared)) }
            @if self.view.pair.is_some() {
                (part("pair", "First difference", html! { (drawing.pair()) (self.sessions(right)) }))
            }
        }
    }

    /// Links to the two attempts, with what was said in them.
    fn sessions(&self, right: Right) -> Markup {
        let attempts = self.view.pair.iter().flat_map(|pair| [&pair.failed, &pair.worked]);
        let known = attempts.filter_map(|attempt| Some((attempt.message.as_deref()?, attempt.session.as_deref()?)));
        html! {
            @if right >= Right::Tracer {
                p.sessions {
                    @for (at, (message, session)) in known.enumerate() {
                        @if at > 0 { " · " }
                        a href=(format!("/messages/{}/attempts/{}", encoded(message), encoded(session))) {
                            "Session " (foreign(session))
                        }
                    }
                }
            }
        }
    }
}

impl Subject<'_> {
    fn is_about(&self, change: &Change) -> bool {
        match &change.kind {
            ChangeKind::DestinationChanged(destination) => {
                self.finding.scope.destination.starts_with(&format!("{}:", destination.host))
            }
            ChangeKind::IncidentOpened(incident) | ChangeKind::IncidentClosed { incident, .. } => {
                Some(incident.connector.as_str()) == self.connector
            }
            ChangeKind::QueueCommand(command) => {
                command.selection.connector.is_none() || command.selection.connector.as_deref() == self.connector
            }
            _ => true,
        }
    }

    /// The change that came last before it began, with the time between.
    pub(super) async fn follows(&self, store: &Backend) -> store::Result<Option<(Mark, SignedDuration)>> {
        let Some(began) = self.finding.first_seen else { return Ok(None) };
        let kinds = ["rollout-set", "configuration-applied", "reloaded", "destination-changed", "started"];
        let query = ChangeQuery {
            since: began.checked_sub(REASON_WITHIN).ok(),
            until: Some(began),
            kinds: kinds.map(str::to_owned).to_vec(),
            limit: CHANGES_MAX,
            ..ChangeQuery::default()
        };
        let mut changes = store.changes(query).await?;
        changes.retain(|change| self.is_about(change));
        let last = Mark::of(&changes).pop();
        Ok(last.map(|mark| (mark.clone(), began.duration_since(mark.at))))
    }
}

/// A sentence of Gatepost's own, in which commands and settings stand between backticks.
pub(super) fn prose(text: &str, right: Right) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (said(part, right)) } } @else { (said(part, right)) }
        }
    }
}

/// As a part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
