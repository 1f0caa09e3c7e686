//! `gatepost config apply`, `diff`, `history` and `rollback`: the configuration of a fleet.

use std::{io::Write, path::Path};

use anyhow::{Context as _, bail};
use insight::views::{ConfigDiffView, ConfigVersionView, NodeView};
use node::{
    apply::{Outcome, Proposal, propose},
    config::{File, FleetConfig, differences},
};
use serde_json::json;
use store::{Backend, ConfigurationRecord, Fleet as _, PostgresStore, StoredConfiguration};
use trace::NextStep;

use super::{
    arguments::{ApplyArguments, ConfigCommand, Format, Output},
    fleet_changes::{Shown, change_views, write_changes},
    operator,
    screen::Screen,
    similar::no_match,
    table::{Cell, Column, Table},
};

/// True if a node refuses the configuration, somebody else was faster, or there are differences.
pub(crate) async fn run(
    command: &ConfigCommand,
    path: &Path,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let own = File::read(path)?.parse()?;
    if own.store.url.is_none() {
        bail!(
            "the store is this node's data folder: there is one node, and its file is its configuration. Edit {}, \
             check it, and send SIGHUP to the node. To check: {}",
            path.display(),
            NextStep::ConfigCheck
        );
    }
    let store = node::attach(&own).await?;
    let result = match &store {
        Backend::Postgres(server) => on(command, server, screen, out).await,
        Backend::Sqlite(_) => Ok(false),
    };
    store.close().await;
    result
}

async fn on(
    command: &ConfigCommand,
    store: &PostgresStore,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    match command {
        ConfigCommand::Apply { file, how } => {
            let file = File::read_to_apply(file)?;
            let (config, own) = file.for_fleet()?;
            let shown = Shown { file: Some(&file), not_applied: own };
            apply(config, None, how, shown, store, screen, out).await
        }
        ConfigCommand::Rollback { version, how } => {
            let config = FleetConfig::from(stored(*version, store).await?);
            config.validate()?;
            let shown = Shown { file: None, not_applied: Vec::new() };
            apply(config, Some(*version), how, shown, store, screen, out).await
        }
        ConfigCommand::Diff { what, format } => diff(what.as_deref(), *format, store, screen, out).await,
        ConfigCommand::History { version: None, output } => history(*output, store, screen, out).await.map(|()| false),
        ConfigCommand::History { version: Some(version), output } => {
            let StoredConfiguration { record, toml } = stored(*version, store).await?;
            match output.format {
                Format::Table => write!(out, "{toml}")?,
                Format::Json => {
                    let view = ConfigVersionView { toml: Some(toml), ..views(vec![record], store).await?.remove(0) };
                    writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
                }
            }
            Ok(false)
        }
        // These need no store.
        ConfigCommand::Check { .. }
        | ConfigCommand::Show { .. }
        | ConfigCommand::Reference
        | ConfigCommand::Example => Ok(false),
    }
}

async fn stored(version: u64, store: &PostgresStore) -> anyhow::Result<StoredConfiguration> {
    let stored = store.configuration(version).await.context("failed to read the fleet's configuration")?;
    stored.with_context(|| {
        format!("the fleet's configuration has no version {version}; to see all versions: {}", NextStep::ConfigHistory)
    })
}

async fn apply(
    config: FleetConfig,
    repeats: Option<u64>,
    how: &ApplyArguments,
    shown: Shown<'_>,
    store: &PostgresStore,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let ApplyArguments { dry_run, comment, without, no_domains, format } = how;
    if config.accepts_no_domain() && !no_domains {
        bail!(
            "this configuration has no [[accepted_domain]]: every recipient would be refused with 550. Nothing was \
             applied. To do it anyway, add --no-domains"
        );
    }
    let members = store.members().await?;
    for name in without {
        if !members.iter().any(|member| member.name == *name) {
            return Err(no_match("no node is named", name, members.iter().map(|member| member.name.as_str())));
        }
    }
    // It is applied with this program, whichever wrote it first.
    let config = FleetConfig { program: env!("CARGO_PKG_VERSION").to_owned(), ..config };
    let proposal = Proposal {
        config: config.clone(),
        by: operator(),
        comment: comment.clone(),
        repeats,
        without: without.clone(),
        is_trial: *dry_run,
    };
    let proposed = propose(proposal, store).await?;
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&shown.view(&proposed, &config))?)?,
        Format::Table => shown.write(&proposed, &config, screen, out)?,
    }
    Ok(matches!(proposed.outcome, Outcome::Refused | Outcome::Overtaken))
}

/// True if there are differences.
async fn diff(
    what: Option<&str>,
    format: Format,
    store: &PostgresStore,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let newest = store.newest_configuration().await.context("failed to read the fleet's configuration")?;
    let newest = newest.map(FleetConfig::from);
    let (from, to) = match what.map(|what| what.parse::<u64>().map_err(|_| Path::new(what))) {
        Some(Ok(version)) => (newest, FleetConfig::from(stored(version, store).await?)),
        Some(Err(file)) => (newest, File::read_to_apply(file)?.for_fleet()?.0),
        None => {
            let Some(newest) = newest else { bail!("no configuration has been applied to the fleet yet") };
            let before = newest.version().unwrap_or(0).saturating_sub(1);
            (store.configuration(before).await?.map(FleetConfig::from), newest)
        }
    };
    let old = from.as_ref().map(FleetConfig::table).unwrap_or_default();
    let changes = differences(&old, &to.table());
    let is_same = from.as_ref().is_some_and(|from| from.toml == to.toml);
    match format {
        Format::Json => {
            let from = from.and_then(|from| from.version());
            let view = ConfigDiffView { from, to: to.version(), changes: change_views(&changes) };
            writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
        }
        Format::Table => write_changes(&changes, is_same, screen, out)?,
    }
    Ok(!is_same)
}

async fn views(records: Vec<ConfigurationRecord>, store: &PostgresStore) -> anyhow::Result<Vec<ConfigVersionView>> {
    let nodes = insight::nodes(store).await?;
    let view = |record: ConfigurationRecord| {
        let is_followed =
            |node: &NodeView| (node.config_version, node.config_applied) == (Some(record.version), Some(record.at));
        let follows = nodes.iter().filter(|node| node.state.runs() && is_followed(node)).count() as u64;
        let ConfigurationRecord { version, at, by, comment, repeats, program } = record;
        ConfigVersionView { version, at, by, comment, repeats, program, nodes: follows, toml: None }
    };
    Ok(records.into_iter().map(view).collect())
}

async fn history(output: Output, store: &PostgresStore, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::number("VERSION"),
        Column::whole("APPLIED"),
        Column::cut("BY", 6),
        Column::number("NODES"),
        Column::wrapped("COMMENT", 10),
    ];
    let records = store.configurations().await.context("failed to read the fleet's configuration")?;
    let versions = views(records, store).await?;
    match output.format {
        Format::Json => {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "versions": versions }))?)?);
        }
        Format::Table if versions.is_empty() => {
            return Ok(writeln!(out, "No versions: each node's file is its configuration.")?);
        }
        Format::Table => {}
    }
    let row = |version: &ConfigVersionView| {
        let again = version.repeats.map(|repeats| format!("version {repeats} again"));
        let comment: Vec<String> = again.into_iter().chain(version.comment.clone()).collect();
        vec![
            Cell::new(version.version.to_string()),
            Cell::time(version.at, screen),
            Cell::new(&version.by),
            Cell::new(version.nodes.to_string()),
            Cell::new(comment.join(": ")),
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    Ok(Table::new(&COLUMNS, screen).write(&rows, out)?)
}
