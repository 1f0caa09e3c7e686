//! `gatepost node`: shows the nodes of the fleet, drains a node and resumes it.

use std::{io::Write, time::Duration};

use anyhow::{anyhow, bail};
use insight::views::{NodeStateView, NodeView, RefusedConfigView};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::json;
use store::{Store, StoreError};
use trace::NextStep;

use super::{
    arguments::{Format, NodeCommand},
    counted, operator,
    screen::{Colour, Screen, clean, paragraph},
    similar::no_match,
    table::{Cell, Column, Table},
};

/// Nodes that stopped or fell silent longer ago are shown on request only.
const SHOWN_FOR_HOURS: i64 = 24;
/// Interval at which a waiting command asks the store.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// A node reports every 2 seconds. The clock of this machine may differ a little from the store's.
const QUIET: SignedDuration = SignedDuration::from_secs(6);

pub(crate) async fn run<S: Store>(
    command: &NodeCommand,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        NodeCommand::List { all, output } => {
            let mut nodes = insight::nodes(store).await?;
            nodes.retain(|node| *all || is_of_today(node, screen));
            match output.format {
                Format::Table => {
                    list(&nodes, screen, out)?;
                    if let Some(restored) = insight::unanswered(store).await? {
                        writeln!(out)?;
                        paragraph(&format!("Restored: {restored}."), "", screen, out)?;
                    }
                    Ok(())
                }
                Format::Json => Ok(writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "nodes": nodes }))?)?),
            }
        }
        NodeCommand::Drain { name, wait } => drain(name, *wait, store, screen, out).await,
        NodeCommand::Resume { name } => {
            set(store, name, false).await?;
            Ok(writeln!(out, "{} may take mail again.", clean(name))?)
        }
    }
}

fn is_of_today(node: &NodeView, screen: &Screen) -> bool {
    let is_there = !matches!(node.state, NodeStateView::Silent | NodeStateView::Stopped);
    is_there || node.drained.is_some() || node.last_seen >= screen.now - SHOWN_FOR_HOURS.hours()
}

fn list(nodes: &[NodeView], screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 8] = [
        Column::cut("NODE", 8),
        Column::whole("STATE"),
        Column::whole("VERSION").spare(1),
        Column::whole("CONFIG").spare(4),
        Column::number("DELIVERIES"),
        Column::number("CONNECTIONS").spare(2),
        Column::cut("HOST", 8).spare(3),
        Column::whole("LAST SEEN"),
    ];
    if nodes.is_empty() {
        return Ok(writeln!(out, "No node has run within the last day.")?);
    }
    let row = |node: &NodeView| {
        let (state, colour) = match node.state {
            NodeStateView::Running => ("running", None),
            NodeStateView::Draining => ("draining", Some(Colour::Yellow)),
            NodeStateView::Drained => ("drained", Some(Colour::Yellow)),
            NodeStateView::Silent => ("silent", Some(Colour::Red)),
            NodeStateView::Stopped if node.drained.is_some() => ("stopped, drained", Some(Colour::Yellow)),
            NodeStateView::Stopped => ("stopped", None),
        };
        vec![
            Cell::new(&node.node),
            match colour {
                Some(colour) => Cell::coloured(state, colour),
                None => Cell::new(state),
            },
            Cell::new(node.version.as_deref().unwrap_or("unknown")),
            config(node),
            Cell::new(node.deliveries.to_string()),
            Cell::new(node.connections.to_string()),
            Cell::new(&node.host),
            Cell::new(format!("{} ago", screen.age(node.last_seen))),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    Table::new(&COLUMNS, screen).write(&rows, out)?;
    write_refused(nodes, screen, out)?;
    let drained = nodes.iter().filter_map(|node| Some((node, node.drained?, node.drained_by.as_deref()?)));
    for (index, (node, at, by)) in drained.enumerate() {
        if index == 0 {
            writeln!(out)?;
        }
        let step = NextStep::NodeResume(node.node.clone());
        let (name, at, by) = (clean(&node.node), screen.time(at), clean(by));
        paragraph(&format!("{name} was drained on {at} by {by}. To let it take mail again: {step}"), "", screen, out)?;
    }
    Ok(())
}

/// The version of the fleet's configuration that the node follows.
fn config(node: &NodeView) -> Cell {
    let version = node.config_version.map_or_else(|| "file".to_owned(), |version| version.to_string());
    match &node.config_refused {
        Some(refused) => Cell::coloured(format!("{version}, not {}", refused.version), Colour::Red),
        None => Cell::new(version),
    }
}

fn write_refused(nodes: &[NodeView], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let refused = nodes.iter().filter(|node| node.state.runs());
    for (node, RefusedConfigView { version, why }) in
        refused.filter_map(|node| Some((node, node.config_refused.as_ref()?)))
    {
        let kept = match node.config_version {
            Some(kept) if kept >= *version => format!("keeps version {kept} from before the database was restored"),
            Some(version) => format!("keeps version {version}"),
            None => "goes by its own file".to_owned(),
        };
        let (name, why) = (clean(&node.node), clean(&why.join("; ")));
        let text = format!("{name} cannot follow version {version} of the fleet's configuration, and {kept}: {why}");
        writeln!(out)?;
        paragraph(&text, "", screen, out)?;
    }
    Ok(())
}

/// Drains a node, or takes that back.
async fn set<S: Store>(store: &S, name: &str, is_drained: bool) -> anyhow::Result<()> {
    let found = store.drain(name, is_drained, &operator()).await.map_err(|error| match error {
        StoreError::Unknown { .. } => {
            anyhow!("{error}. Look with `{}`, or give the command again", NextStep::NodeList)
        }
        error => error.into(),
    })?;
    if found {
        return Ok(());
    }
    let members = store.members().await?;
    Err(no_match("no node is named", name, members.iter().map(|member| member.name.as_str())))
}

async fn drain<S: Store>(
    name: &str,
    waits: bool,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    set(store, name, true).await?;
    if waits {
        wait(name, store).await?;
    }
    let shown = clean(name);
    match find(store, name).await?.state {
        NodeStateView::Stopped | NodeStateView::Silent => {
            writeln!(out, "{shown} is not running. When it starts, it takes no mail.")?;
        }
        NodeStateView::Drained => writeln!(out, "{shown} is drained and has nothing left to do.")?,
        NodeStateView::Running | NodeStateView::Draining => {
            writeln!(out, "{shown} takes no new mail within a few seconds, and finishes what it holds.")?;
            paragraph(&format!("To see when it is done: {}", NextStep::NodeList), "", screen, out)?;
        }
    }
    let step = NextStep::NodeResume(name.to_owned());
    Ok(paragraph(&format!("To let it take mail again: {step}"), "", screen, out)?)
}

async fn find<S: Store>(store: &S, name: &str) -> anyhow::Result<NodeView> {
    let nodes = insight::nodes(store).await?;
    match nodes.into_iter().find(|node| node.node == name) {
        Some(node) => Ok(node),
        None => bail!("node {} is not in the store any more", clean(name)),
    }
}

/// Waits until the node has finished its deliveries, or does not run any more. Says on standard error how many are left.
async fn wait<S: Store>(name: &str, store: &S) -> anyhow::Result<()> {
    let (mut told, mut is_silent) = (None, false);
    loop {
        let node = find(store, name).await?;
        match node.state {
            NodeStateView::Drained | NodeStateView::Stopped => return Ok(()),
            NodeStateView::Running => bail!("somebody else has resumed {}", clean(name)),
            NodeStateView::Silent => bail!(
                "{} has not reported for 30 seconds; other nodes take over its deliveries when their leases end",
                clean(name)
            ),
            NodeStateView::Draining if node.deliveries == 0 || told == Some(node.deliveries) => {}
            NodeStateView::Draining => {
                told = Some(node.deliveries);
                note!("{}: {} to finish", clean(name), counted(node.deliveries, "delivery", "deliveries"));
            }
        }
        let silence = Timestamp::now().duration_since(node.last_seen);
        if !is_silent && silence > QUIET {
            is_silent = true;
            note!(
                "{} has not reported for {} seconds; if it has died, this is known after 30 seconds",
                clean(name),
                silence.as_secs()
            );
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
