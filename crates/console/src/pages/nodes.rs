//! `/nodes`, `/nodes/{name}`: the fleet, and one node. Operators drain a node here, and resume it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{Redirect, Response},
};
use insight::{
    Outcomes, counted, outcomes,
    views::{NodeStateView, NodeView, RefusedConfigView},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use node::{Node, fleet::Status};
use store::{ChangeLog as _, ChangeQuery, ConnectorReport, Fleet as _, Right, TallyBy};

use super::{
    Refusal,
    asked::Asked,
    form::{Form, form},
    fragment::{Fragment, Look, Shape},
    outcome_table::{Group, outcome_table},
    paths::segment,
    shell::{Section, Visit},
    words::{ago, change_text, foreign, number, said, time},
};

/// Nodes that stopped or fell silent longer ago are shown on request only, as in `gatepost node list`.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(24);
const TALLIED: SignedDuration = SignedDuration::from_hours(24);
const CHANGES_MAX: u32 = 20;
/// What the buttons do, before they are pressed.
const DRAIN: &str = "A drained node takes no new mail within a few seconds: it answers new connections with 421, so that \
    senders go to another node. It finishes what it holds, and stays drained until it is resumed.";
const RESUME: &str = "A resumed node takes mail again within a few seconds.";

/// The nodes of the last day, as they are now.
pub(super) const OF_TODAY: Fragment =
    Fragment { name: "nodes", needs: Right::Viewer, shape: Shape::Block, render: |look| Box::pin(of_today(look)) };

async fn of_today(look: &Look) -> store::Result<Markup> {
    let now = look.snapshot.at;
    let nodes = look.snapshot.nodes().await?;
    Ok(table(&nodes.iter().filter(|node| is_of_today(node, now)).collect::<Vec<_>>(), now))
}

pub(super) async fn list(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let now = visit.snapshot.at;
    let all = asked.take("all")?.is_some();
    let nodes = visit.snapshot.nodes().await?;
    let hidden = nodes.iter().filter(|node| !all && !is_of_today(node, now)).count();
    let restored = insight::unanswered(&visit.node.store).await?;
    let body = html! {
        h1 { "Nodes" }
        @if let Some(restored) = restored { p.notice { "Restored: " (foreign(&restored.to_string())) "." } }
        @if all { (table(&nodes.iter().collect::<Vec<_>>(), now)) } @else { (visit.fragment(&OF_TODAY, "").await?) }
        @if hidden > 0 {
            p { a href="/nodes?all=yes" { (counted(hidden as u64, "node")) " that stopped more than a day ago" } }
        }
    };
    Ok(visit.page(Section::Nodes, "Nodes", &body))
}

fn is_of_today(node: &NodeView, now: Timestamp) -> bool {
    node.state.runs() || node.drained.is_some() || node.last_seen >= now - SHOWN_FOR
}

fn table(nodes: &[&NodeView], now: Timestamp) -> Markup {
    html! {
        @if nodes.is_empty() { p { "No node has run within the last day." } } @else {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Node" } th scope="col" { "State" } th scope="col" { "Version" }
                        th scope="col" { "Configuration" } th.number scope="col" { "Deliveries" }
                        th.number scope="col" { "Connections" } th scope="col" { "Machine" } th scope="col" { "Last seen" }
                    }
                }
                tbody {
                    @for node in nodes {
                        tr {
                            th scope="row" { a href=(format!("/nodes/{}", segment(&node.node))) { (foreign(&node.node)) } }
                            td data-label="State" { (state(node)) }
                            td data-label="Version" { (foreign(node.version.as_deref().unwrap_or("unknown"))) }
                            td data-label="Configuration" { (configuration(node)) }
                            td.number data-label="Deliveries" { (number(node.deliveries)) }
                            td.number data-label="Connections" { (number(node.connections.into())) }
                            td data-label="Machine" { (foreign(&node.host)) }
                            td data-label="Last seen" { (ago(node.last_seen, now)) " ago" }
                        }
                    }
                }
            }
        }
    }
}

/// A mark, and the word.
fn state(node: &NodeView) -> Markup {
    let (class, word) = match node.state {
        NodeStateView::Running => ("works", "running"),
        NodeStateView::Draining => ("waits", "draining"),
        NodeStateView::Drained => ("waits", "drained"),
        NodeStateView::Silent => ("fails", "silent"),
        NodeStateView::Stopped if node.drained.is_some() => ("skipped", "stopped, drained"),
        NodeStateView::Stopped => ("skipped", "stopped"),
    };
    html! { span class=(format!("key {class}")) {} (word) }
}

/// The version of the fleet's configuration that it follows.
fn configuration(node: &NodeView) -> Markup {
    html! {
        @match node.config_version { Some(version) => { "version " (version) }, None => "its own file" }
        @if let Some(refused) = &node.config_refused { ", " strong.fails { "not " (refused.version) } }
    }
}

pub(super) async fn show(visit: Visit, Path(name): Path<String>) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let store = &visit.node.store;
    let nodes = insight::nodes(store).await?;
    let view = nodes.iter().find(|node| node.node == name).ok_or_else(|| missing(&name))?;
    let status = Status::read(store, now).await.map_err(|error| Refusal::unreadable(&format!("{error:#}")))?;
    let report = store.reports().await?.into_iter().find(|report| report.node == name && report.at >= view.started);
    let tried = outcomes(store, &[TallyBy::Node, TallyBy::Connector], now - TALLIED, Timestamp::MAX).await?;
    let tried: Vec<Outcomes> =
        tried.into_iter().filter(|one| one.values.first().is_some_and(|node| *node == name)).collect();
    let query = ChangeQuery { node: Some(name.clone()), limit: CHANGES_MAX, ..ChangeQuery::default() };
    let changes = store.changes(query).await?;
    let connectors = report.map(|report| report.connectors).unwrap_or_default();
    let body = html! {
        p.kicker { a href="/nodes" { "Nodes" } " / " (foreign(&name)) }
        h1 { (foreign(&name)) }
        div #node { (facts(view, &status, now)) }
        (actions(&visit, view))
        (load(&connectors, visit.person.right, now))
        section {
            h2 { "Attempts in the last 24 hours" }
            @if tried.is_empty() { p { "No attempts." } } @else { (outcome_table("Connector", &by_connector(&tried))) }
        }
        section {
            h2 { "Changes" }
            @if changes.is_empty() { p { "No changes." } }
            ol.changes {
                @for change in &changes {
                    li {
                        span.quiet { (time(change.at)) ", " (said(&change.who, visit.person.right)) }
                        span { (change_text(&change.kind, visit.person.right)) }
                    }
                }
            }
        }
    };
    Ok(visit.page(Section::Nodes, &format!("Node {name}"), &body))
}

fn missing(name: &str) -> Refusal {
    Refusal::not_found(format!("No node is named \"{}\".", protocol::text::clean(name)))
}

fn by_connector(tried: &[Outcomes]) -> Vec<Group> {
    let group = |one: &Outcomes| {
        let name = one.values.get(1).cloned().unwrap_or_default();
        Group { rows: vec![(name.clone(), one.failed, one.worked)], name }
    };
    tried.iter().map(group).collect()
}

fn facts(node: &NodeView, status: &Status, now: Timestamp) -> Markup {
    let policy = status.rollout().map(|rollout| if rollout.moves(&node.node) { &rollout.to } else { &rollout.from });
    html! {
        dl.figures {
            div { dt { "State" } dd { (state(node)) } }
            div { dt { "Last seen" } dd { (ago(node.last_seen, now)) " ago" } }
            div { dt { "Deliveries in progress" } dd { (number(node.deliveries)) } }
            div { dt { "Open connections" } dd { (number(node.connections.into())) } }
            @if let Some(policy) = policy { div { dt { "TLS policy of the rollout" } dd { a href="/rollout" { (foreign(policy)) } } } }
        }
        dl.pairs {
            dt { "Plan" }
            dd { @match node.plan_version { Some(version) => { "version " (version) }, None => "none" } }
            dt { "Configuration" }
            dd {
                (configuration(node))
                @if let Some(applied) = node.config_applied { ", applied " (time(applied)) }
            }
            dt { "Gatepost" }
            dd { (foreign(node.version.as_deref().unwrap_or("unknown"))) @if let Some(schema) = node.schema { ", tables " (schema) } }
            dt { "Machine" }
            dd { (foreign(&node.host)) ", process " (node.process) }
            dt { "Listens on" }
            dd { (node.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
            dt { "Started" }
            dd { (time(node.started)) ", " (ago(node.started, now)) " ago" }
            @if let (Some(at), Some(by)) = (node.drained, &node.drained_by) { dt { "Drained" } dd { (time(at)) " by " (foreign(by)) } }
        }
        @if let Some(RefusedConfigView { version, why }) = &node.config_refused {
            section.notice {
                h2 { "It cannot follow version " (version) " of the fleet's configuration" }
                ul { @for why in why { li { (foreign(why)) } } }
            }
        }
    }
}

fn actions(visit: &Visit, node: &NodeView) -> Markup {
    let (act, what, word) = match node.drained {
        None => ("drain", DRAIN, "Drain"),
        Some(_) => ("resume", RESUME, "Resume"),
    };
    let button = html! { button { (word) " " (foreign(&node.node)) } };
    html! {
        @if visit.person.may(Right::Operator) {
            section {
                h2 { (word) }
                p { (what) }
                (form(&visit.person, &format!("/nodes/{}/{act}", segment(&node.node)), &button))
            }
        }
    }
}

fn load(connectors: &[ConnectorReport], right: Right, now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Connectors" }
            @if connectors.is_empty() { p { "The node has not reported any connector." } } @else {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "Connector" } th.number scope="col" { "Connections" } th.number scope="col" { "At most" }
                            th scope="col" { "State" }
                        }
                    }
                    tbody {
                        @for connector in connectors {
                            tr {
                                th scope="row" { a href=(format!("/connectors/{}", segment(&connector.name))) { (foreign(&connector.name)) } }
                                td.number data-label="Connections" { (connector.connections) }
                                td.number data-label="At most" { (connector.connections_max) }
                                td data-label="State" { (connector_state(connector, right, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn connector_state(connector: &ConnectorReport, right: Right, now: Timestamp) -> Markup {
    match (&connector.backed_off, &connector.limited) {
        (Some(pause), _) if pause.until > now => html! {
            span.key.waits {} "paused, next attempt in " (ago(pause.until, now)) ": " (said(&pause.failure.summary(), right))
        },
        (_, Some(_)) => html! { span.key.waits {} "at its limit" },
        _ => html! { span.key.works {} "ready" },
    }
}

pub(super) async fn drain(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Redirect, Refusal> {
    set(&node, &name, true, &form.person.name).await
}

pub(super) async fn resume(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Redirect, Refusal> {
    set(&node, &name, false, &form.person.name).await
}

async fn set(node: &Node, name: &str, is_drained: bool, by: &str) -> Result<Redirect, Refusal> {
    match node.store.drain(name, is_drained, by).await? {
        true => Ok(Redirect::to(&format!("/nodes/{}", segment(name)))),
        false => Err(missing(name)),
    }
}
