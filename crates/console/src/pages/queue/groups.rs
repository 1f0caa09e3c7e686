//! `/queue`: one line for each group, because 61 rows that say the same are one fact.

use axum::response::Response;
use insight::{By, Choice, GroupView, Summary, WaitReasons, Wanted};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{Incident, Right};

use super::{
    DONE,
    act::{buttons, form_of_buttons},
    deliveries, filter, live, notice, rows_link,
};
use crate::{
    choice,
    pages::{
        Refusal,
        asked::{Asked, link},
        fragment::{Fragment, Look, Shape},
        incidents::{open_incidents, to_incident},
        shell::{Section, Visit},
        words::{ago, clock, foreign, number},
    },
};

/// Lines of one page.
const GROUPS_MAX: usize = 30;
/// Incidents that a line names.
const INCIDENTS_MAX: usize = 3;

const DIMENSIONS: [By; 4] = [By::Cause, By::Connector, By::Destination, By::Age];

/// What changes while somebody looks; of the question of the page, as in its address.
pub(in crate::pages) const GROUPS: Fragment = Fragment {
    name: "queue-groups",
    needs: Right::Viewer,
    shape: Shape::Rows,
    render: |look| Box::pin(fragment(look)),
};

/// What the page is asked for.
struct Question {
    by: By,
    /// The first line.
    from: usize,
    choice: Choice,
}

/// The deliveries that match, in groups.
struct Groups {
    question: Question,
    views: Vec<GroupView>,
    open_incidents: Vec<Incident>,
    now: Timestamp,
}

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let done = asked.take(DONE)?;
    let question = Question::read(visit.person.right, &mut asked)?;
    let own = [("by", question.by.name().to_owned())];
    let body = html! {
        h1 { "Queue" }
        (notice(done.as_deref()))
        (live(&visit, &GROUPS, &question.path_from()).await?)
        @if visit.person.may(Right::Operator) { (form_of_buttons(&visit.person, &question.path())) }
        (filter::form(&visit, "/queue", &own, &question.choice))
    };
    Ok(visit.page(Section::Queue, "Queue", &body))
}

async fn fragment(look: &Look) -> store::Result<Markup> {
    // Somebody else than the page may have written it.
    let Ok(question) = Question::read(look.right, &mut Asked::read(&look.of)) else { return Ok(html! {}) };
    let (snapshot, now) = (&look.snapshot, look.snapshot.at);
    let (store, config) = (&snapshot.node.store, snapshot.node.config.load_full());
    let reasons = WaitReasons::read(store, &*config, now).await?;
    let wanted = Wanted::new(&question.choice.conditions, &reasons, now);
    let summary = Summary::read(store, question.choice.selection.clone(), wanted, Some(question.by), now).await?;
    let open_incidents = open_incidents(snapshot).await?;
    Ok(Groups { question, views: summary.views(&[]), open_incidents, now }.show(look.right))
}

impl Question {
    fn read(right: Right, asked: &mut Asked) -> Result<Self, Refusal> {
        let by = read_by(asked.take("by")?.as_deref())?;
        let from = asked.take("from")?.map_or(Ok(0), |from| from.parse());
        let from = from.map_err(|_| Refusal::bad_request("from: must be a number"))?;
        Ok(Self { by, from, choice: filter::read(right, asked)? })
    }

    /// The page itself, without what comes after its first lines.
    fn path(&self) -> String {
        self.path_by(self.by, 0)
    }

    fn path_from(&self) -> String {
        self.path_by(self.by, self.from)
    }

    fn path_by(&self, by: By, from: usize) -> String {
        let from = (from > 0).then(|| ("from", from.to_string()));
        let own = [("by", by.name().to_owned())].into_iter().chain(from);
        link("/queue", own.chain(choice::fields(&self.choice)))
    }
}

fn read_by(text: Option<&str>) -> Result<By, Refusal> {
    let Some(text) = text else { return Ok(By::Cause) };
    let found = DIMENSIONS.into_iter().find(|by| by.name() == text);
    found.ok_or_else(|| Refusal::bad_request(format!("by: must be one of {}", DIMENSIONS.map(By::name).join(", "))))
}

impl Groups {
    /// The sentence is a row, so that it changes although rows stay.
    fn show(&self, right: Right) -> Markup {
        let all: u64 = self.views.iter().map(|group| group.deliveries).sum();
        let oldest = self.views.iter().map(|group| group.oldest).min();
        let choice = &self.question.choice;
        html! {
            p.lead data-row="total" {
                @match oldest {
                    None if choice.is_everything() => "The queue is empty.",
                    None => "No delivery in the queue meets these conditions.",
                    Some(oldest) => {
                        @if right >= Right::Tracer { b { a href=(rows_link(choice)) { (deliveries(all)) } } } @else { b { (deliveries(all)) } }
                        " in the queue. The oldest was received " (ago(oldest, self.now)) " ago."
                    }
                }
            }
            (filter::conditions("/queue", &[("by", self.question.by.name().to_owned())], choice))
            (self.tabs())
            @if !self.views.is_empty() { (self.table(right)) (self.more()) }
        }
    }

    fn tabs(&self) -> Markup {
        html! {
            nav.tabs aria-label="Group the queue" {
                span.quiet { "Group by" }
                @for by in DIMENSIONS { a href=(self.question.path_by(by, 0)) aria-current=[(by == self.question.by).then_some("page")] { (by.name()) } }
            }
        }
    }

    fn table(&self, right: Right) -> Markup {
        let may_act = right >= Right::Operator;
        html! {
            table.stack.queue {
                thead {
                    tr {
                        th scope="col" { (insight::capitalised(self.question.by.name())) }
                        th.number scope="col" { "Deliveries" }
                        th scope="col" { "Oldest" }
                        th scope="col" { "Next attempt" }
                        @if may_act { th scope="col" { "Actions" } }
                    }
                }
                tbody { @for group in self.views.iter().skip(self.question.from).take(GROUPS_MAX) { (self.line(right, group)) } }
            }
        }
    }

    fn line(&self, right: Right, group: &GroupView) -> Markup {
        let choice = self.question.choice.of_group(self.question.by, &group.group);
        let count = number(group.deliveries);
        html! {
            tr data-row=(clean(&group.group)) {
                th scope="row" {
                    span.key.fails[self.has_failed(group)].waits[!self.has_failed(group)] {} " "
                    @if right >= Right::Tracer { a href=(rows_link(&choice)) { (foreign(&group.what)) } }
                    @else { (foreign(&group.what)) }
                    (self.whereto(group))
                    @for incident in self.incidents_of(group) { " " (to_incident(incident)) }
                }
                td.number data-label="Deliveries" { (count) }
                td.short data-label="Oldest" { (ago(group.oldest, self.now)) }
                td data-label="Next attempt" { (self.next_attempt(group)) }
                @if right >= Right::Operator { td.actions { (buttons(right, &choice, group.deliveries)) } }
            }
        }
    }

    /// Open incidents of its connectors.
    fn incidents_of(&self, group: &GroupView) -> impl Iterator<Item = &Incident> {
        let is_of_group = |incident: &&Incident| group.connectors.contains(&incident.connector);
        self.open_incidents.iter().filter(is_of_group).take(INCIDENTS_MAX)
    }

    fn has_failed(&self, group: &GroupView) -> bool {
        !group.destinations.is_empty()
    }

    /// The ends of the deliveries, as far as the group does not name them.
    fn whereto(&self, group: &GroupView) -> Markup {
        let list = |names: &[String]| match names {
            [] => None,
            [one] => Some(one.clone()),
            [one, others @ ..] => Some(format!("{one} and {} more", others.len())),
        };
        let connector = list(&group.connectors).filter(|_| self.question.by != By::Connector);
        let destination = list(&group.destinations).filter(|_| self.question.by != By::Destination);
        let parts: Vec<String> = [connector, destination].into_iter().flatten().collect();
        html! { @if !parts.is_empty() { " " span.quiet { (foreign(&parts.join(" → "))) } } }
    }

    fn next_attempt(&self, group: &GroupView) -> Markup {
        html! {
            @match group.due {
                None => span.quiet { "none" },
                Some(due) if due <= self.now => "now",
                Some(due) => { (clock(due, self.now)) " " span.quiet { "in " (ago(due, self.now)) } }
            }
        }
    }

    fn more(&self) -> Markup {
        let Question { by, from, .. } = self.question;
        let end = from.saturating_add(GROUPS_MAX);
        html! {
            @if end < self.views.len() {
                p {
                    "Groups " (from + 1) " to " (end) " of " (number(self.views.len() as u64)) ". "
                    a href=(self.question.path_by(by, end)) { "Next groups" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_leads_to_its_own_deliveries() {
        let selection = store::Selection { connector: Some("a".to_owned()), ..Default::default() };
        for (by, name, expected) in [
            (By::Cause, "rcpt-451", "/queue/list?connector=a&cause=rcpt-451"),
            (By::Connector, "b", "/queue/list?connector=b"),
            (By::Destination, "mx.test:25", "/queue/list?connector=a&destination=mx.test%3A25"),
            (By::Age, "1 to 4 hours", "/queue/list?connector=a&older_than=1h&younger_than=4h"),
        ] {
            let choice = Choice { selection: selection.clone(), ..Default::default() };
            assert_eq!(rows_link(&choice.of_group(by, name)), expected);
        }
    }
}
