//! `gatepost changes`: what was done to the fleet, by whom, and what has changed about destinations.

use std::io::Write;

use anyhow::Context as _;
use insight::{change_cursor_text, json, views::FleetChangeView};
use store::{ChangeCursor, Store};
use trace::Change;

use super::{
    arguments::{ChangesArguments, Format},
    screen::{Screen, counted},
    table::{Cell, Column, Table},
};

pub(crate) async fn run<S: Store>(
    arguments: &ChangesArguments,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let query = arguments.search().query(screen.now)?;
    let (changes, next) = insight::changes(store, query).await.context("failed to read the changes")?;
    match arguments.output.format {
        Format::Table => list(&changes, next, screen, out),
        Format::Json => {
            let mut list = json::List::open("changes", out)?;
            changes.iter().try_for_each(|change| list.push(&FleetChangeView::from(change)))?;
            let next = serde_json::to_string(&next.map(change_cursor_text))?;
            Ok(list.close(&format!(", \"next\": {next}"))?)
        }
    }
}

fn list(changes: &[Change], next: Option<ChangeCursor>, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("TIME"), Column::cut("NODE", 8), Column::cut("WHO", 8), Column::wrapped("WHAT", 24)];
    if changes.is_empty() {
        return Ok(writeln!(out, "No changes.")?);
    }
    let row = |change: &Change| {
        vec![
            Cell::time(change.at, screen),
            Cell::new(change.node.as_deref().unwrap_or("fleet")),
            Cell::new(&change.who),
            Cell::new(change.kind.to_string()),
        ]
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    Table::new(&COLUMNS, screen).write(&rows, out)?;
    if let Some(next) = next {
        let shown = counted(changes.len() as u64, "change", "changes");
        writeln!(out, "Showing {shown}; there are more. Next page: --after {}", change_cursor_text(next))?;
    }
    Ok(())
}
