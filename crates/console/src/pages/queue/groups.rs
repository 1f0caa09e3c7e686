//! `/queue`: one line for each group, because 61 rows that say the same are one fact.

use axum::response::Response;
use insight::{By, GroupView, Summary, WaitReasons, Wanted};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::text::clean;
use store::{Incident, Right};

use super::{
    DONE, NotRead,
    act::{buttons, form_of_buttons},
    deliveries, filter, notice, rows_link, shown,
};
use crate::{
    choice,
    pages::{
        Refusal,
        asked::{Asked, link},
        fragment::{Fragment, Look, Shape, Snapshot},
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

/// The deliveries that match, in groups.
struct Groups {
    by: By,
    choice: insight::Choice,
    /// The first line.
    from: usize,
    views: Vec<GroupView>,
    open_incidents: Vec<Incident>,
    now: Timestamp,
}

/// Of a question, as after the `?` of the page.
pub(in crate::pages) const GROUPS: Fragment = Fragment {
    name: "queue-groups",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(fragment(look)),
};

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let done = asked.take(DONE)?;
    let (right, of) = (visit.person.right, asked.question());
    let groups = Groups::read(&visit.snapshot, right, asked).await?;
    let own = [("by", groups.by.name().to_owned())];
    let body = html! {
        h1 { "Queue" }
        (notice(done.as_deref()))
        (GROUPS.around(&of, &groups.fragment(right)))
        @if visit.person.may(Right::Operator) { (form_of_buttons(&visit.person, &groups.path())) }
        (filter::form(&visit, "/queue", &own, &groups.choice))
    };
    Ok(visit.page(Section::Queue, "Queue", &body))
}

async fn fragment(look: &Look) -> store::Result<Markup> {
    let groups = Groups::read(&look.snapshot, look.right, Asked::of(&look.of)).await;
    shown(groups.map(|groups| groups.fragment(look.right)))
}

fn read_by(text: Option<&str>) -> Result<By, Refusal> {
    let Some(text) = text else { return Ok(By::Cause) };
    let found = DIMENSIONS.into_iter().find(|by| by.name() == text);
    found.ok_or_else(|| Refusal::bad_request(format!("by: must be one of {}", DIMENSIONS.map(By::name).join(", "))))
}

impl Groups {
    async fn read(snapshot: &Snapshot, right: Right, mut asked: Asked) -> Result<Self, NotRead> {
        let by = read_by(asked.take("by")?.as_deref())?;
        let from = asked.take("from")?.map_or(Ok(0), |from| from.parse());
        let from = from.map_err(|_| Refusal::bad_request("from: must be a number"))?;
        let choice = filter::read(right, &asked)?;
        let (node, now) = (&snapshot.node, snapshot.at);
        let config = node.config.load_full();
        let reasons = WaitReasons::read(&node.store, &*config, now).await?;
        let wanted = Wanted::new(&choice.conditions, &reasons, now);
        let summary = Summary::read(&node.store, choice.selection.clone(), wanted, Some(by), now).await?;
        let open_incidents = open_incidents(snapshot).await?;
        Ok(Self { by, choice, from, views: summary.views(&[]), open_incidents, now })
    }

    /// What changes while somebody looks.
    fn fragment(&self, right: Right) -> Markup {
        let all: u64 = self.views.iter().map(|group| group.deliveries).sum();
        let messages = self.views.iter().map(|group| group.messages).sum::<u64>();
        let oldest = self.views.iter().map(|group| group.oldest).min();
        html! {
            section {
                p.lead {
                    @match oldest {
                        None if self.choice.is_everything() => "The queue is empty.",
                        None => "No delivery in the queue meets these conditions.",
                        Some(oldest) => {
                            b { (deliveries(all)) } " in the queue"
                            // A message with several recipients may be in several groups.
                            @if self.views.len() == 1 { ", of " (number(messages)) @if messages == 1 { " message" } @else { " messages" } }
                            ". The oldest was received " (ago(oldest, self.now)) " ago."
                        }
                    }
                }
                (filter::conditions("/queue", &[("by", self.by.name().to_owned())], &self.choice))
                (self.tabs())
                @if !self.views.is_empty() { (self.table(right)) (self.more()) }
            }
        }
    }

    fn tabs(&self) -> Markup {
        html! {
            nav.tabs aria-label="Group the queue" {
                span.quiet { "Group by" }
                @for by in DIMENSIONS { a href=(self.path_by(by)) aria-current=[(by == self.by).then_some("page")] { (by.name()) } }
            }
        }
    }

    fn table(&self, right: Right) -> Markup {
        let may_act = right >= Right::Operator;
        html! {
            table.stack.queue {
                thead {
                    tr {
                        th scope="col" { (insight::capitalised(self.by.name())) }
                        th.number scope="col" { "Deliveries" }
                        th scope="col" { "Oldest" }
                        th scope="col" { "Next attempt" }
                        @if may_act { th scope="col" { "Actions" } }
                    }
                }
                tbody { @for group in self.views.iter().skip(self.from).take(GROUPS_MAX) { (self.line(right, group)) } }
            }
        }
    }

    fn line(&self, right: Right, group: &GroupView) -> Markup {
        let choice = self.choice.of_group(self.by, &group.group);
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

    /// The page itself, without what comes after its first lines.
    fn path(&self) -> String {
        self.path_by(self.by)
    }

    fn path_by(&self, by: By) -> String {
        link("/queue", [("by", by.name().to_owned())].into_iter().chain(choice::fields(&self.choice)))
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
        let connector = list(&group.connectors).filter(|_| self.by != By::Connector);
        let destination = list(&group.destinations).filter(|_| self.by != By::Destination);
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
        let end = self.from + GROUPS_MAX;
        let fields = [("by", self.by.name().to_owned()), ("from", end.to_string())];
        html! {
            @if end < self.views.len() {
                p {
                    "Groups " (self.from + 1) " to " (end) " of " (number(self.views.len() as u64)) ". "
                    a href=(link("/queue", fields.into_iter().chain(choice::fields(&self.choice)))) { "Next groups" }
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
            let choice = insight::Choice { selection: selection.clone(), ..Default::default() };
            assert_eq!(rows_link(&choice.of_group(by, name)), expected);
        }
    }
}
