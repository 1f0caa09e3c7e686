//! `/`: is mail flowing?

mod charts;
mod fleet;

use axum::response::Response;
use insight::{Mark, Traffic, TrafficRange, WaitingByAge};
use jiff::Timestamp;
use maud::{Markup, html};
use store::{Backend, ChangeLog as _, ChangeQuery, Incident, Right, TallyOutcome};

use super::{
    Refusal,
    asked::{Asked, link},
    fragment::{Fragment, Look, Shape},
    incidents::as_sentence,
    pictures::{encoded, said},
    shell::{Section, Visit},
    words::{ago, foreign, number},
};

/// Open incidents that are shown.
const INCIDENTS_SHOWN: usize = 5;
/// Changes that are read for the marks.
const CHANGES_MAX: u32 = 300;

/// What the page shows of the past, and what waits.
struct Glance {
    now: Timestamp,
    traffic: Traffic,
    marks: Vec<Mark>,
    waiting: Vec<WaitingByAge>,
}

/// Whether mail flows.
pub(super) const SENTENCE: Fragment = Fragment {
    name: "overview-sentence",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(sentence(look)),
};

pub(super) const INCIDENTS: Fragment = Fragment {
    name: "overview-incidents",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(incidents(look)),
};

pub(super) const NODES: Fragment = Fragment {
    name: "overview-nodes",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(fleet::nodes(look)),
};

pub(super) async fn show(mut asked: Asked, visit: Visit) -> Result<Response, Refusal> {
    let range = asked.take("range")?.map(|name| range(&name)).transpose()?;
    asked.end()?;
    let glance = Glance::read(&visit.node.store, range.unwrap_or_default(), visit.snapshot.at).await?;
    let right = visit.person.right;
    let body = html! {
        (visit.fragment(&SENTENCE, "").await?)
        (visit.fragment(&INCIDENTS, "").await?)
        section #traffic { (glance.traffic()) }
        div.beside {
            section #waiting { (glance.waiting(right)) }
            section { (visit.fragment(&NODES, "").await?) }
        }
        section #tls { (glance.tls()) }
    };
    Ok(visit.page(Section::Overview, "Overview", &body))
}

fn range(name: &str) -> Result<TrafficRange, Refusal> {
    let found = TrafficRange::ALL.into_iter().find(|range| range.name() == name);
    found.ok_or_else(|| Refusal::bad_request("range: must be one of 1h, 24h, 7d"))
}

async fn sentence(look: &Look) -> store::Result<Markup> {
    let snapshot = &look.snapshot;
    let mut stuck: Vec<&str> = open(snapshot.incidents().await?).map(|incident| incident.connector.as_str()).collect();
    stuck.sort_unstable();
    stuck.dedup();
    let connectors = snapshot.node.config.load().connectors.len().max(stuck.len());
    let silent: Vec<&str> =
        snapshot.nodes().await?.iter().filter(|node| fleet::is_silent(node)).map(|node| &*node.node).collect();
    let lately = snapshot.last_hour().await?;
    let moved = lately.total(TallyOutcome::Accepted) + lately.total(TallyOutcome::Delivered);
    // Unknown while the store does not answer in time.
    let queues = snapshot.figures().await.map(|figures| &figures.queues);
    let waiting: Option<u64> =
        queues.map(|queues| queues.values().flat_map(|queue| queue.states()).map(|(_, count)| count).sum());
    Ok(html! {
        h1.flow {
            @if !stuck.is_empty() {
                span.key.fails {}
                "Mail is stuck on " (stuck.len()) " of " (connectors) (if connectors == 1 { " connector." } else { " connectors." })
            } @else if moved == 0 && waiting == Some(0) {
                "No mail in the last hour."
            } @else if moved == 0 {
                "No mail was accepted or delivered in the last hour."
            } @else {
                span.key.works {} "Mail is flowing."
            }
            @match waiting {
                None | Some(0) => {}
                Some(1) => " 1 delivery is in the queue.",
                Some(waiting) => { " " (number(waiting)) " deliveries are in the queue." }
            }
            @if !silent.is_empty() { " " (if silent.len() == 1 { "Node " } else { "Nodes " }) (foreign(&silent.join(", "))) (if silent.len() == 1 { " is silent." } else { " are silent." }) }
        }
    })
}

async fn incidents(look: &Look) -> store::Result<Markup> {
    let open: Vec<&Incident> = open(look.snapshot.incidents().await?).collect();
    let more = open.len().saturating_sub(INCIDENTS_SHOWN);
    Ok(html! {
        @for incident in open.iter().take(INCIDENTS_SHOWN) { (as_sentence(incident, look.right, look.snapshot.at)) }
        @if more > 0 { p { a href="/incidents" { (more) " more open incidents" } } }
    })
}

fn open(incidents: &[Incident]) -> impl Iterator<Item = &Incident> {
    incidents.iter().filter(|incident| incident.closed.is_none())
}

impl Glance {
    async fn read(store: &Backend, range: TrafficRange, now: Timestamp) -> Result<Self, Refusal> {
        let (traffic, waiting) = tokio::try_join!(Traffic::read(store, range, now), WaitingByAge::read(store, now))?;
        let query = ChangeQuery { since: Some(traffic.since), limit: CHANGES_MAX, ..ChangeQuery::default() };
        let (marks, _) = Mark::few(Mark::of(&store.changes(query).await?));
        Ok(Self { now, traffic, marks, waiting })
    }

    fn waiting(&self, right: Right) -> Markup {
        // Rows have addresses; groups have none.
        let rows = if right >= Right::Tracer { "/queue/list" } else { "/queue" };
        html! {
            h2 { "Waiting" }
            @if self.waiting.is_empty() { p { "No mail is waiting." } }
            @else {
                table.ages {
                    thead {
                        tr {
                            th scope="col" { "Connector" }
                            th scope="col" { "All" }
                            @for age in WaitingByAge::AGES { th scope="col" { (age) } }
                        }
                    }
                    tbody {
                        @for row in &self.waiting {
                            tr {
                                th scope="row" {
                                    a href=(link(rows, [("connector", &row.connector)])) { (said(&row.connector, right)) }
                                    " " span.quiet { "oldest " (ago(row.oldest, self.now)) }
                                }
                                td data-label="All" { b { (number(row.all())) } }
                                @for (count, age) in row.deliveries.iter().zip(WaitingByAge::AGES) {
                                    td data-label=(age) { @if *count == 0 { "–" } @else { (number(*count)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn tls(&self) -> Markup {
        let all: u64 = self.traffic.tls.iter().map(|(_, count)| count).sum();
        html! {
            h2 { "TLS to destinations" }
            @if all == 0 { p { "Nothing was delivered in the last " (self.traffic.range.in_words()) "." } }
            @else {
                dl.figures {
                    @for (protection, count) in &self.traffic.tls {
                        div {
                            dt { (protection) }
                            dd { (format!("{:.1}%", 100.0 * *count as f64 / all as f64)) " " span.quiet { (number(*count)) } }
                        }
                    }
                }
            }
            p { a href="/policies" { "Ledger of deliveries with little protection" } }
        }
    }
}
