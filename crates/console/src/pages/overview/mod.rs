//! `/`: is mail flowing?

mod charts;
mod fleet;

use axum::response::Response;
use insight::{TrafficRange, WaitingByAge};
use maud::{Markup, html};
use store::{Incident, Right, TallyOutcome};

use super::{
    Refusal,
    asked::{Asked, link},
    fragment::{Fragment, Look, Shape},
    incidents::as_sentence,
    pictures::encoded,
    shell::{Section, Visit},
    words::{ago, foreign, number, said},
};

/// Open incidents that are shown.
const INCIDENTS_SHOWN: usize = 5;
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

/// Of a range, by its name.
pub(super) const TRAFFIC: Fragment = Fragment {
    name: "overview-traffic",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(charts::traffic(look)),
};

pub(super) const WAITING: Fragment = Fragment {
    name: "overview-waiting",
    needs: Right::Viewer,
    shape: Shape::Block,
    render: |look| Box::pin(waiting(look)),
};

/// Of a range, by its name.
pub(super) const TLS: Fragment =
    Fragment { name: "overview-tls", needs: Right::Viewer, shape: Shape::Block, render: |look| Box::pin(tls(look)) };

pub(super) async fn show(mut asked: Asked, visit: Visit) -> Result<Response, Refusal> {
    let range = asked.take("range")?.map(|name| range(&name)).transpose()?;
    asked.end()?;
    let range = range.unwrap_or_default().name();
    let body = html! {
        (visit.fragment(&SENTENCE, "").await?)
        (visit.fragment(&INCIDENTS, "").await?)
        section { (visit.fragment(&TRAFFIC, range).await?) }
        div.beside {
            section { (visit.fragment(&WAITING, "").await?) }
            section { (visit.fragment(&NODES, "").await?) }
        }
        section { (visit.fragment(&TLS, range).await?) }
    };
    Ok(visit.page(Section::Overview, "Overview", &body))
}

fn named(name: &str) -> Option<TrafficRange> {
    TrafficRange::ALL.into_iter().find(|range| range.name() == name)
}

fn range(name: &str) -> Result<TrafficRange, Refusal> {
    named(name).ok_or_else(|| Refusal::bad_request("range: must be one of 1h, 24h, 7d"))
}

async fn sentence(look: &Look) -> store::Result<Markup> {
    let snapshot = &look.snapshot;
    let mut stuck: Vec<&str> = open(snapshot.incidents().await?).map(|incident| incident.connector.as_str()).collect();
    stuck.sort_unstable();
    stuck.dedup();
    let connectors = snapshot.node.config.load().connectors.len().max(stuck.len());
    let silent: Vec<&str> =
        snapshot.nodes().await?.iter().filter(|node| fleet::is_silent(node)).map(|node| &*node.node).collect();
    let lately = snapshot.traffic(TrafficRange::Hour).await?;
    let (accepted, delivered) = (lately.total(TallyOutcome::Accepted), lately.total(TallyOutcome::Delivered));
    // Unknown while the store does not answer in time.
    let queues = snapshot.figures().await.map(|figures| &figures.queues);
    let waiting: Option<u64> =
        queues.map(|queues| queues.values().flat_map(|queue| queue.states()).map(|(_, count)| count).sum());
    Ok(html! {
        h1.flow {
            @if !stuck.is_empty() {
                span.key.fails {}
                "Mail is stuck on " (stuck.len()) " of " (connectors) (if connectors == 1 { " connector." } else { " connectors." })
            } @else if delivered > 0 {
                span.key.works {} "Mail is flowing."
            } @else if accepted > 0 {
                "Mail was accepted in the last hour, and none was delivered."
            } @else {
                "No mail in the last hour."
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

async fn waiting(look: &Look) -> store::Result<Markup> {
    let (now, right) = (look.snapshot.at, look.right);
    // Rows have addresses; groups have none.
    let rows = if right >= Right::Tracer { "/queue/list" } else { "/queue" };
    let waiting = WaitingByAge::read(&look.snapshot.node.store, now).await?;
    Ok(html! {
        h2 { "Waiting" }
        @if waiting.is_empty() { p { "No mail is waiting." } }
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
                    @for row in &waiting {
                        tr {
                            th scope="row" {
                                a href=(link(rows, [("connector", &row.connector)])) { (said(&row.connector, right)) }
                                " " span.quiet { "oldest " (ago(row.oldest, now)) }
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
    })
}

async fn tls(look: &Look) -> store::Result<Markup> {
    let traffic = look.snapshot.traffic(named(&look.of).unwrap_or_default()).await?;
    let all: u64 = traffic.tls.iter().map(|(_, count)| count).sum();
    Ok(html! {
        h2 { "TLS to destinations" }
        @if all == 0 { p { "Nothing was delivered in the last " (traffic.range.in_words()) "." } }
        @else {
            dl.figures {
                @for (protection, count) in &traffic.tls {
                    div {
                        dt { (protection) }
                        dd { (format!("{:.1}%", 100.0 * *count as f64 / all as f64)) " " span.quiet { (number(*count)) } }
                    }
                }
            }
        }
        p { a href="/policies" { "Ledger of deliveries with little protection" } }
    })
}
