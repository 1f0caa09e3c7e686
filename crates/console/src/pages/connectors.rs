//! `/connectors/{name}`: settings of a connector, what came of its attempts, and whether mail can leave by it.

use axum::{extract::Path, response::Response};
use insight::{outcomes, views::ConnectorView};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use node::config::Config;
use store::{Fleet as _, NodeReport, Queue as _, Right, TallyBy};

use super::{
    Refusal,
    jobs::{probe_button, validation_form},
    outcome_table::{Group, outcome_table},
    paths::segment,
    shell::{Section, Visit},
    words::{foreign, number},
};

const TALLIED: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn table(config: &Config) -> Markup {
    let connectors = node::connectors(config);
    html! {
        section {
            h2 { "Connectors" }
            table.stack {
                thead { tr { th scope="col" { "Connector" } th scope="col" { "Hosts" } th scope="col" { "TLS" } th scope="col" { "Policy" } th scope="col" { "Domains" } } }
                tbody {
                    @for connector in &connectors {
                        tr {
                            th scope="row" { a href=(format!("/connectors/{}", segment(&connector.name))) { (foreign(&connector.name)) } }
                            td data-label="Hosts" { (hosts(connector)) }
                            td data-label="TLS" { (tls(connector)) }
                            td data-label="Policy" { (foreign(&connector.tls_policy)) }
                            td data-label="Domains" { (domains(connector)) }
                        }
                    }
                }
            }
        }
    }
}

fn hosts(connector: &ConnectorView) -> Markup {
    let is_mx = connector.hosts.iter().any(|host| host == "mx");
    html! {
        @if is_mx { "MX records of each domain" } @else {
            @for (at, host) in connector.hosts.iter().enumerate() {
                @if at > 0 { ", " }
                a href=(format!("/destinations/{}", segment(host))) { (foreign(host)) }
            }
        }
    }
}

fn tls(connector: &ConnectorView) -> Markup {
    html! { (connector.tls) @if connector.falls_back { ", plaintext after a failed handshake" } }
}

/// The first ones, because a connector may have thousands.
fn domains(connector: &ConnectorView) -> Markup {
    const SHOWN_MAX: usize = 3;
    let shown: Vec<&str> = connector.domains.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = connector.domains.len().saturating_sub(SHOWN_MAX);
    html! {
        @if shown.is_empty() { "–" } @else { (foreign(&shown.join(", "))) }
        @if more > 0 { " and " (number(more as u64)) " more" }
    }
}

pub(super) async fn show(visit: Visit, Path(name): Path<String>) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let config = visit.node.config.load_full();
    let connector = node::connectors(&config).into_iter().find(|connector| connector.name == name);
    let connector = connector
        .ok_or_else(|| Refusal::not_found(format!("No connector is named \"{}\".", protocol::text::clean(&name))))?;
    let store = &visit.node.store;
    let reports = store.reports().await?;
    let counts = store.counts().await?;
    let waiting: u64 = counts.iter().filter(|count| count.connector == name).map(|count| count.deliveries).sum();
    let tried =
        outcomes(store, &[TallyBy::Connector, TallyBy::TlsPolicy, TallyBy::Node], now - TALLIED, Timestamp::MAX);
    let tried = by_policy(&name, &tried.await?);
    let is_probable = connector.hosts.iter().all(|host| host != "mx");
    let nodes = store.members().await?.iter().filter(|member| member.lives).count();
    let body = html! {
        p.kicker { a href="/destinations" { "Destinations and connectors" } " / " (foreign(&name)) }
        h1 { "Connector " (foreign(&name)) }
        div #connector { (facts(&connector, waiting, &reports)) }
        @if visit.person.may(Right::Operator) {
            section {
                h2 { "Validate" }
                p { "Connects to each host from this node, and shows each step: resolve, connect, STARTTLS, certificate, and with a recipient RCPT. It sends no mail unless you ask for a test message." }
                (validation_form(&visit, &name))
                @if is_probable { div.buttons { (probe_button(&visit, "connector", &name, nodes)) } }
            }
        }
        section {
            h2 { "Attempts in the last 24 hours" }
            @if tried.is_empty() { p { "No attempts." } } @else { (outcome_table("TLS policy, node", &tried)) }
        }
    };
    Ok(visit.page(Section::Destinations, &format!("Connector {name}"), &body))
}

fn by_policy(connector: &str, tried: &[insight::Outcomes]) -> Vec<Group> {
    let of = tried.iter().filter(|one| one.values.first().is_some_and(|name| name == connector));
    let mut groups: Vec<Group> = Vec::new();
    for one in of {
        let [_, policy, node] = one.values.as_slice() else { continue };
        let row = (node.clone(), one.failed, one.worked);
        match groups.last_mut().filter(|group| group.name == *policy) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { name: policy.clone(), rows: vec![row] }),
        }
    }
    groups
}

fn facts(connector: &ConnectorView, waiting: u64, reports: &[NodeReport]) -> Markup {
    let of = |report: &NodeReport| {
        report.connectors.iter().find(|one| one.name == connector.name).map(|one| one.connections)
    };
    let open: u32 = reports.iter().filter_map(of).sum();
    html! {
        dl.figures {
            div { dt { "In the queue" } dd { a href=(format!("/queue?connector={}", segment(&connector.name))) { (number(waiting)) } } }
            div { dt { "Open connections" } dd { (open) " of " (connector.concurrency) } }
            div { dt { "TLS" } dd { (tls(connector)) } }
            div { dt { "Policy" } dd { (foreign(&connector.tls_policy)) } }
        }
        dl.pairs {
            dt { "Hosts" } dd { (hosts(connector)) }
            dt { "Domains" } dd { (domains(connector)) }
            @if let Some(rate) = &connector.rate { dt { "Limit" } dd { (foreign(rate)) } }
        }
    }
}
