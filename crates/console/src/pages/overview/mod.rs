//! `/`: is mail flowing?

mod charts;
mod fleet;

use std::sync::Arc;

use axum::{extract::RawQuery, response::Response};
use insight::{Mark, Traffic, TrafficRange, WaitingByAge, views::NodeView};
use jiff::Timestamp;
use maud::{Markup, html};
use node::{Node, fleet::Rollout};
use store::{ChangeLog as _, ChangeQuery, Incident, Incidents as _, Right, TallyOutcome};

use super::{
    Refusal,
    incidents::as_sentence,
    pictures::{encoded, said},
    shell::{Section, Visit},
    words::{ago, number, time},
};
use crate::api::Query;

/// Open incidents that are shown; one is open for each cause of a connector.
const INCIDENTS_MAX: u32 = 200;
const INCIDENTS_SHOWN: usize = 5;
/// Changes that are read for the marks.
const CHANGES_MAX: u32 = 300;

/// All that the page shows, from one moment.
struct Glance {
    now: Timestamp,
    open: Vec<Incident>,
    traffic: Traffic,
    marks: Vec<Mark>,
    waiting: Vec<WaitingByAge>,
    nodes: Vec<NodeView>,
    rollout: Option<Rollout>,
    connectors: Vec<String>,
    /// The TLS policies that connectors name.
    policies: Vec<String>,
}

pub(super) async fn show(RawQuery(query): RawQuery, visit: Visit) -> Result<Response, Refusal> {
    let query = Query::read(query.as_deref(), &["range"]).map_err(Refusal::bad_request)?;
    let range = query.named("range", &TrafficRange::ALL, TrafficRange::name).map_err(Refusal::bad_request)?;
    let glance = Glance::read(&visit.node, range.unwrap_or_default()).await?;
    let right = visit.person.right;
    let body = html! {
        noscript { meta http-equiv="refresh" content="30"; }
        h1.hidden { "Overview" }
        div #flow { (glance.sentence()) }
        div #incidents { (glance.incidents(right)) }
        section #traffic { (glance.traffic()) }
        div.beside {
            section #waiting { (glance.waiting(right)) }
            section #nodes { (glance.nodes(right)) }
        }
        section #tls { (glance.tls()) }
    };
    Ok(visit.page(Section::Overview, "Overview", &body))
}

impl Glance {
    async fn read(node: &Arc<Node>, range: TrafficRange) -> Result<Self, Refusal> {
        let (now, store, config) = (Timestamp::now(), &node.store, node.config.load_full());
        let (mut open, traffic, waiting, nodes) = tokio::try_join!(
            store.incidents(INCIDENTS_MAX),
            Traffic::read(store, range, now),
            WaitingByAge::read(store, now),
            insight::nodes(store),
        )?;
        open.retain(|incident| incident.closed.is_none());
        let query = ChangeQuery { since: Some(traffic.since), limit: CHANGES_MAX, ..ChangeQuery::default() };
        let (marks, _) = Mark::few(Mark::of(&store.changes(query).await?));
        let plan = node::fleet::in_force(store).await.map_err(|error| Refusal::unreadable(&error))?;
        let mut policies: Vec<String> =
            config.connectors.iter().map(|connector| connector.tls_policy.clone()).collect();
        policies.sort();
        policies.dedup();
        Ok(Self {
            now,
            open,
            traffic,
            marks,
            waiting,
            nodes,
            rollout: plan.map(|(_, rollout)| rollout),
            connectors: config.connectors.iter().map(|connector| connector.name.clone()).collect(),
            policies,
        })
    }

    /// Whether mail flows.
    fn sentence(&self) -> Markup {
        let mut stuck: Vec<&str> = self.open.iter().map(|incident| incident.connector.as_str()).collect();
        stuck.sort_unstable();
        stuck.dedup();
        let connectors = self.connectors.len().max(stuck.len());
        let waiting: u64 = self.waiting.iter().map(WaitingByAge::all).sum();
        let silent: Vec<&str> =
            self.nodes.iter().filter(|node| fleet::is_silent(node)).map(|node| &*node.node).collect();
        let (accepted, delivered) =
            (self.traffic.total(TallyOutcome::Accepted), self.traffic.total(TallyOutcome::Delivered));
        html! {
            p.flow {
                @if !stuck.is_empty() {
                    span.key.fails {}
                    "Mail is stuck on " (stuck.len()) " of " (connectors) (if connectors == 1 { " connector." } else { " connectors." })
                } @else if accepted + delivered == 0 && waiting == 0 {
                    "No mail in the last " (self.traffic.range.in_words()) "."
                } @else {
                    span.key.works {} "Mail is flowing."
                    @if waiting > 0 { " " (number(waiting)) (if waiting == 1 { " delivery waits." } else { " deliveries wait." }) }
                }
                @if !silent.is_empty() { " " (if silent.len() == 1 { "Node " } else { "Nodes " }) (silent.join(", ")) (if silent.len() == 1 { " is silent." } else { " are silent." }) }
            }
            p.quiet { "As of " (time(self.now)) }
        }
    }

    fn incidents(&self, right: Right) -> Markup {
        let more = self.open.len().saturating_sub(INCIDENTS_SHOWN);
        html! {
            @for incident in self.open.iter().take(INCIDENTS_SHOWN) { (as_sentence(incident, right, self.now)) }
            @if more > 0 { p { a href="/incidents" { (more) " more open incidents" } } }
        }
    }

    fn waiting(&self, right: Right) -> Markup {
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
                                    a href=(format!("/queue/list?connector={}", encoded(&row.connector))) { (said(&row.connector, right)) }
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
