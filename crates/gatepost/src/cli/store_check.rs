//! `gatepost store check`: how the fleet's PostgreSQL server does, and what asks for attention.

use std::io::Write;

use anyhow::bail;
use insight::views::{NextSchemaView, NodeSchemaView, StandbyView, StoreCheckView};
use store::{Backend, Fleet as _};

use super::{
    arguments::{Format, Output},
    screen::{Screen, clean, grouped, paragraph, size, wrapped},
    table::{Cell, Column, Table},
};

/// True if something asks for attention.
pub(crate) async fn run(output: Output, store: &Backend, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Backend::Postgres(server) = store else {
        bail!("the store is this node's data folder, and needs no check; a fleet's store is set in [store] url");
    };
    let restoration = store.restoration().await?;
    let nodes = insight::nodes(store).await?;
    let check = StoreCheckView::new(&server.health().await?, &nodes, restoration.as_ref());
    match output.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&check)?)?,
        Format::Table => write(&check, screen, out)?,
    }
    Ok(!check.warnings.is_empty())
}

fn write(check: &StoreCheckView, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("TABLE"), Column::number("ROWS"), Column::number("DEAD ROWS"), Column::number("SIZE")];
    writeln!(out, "PostgreSQL {}, tables of version {}\n", clean(&check.version), check.schema)?;
    let rows = check.tables.iter().map(|table| {
        vec![
            Cell::new(&table.table),
            Cell::new(grouped(table.rows)),
            Cell::new(grouped(table.dead_rows)),
            Cell::new(size(table.bytes)),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)?;
    let oldest = check.oldest_transaction_seconds.map_or_else(|| "none".to_owned(), |age| format!("{age} s"));
    let of_others = if check.sees_all { "" } else { " (those of other users are not visible: grant pg_monitor)" };
    let standbys = match check.standbys.iter().map(standby).collect::<Vec<_>>() {
        standbys if standbys.is_empty() => "none".to_owned(),
        standbys => standbys.join("; "),
    };
    let next = format!("Tables of version {}", check.next_schema.version);
    let bodies = check.bodies.as_ref().map_or_else(
        || "in the database".to_owned(),
        |bodies| {
            let (needed, gone) = (grouped(bodies.needed), grouped(bodies.gone));
            format!("{} ({needed} needed, {gone} to be deleted)", clean(&bodies.place))
        },
    );
    writeln!(out)?;
    for (what, value) in [
        ("Oldest open transaction", format!("{oldest}{of_others}")),
        ("Write-ahead log", format!("{} per second", size(check.wal_bytes_per_second))),
        ("Connections", format!("{} of {}", check.connections, check.connections_max)),
        ("Standbys", standbys),
        ("Nodes", nodes(check)),
        (&next, next_schema(check)),
        ("Bodies above the limit", bodies),
    ] {
        wrapped(&value, &format!("{what:25}"), &" ".repeat(25), screen, out)?;
    }
    for warning in &check.warnings {
        paragraph(&format!("{}: {}", warning.warning, warning.what), "", screen, out)?;
    }
    Ok(())
}

/// With their versions of Gatepost.
fn nodes(check: &StoreCheckView) -> String {
    let node = |NodeSchemaView { node, version, schema }: &NodeSchemaView| {
        let version = version.as_deref().unwrap_or("version unknown");
        let schema = schema.map_or_else(String::new, |schema| format!(", knows tables of version {schema}"));
        format!("{} ({}{schema})", clean(node), clean(version))
    };
    let nodes: Vec<String> = check.nodes.iter().map(node).collect();
    if nodes.is_empty() { "none is running".to_owned() } else { nodes.join("; ") }
}

fn next_schema(check: &StoreCheckView) -> String {
    match &check.next_schema {
        NextSchemaView { behind, .. } if !behind.is_empty() => {
            format!("not yet: first update {}", clean(&behind.join(", ")))
        }
        _ => "may follow, once a Gatepost that has them starts".to_owned(),
    }
}

fn standby(standby: &StandbyView) -> String {
    let kind = match standby.synchronous {
        Some(true) => "synchronous",
        Some(false) => "asynchronous",
        None => "state not visible to this user",
    };
    let behind = standby.behind_bytes.map_or_else(String::new, |bytes| format!(", {} behind", size(bytes)));
    format!("{} ({kind}{behind})", clean(&standby.name))
}
