//! Moves an embedded store to a server: queue, history and all else that outlives its nodes.
//!
//! ```text
//!   folder locked ──> server marked "copying" ──> batches: COPY, with what was read of them, in one transaction each
//!     ──> each batch read again there, and compared ──> folder marked "moved" ──> server marked "complete"
//!   undo: unchanged since? ──> server emptied, marked "undone" ──> folder marked as its mail's place again
//! ```
//!
//! Invariants: no node uses a folder that is marked "moved", nor a server that is marked "copying". At any moment, at most
//! one of them may be used. A batch and its row of `migration_batch` are written together, so that what was interrupted
//! goes on after the last of them. A folder that was written to meanwhile has forgotten which copy was begun, and the
//! copy begins from nothing.

pub(crate) mod facts;
pub(crate) mod fault;
pub(crate) mod progress;
pub(crate) mod tables;

use std::{fs, path::Path};

use facts::{Content, Counting, Fact};
pub use fault::MigrationError;
pub use progress::Progress;
use tables::{DELIVERIES, EVENTS, MAIL, OTHERS, OtherTable, UNCOMPARED};

use crate::{
    PostgresSettings, Result, SqliteStore, WITNESS_FILE,
    postgres::migration::{Begun, Origin, Target},
    sqlite::source::{Batch, Source},
};

/// A migration from a data folder to a PostgreSQL server.
#[derive(Clone, Copy, Debug)]
pub struct Migration<'a> {
    folder: &'a Path,
    server: &'a PostgresSettings,
    batch: u32,
}

/// What was moved, from the folder or back to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Without a password.
    pub server: String,
    pub messages: u64,
    pub deliveries: u64,
    pub events: u64,
    /// Messages that an earlier run had copied.
    pub copied_before: u64,
}

/// Messages of one batch.
const BATCH: u32 = 1000;

impl<'a> Migration<'a> {
    pub fn new(folder: &'a Path, server: &'a PostgresSettings) -> Self {
        Self { folder, server, batch: BATCH }
    }

    /// With fewer messages in a batch, to interrupt it between them.
    #[doc(hidden)]
    pub fn in_batches_of(self, batch: u32) -> Self {
        Self { batch, ..self }
    }

    /// Moves all of it, or what an earlier run has left. May be dropped at any moment, and run again.
    pub async fn run(&self, mut progress: impl FnMut(Progress)) -> Result<Moved> {
        let mut source = Source::open(self.folder)?;
        let target = Target::open(self.server).await?;
        let copy = source.begin(target.server())?;
        let origin = Origin { copy, folder: self.folder.display().to_string() };
        let copied_before = match target.begin(&origin).await? {
            Begun::Complete => return Err(source.moved_already()),
            Begun::Copying { messages, .. } if messages > 0 => messages,
            Begun::Copying { .. } => 0,
        };
        self.copy(&source, &target, &mut progress).await?;
        target.verify(&self.folder.display().to_string(), &mut progress).await?;
        source.mark_moved(target.server())?;
        self.forget_server();
        progress(Progress::FolderMarked);
        let moved = moved(&target, copied_before).await?;
        target.complete().await?;
        source.close();
        Ok(moved)
    }

    /// What the node of this folder has seen of a server before is of no use: a move makes another store of that server, and
    /// after an undo the mail may move to another one.
    fn forget_server(&self) {
        let _ = fs::remove_file(self.folder.join(WITNESS_FILE));
    }

    async fn copy(&self, source: &Source, target: &Target, progress: &mut impl FnMut(Progress)) -> Result<()> {
        target.make_days(&source.days()?).await?;
        let total = source.messages()?;
        let (mut after, mut done) = match target.copied().await? {
            Some(copied) => (copied.last, copied.messages),
            None => {
                copy_others(source, target).await?;
                (0, 0)
            }
        };
        progress(Progress::Copied { done, total });
        while let Some(batch) = source.batch(after, self.batch)? {
            let content = copy_mail(source, target, batch).await?;
            target.end_batch(batch.last, batch.first, batch.messages as i64, &content).await?;
            (after, done) = (batch.last, done + u64::from(batch.messages));
            progress(Progress::Copied { done, total });
        }
        Ok(())
    }

    /// Refuses a node on the server whose data folder has mail that is not there: nobody would deliver it.
    pub fn refuse_left_behind(&self) -> Result<()> {
        match SqliteStore::waiting_in(self.folder)? {
            0 => Ok(()),
            deliveries => {
                let (folder, server) = (self.folder.display().to_string(), self.server.name()?);
                Err(MigrationError::LeftBehind { folder, server, deliveries }.into())
            }
        }
    }

    /// Gives the folder its mail back, if nothing has changed on the server.
    pub async fn undo(&self, mut progress: impl FnMut(Progress)) -> Result<Moved> {
        let source = Source::open(self.folder)?;
        let copy = source.copy_to_undo()?;
        let target = Target::open(self.server).await?;
        let origin = Origin { copy, folder: self.folder.display().to_string() };
        let undone = target.begin_undo(&origin, &mut progress).await?;
        let moved = moved(&target, 0).await?;
        target.end_undo(undone).await?;
        source.mark_undone()?;
        self.forget_server();
        source.close();
        Ok(moved)
    }
}

/// Small tables, in the transaction of a batch without messages.
async fn copy_others(source: &Source, target: &Target) -> Result<()> {
    let mut counting = Counting::new();
    target.begin_batch().await?;
    for table in &OTHERS {
        counting.begin_table();
        copy_table(source, target, table, |facts| counting.add(facts)).await?;
    }
    for table in &UNCOMPARED {
        copy_table(source, target, table, |_| ()).await?;
    }
    target.end_batch(0, 0, 0, &counting.finish()).await
}

async fn copy_table(
    source: &Source,
    target: &Target,
    table: &OtherTable,
    mut count: impl FnMut(&[Fact]),
) -> Result<()> {
    let mut load = target.load(table.name, table.columns.iter()).await?;
    let mut offset = 0;
    loop {
        let facts = source.others(table, offset)?;
        if facts.is_empty() {
            return load.finish().await;
        }
        offset += facts.len() as u32;
        count(&facts);
        load.add(&facts).await?;
    }
}

async fn copy_mail(source: &Source, target: &Target, batch: Batch) -> Result<Content> {
    let mut counting = Counting::new();
    target.begin_batch().await?;
    for table in &MAIL {
        counting.begin_table();
        let mut load = target.load(table.name, table.columns()).await?;
        let mut after = (batch.first, i64::MIN);
        loop {
            let facts = source.mail(table, after, batch.last)?;
            let Some(last) = facts.last() else { break };
            after = last.place;
            counting.add(&facts);
            load.add(&facts).await?;
        }
        load.finish().await?;
    }
    Ok(counting.finish())
}

/// As the server's own notes have it.
async fn moved(target: &Target, copied_before: u64) -> Result<Moved> {
    let totals = target.totals().await?;
    let rows = |table: usize| totals.rows.get(table).map_or(0, |rows| *rows as u64);
    Ok(Moved {
        server: target.server().to_owned(),
        messages: totals.messages,
        deliveries: DELIVERIES.into_iter().map(rows).sum(),
        events: rows(EVENTS),
        copied_before,
    })
}
