//! `gatepost store migrate`: moves the mail of a data folder to a PostgreSQL server, or back.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::bail;
use node::config::{Config, Store};
use serde_json::json;
use store::{Migration, MigrationProgress, Moved, PostgresSettings};
use trace::NextStep;

use super::{
    arguments::{Format, MigrateArguments},
    screen::{Screen, clean, counted, grouped, paragraph},
};

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    arguments: &MigrateArguments,
    config: Option<&Config>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (folder, server) = ends(arguments, config)?;
    let migration = Migration::new(&folder, &server);
    let mut shown = Shown::default();
    let result = match arguments.undo {
        true => migration.undo(|progress| shown.show(progress)).await,
        false => migration.run(|progress| shown.show(progress)).await,
    };
    shown.end();
    let moved = result?;
    let folder = folder.display().to_string();
    match (arguments.format, arguments.undo) {
        (Format::Json, _) => {
            let Moved { server, messages, deliveries, events, copied_before } = moved;
            let result = json!({
                "server": server, "folder": folder, "messages": messages, "deliveries": deliveries, "events": events,
                "copied_before": copied_before,
            });
            Ok(writeln!(out, "{result}")?)
        }
        (Format::Table, false) => write_moved(&moved, &folder, screen, out),
        (Format::Table, true) => {
            let text = format!("{} has its mail again, and {} is empty.", clean(&folder), clean(&moved.server));
            paragraph(&text, "", screen, out)?;
            Ok(paragraph("Remove [store] from the configuration, and start the node.", "", screen, out)?)
        }
    }
}

/// From where to where.
fn ends(arguments: &MigrateArguments, config: Option<&Config>) -> anyhow::Result<(PathBuf, PostgresSettings)> {
    let mut settings = config.map_or_else(Store::default, |config| config.store.clone());
    if let Some(url) = &arguments.to {
        settings.url = Some(url.clone());
    }
    let Some(server) = node::server(&settings)? else {
        bail!("no server is named; name one with --to postgres://USER@HOST/DATABASE, or in [store] url");
    };
    match arguments.from.as_ref().or(config.map(|config| &config.node.data)) {
        Some(folder) => Ok((folder.clone(), server)),
        None => bail!("no folder is named; name one with --from, or in [node] data"),
    }
}

fn write_moved(moved: &Moved, folder: &str, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let Moved { server, messages, deliveries, events, .. } = moved;
    let what = format!(
        "{}, {} and {}",
        counted(*messages, "message", "messages"),
        counted(*deliveries, "delivery", "deliveries"),
        counted(*events, "event", "events")
    );
    let text = format!("Moved and compared: {what}, from {} to {}.", clean(folder), clean(server));
    paragraph(&text, "", screen, out)?;
    let text = "Start the node with that server in [store] url. The folder keeps its copy, which no node uses. As long \
                as nothing has changed on the server, this moves the mail back:";
    paragraph(text, "", screen, out)?;
    let undo = NextStep::MigrateBack { folder: folder.to_owned(), server: server.clone() };
    Ok(writeln!(out, "\n  {undo}")?)
}

/// Progress in one line that is overwritten, on a terminal only.
#[derive(Default)]
struct Shown {
    at: Option<Instant>,
}

impl Shown {
    fn show(&mut self, progress: MigrationProgress) {
        let (what, done, total) = match progress {
            MigrationProgress::Copied { done, total } => ("copied", done, total),
            MigrationProgress::Verified { done, total } => ("compared", done, total),
            MigrationProgress::FolderMarked => return,
        };
        let is_due = self.at.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL) || done == total;
        if is_due && io::stderr().is_terminal() {
            eprint!("\r{} of {} messages {what}   ", grouped(done), grouped(total));
            self.at = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.at.is_some() {
            note!("");
        }
    }
}
