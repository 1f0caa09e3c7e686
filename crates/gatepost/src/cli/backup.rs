//! `gatepost backup` and `gatepost restore`.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use node::config::Config;
use serde_json::json;
use store::{Backend, PostgresError, Restored, SqliteStore, StoreError};

use super::{
    arguments::{BackupArguments, Format},
    operator,
    screen::grouped,
};

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn backup(arguments: &BackupArguments, store: &Backend, out: &mut dyn Write) -> anyhow::Result<()> {
    let (expected, growing) = store.backup_size(&arguments.folder).await?;
    let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
    let backup = store.backup(&arguments.folder);
    tokio::pin!(backup);
    let (file, bytes) = loop {
        tokio::select! {
            done = &mut backup => break done?,
            _ = progress.tick() => show_progress(&growing, expected),
        }
    };
    end_progress();
    match arguments.format {
        Format::Json => writeln!(out, "{}", json!({ "file": file, "bytes": bytes }))?,
        Format::Table => {
            writeln!(out, "Backup complete and checked: {}, {} MiB.", file.display(), bytes.div_ceil(1 << 20))?
        }
    }
    Ok(())
}

/// Shows progress in one line that is overwritten, on a terminal only.
fn show_progress(growing: &Path, expected: u64) {
    if io::stderr().is_terminal() {
        let bytes = fs::metadata(growing).map_or(0, |metadata| metadata.len());
        eprint!("\r{} MiB of about {} MiB ", bytes >> 20, expected >> 20);
    }
}

fn end_progress() {
    if io::stderr().is_terminal() {
        note!("");
    }
}

pub(crate) fn restore(arguments: &BackupArguments, config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    if config.store.url.is_some() {
        return Err(StoreError::from(PostgresError::Backup).into());
    }
    let Restored { suspended } = SqliteStore::restore(&arguments.folder, &config.node.data, &operator())?;
    if arguments.format == Format::Json {
        return Ok(writeln!(out, "{}", json!({ "suspended": suspended }))?);
    }
    writeln!(out, "Restored to {}.", config.node.data.display())?;
    match suspended {
        0 => Ok(writeln!(out, "No deliveries are waiting in its queue.")?),
        1 => Ok(writeln!(out, "1 delivery in its queue is suspended. {RESUME}")?),
        more => Ok(writeln!(out, "{} deliveries in its queue are suspended. {RESUME}", grouped(more))?),
    }
}

const RESUME: &str = "Gatepost may have delivered
some of them after the backup and would deliver them a second time. Look through
the queue (gatepost queue list), remove the messages that have arrived, and then
resume the rest:

  gatepost queue resume --all";
