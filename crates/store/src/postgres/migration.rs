//! The server as the target of a migration: what its marks allow, and their changes.

use std::sync::Arc;

use super::{
    PINNED,
    lane::{SERVER_TIME, commit},
    mark::{COMPLETE, COPYING, Mark, UNDONE, mark},
    partitions::{self, Day},
    schema::{self, Use},
    session::{Connector, Session},
    settings::{PostgresSettings, named},
    witness::Witness,
};
use crate::{
    MEMBER_VALID, Result, StoreError,
    lease::host_name,
    migration::{
        facts::{Content, Copied},
        fault::MigrationError,
        progress::Progress,
        tables::{MAIL, OTHERS, UNCOMPARED},
    },
    stored::time_from_millis,
};

/// Older days share one table.
const DAYS_MAX: usize = 400;

/// Where the mail comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) copy: Copied,
    pub(crate) folder: String,
}

/// How a copy begins.
pub(crate) enum Begun {
    /// This number of messages is there.
    Copying { messages: u64 },
    /// All of it is there, and may be used.
    Complete,
}

/// What undoing has still to do.
pub(crate) enum Undoing {
    Empty,
    /// It was done before; only the folder does not know.
    Done,
}

/// How far the batches have come.
pub(crate) struct Reached {
    pub(crate) last: i64,
    pub(crate) messages: u64,
}

/// What all batches have.
pub(crate) struct Totals {
    pub(crate) messages: u64,
    /// Of each table with mail.
    pub(crate) rows: Vec<i64>,
}

pub(crate) struct Target {
    pub(super) session: Session,
    server: String,
}

impl Target {
    /// Makes the tables as a node does.
    pub(crate) async fn open(settings: &PostgresSettings) -> Result<Self> {
        let primary = settings.primary()?;
        let server = named(&primary);
        let connector = Connector::to_primary(settings, primary, PINNED, &Arc::default())?;
        schema::prepare(&connector, Use::Migration, &Witness::read(None, false)).await?;
        Ok(Self { session: connector.connect().await?, server })
    }

    /// Its URL, without a password.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// No node joins until the transaction ends, and those that could come back are forgotten.
    async fn begin_alone(&self) -> Result<()> {
        self.session.run("BEGIN; LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE").await?;
        let sql = format!("SELECT name FROM member WHERE NOT has_left AND seen > {SERVER_TIME} - $1 LIMIT 1");
        if let Some(row) = self.session.query_opt(&sql, &[&(MEMBER_VALID.as_millis() as i64)]).await? {
            return Err(MigrationError::InUse { server: self.server.clone(), node: row.try_get(0)? }.into());
        }
        Ok(())
    }

    /// Begins a copy in an empty database, or goes on with the one that was begun.
    pub(crate) async fn begin(&self, origin: &Origin) -> Result<Begun> {
        let Copied { store, copy, is_moved } = origin.copy;
        self.begin_alone().await?;
        match mark(&self.session).await? {
            Some(mark) if mark.copy == copy && mark.state == COMPLETE && is_moved => return Ok(Begun::Complete),
            Some(mark) if mark.copy == copy && mark.state == COPYING => {}
            // The folder was used since, and what was copied is out of date.
            Some(mark) if mark.store == store && mark.state == COPYING && !is_moved => {
                self.empty().await?;
                self.put_mark(origin).await?;
            }
            Some(mark) if mark.state != UNDONE => return Err(mark.taken()),
            _ if is_moved => return Err(self.no_copy(origin)),
            Some(_) | None => {
                self.refuse_rows().await?;
                self.empty().await?;
                self.put_mark(origin).await?;
            }
        }
        commit(&self.session).await?;
        Ok(Begun::Copying { messages: self.copied().await?.map_or(0, |reached| reached.messages) })
    }

    fn no_copy(&self, origin: &Origin) -> StoreError {
        MigrationError::NoCopy { server: self.server.clone(), folder: origin.folder.clone() }.into()
    }

    async fn put_mark(&self, origin: &Origin) -> Result<()> {
        let sql = "INSERT INTO migration (id, store, copy, state, host, folder, server) VALUES (1, $1, $2, $3, $4, $5, $6)
                   ON CONFLICT (id) DO UPDATE SET store = $1, copy = $2, state = $3, host = $4, folder = $5, server = $6";
        let Copied { store, copy, .. } = origin.copy;
        self.session
            .execute(sql, &[&store, &copy, &COPYING, &host_name(), &origin.folder, &self.server])
            .await
            .map(drop)
    }

    async fn refuse_rows(&self) -> Result<()> {
        for table in tables() {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
            if self.session.query_one(&sql, &[]).await?.try_get(0)? {
                return Err(MigrationError::NotEmpty { server: self.server.clone(), table: table.to_owned() }.into());
            }
        }
        Ok(())
    }

    /// Nodes that were members are none any more: one that was only suspended would go on. And this is another store than the
    /// one that they have seen, so that nobody takes it for a restored one.
    async fn empty(&self) -> Result<()> {
        let tables = tables().chain(UNCOMPARED.iter().map(|table| table.name)).collect::<Vec<_>>().join(", ");
        self.session
            .run(&format!(
                "TRUNCATE {tables}, destination, upload, migration_batch, connector_share, fleet_restore;
                 DELETE FROM member;
                 UPDATE fleet_state SET store = gen_random_uuid(), server = ''"
            ))
            .await
    }

    /// Of a copy that goes on.
    pub(crate) async fn copied(&self) -> Result<Option<Reached>> {
        let sql = "SELECT max(last), coalesce(sum(messages), 0)::bigint FROM migration_batch";
        let row = self.session.query_one(sql, &[]).await?;
        let messages: i64 = row.try_get(1)?;
        Ok(row.try_get::<_, Option<i64>>(0)?.map(|last| Reached { last, messages: messages as u64 }))
    }

    /// Tables for the days of these times.
    pub(crate) async fn make_days(&self, times: &[i64]) -> Result<()> {
        let mut days: Vec<Day> = times.iter().map(|millis| Day::of(time_from_millis(*millis))).collect();
        days.sort_unstable();
        days.dedup();
        let now: i64 = self.session.query_one(&format!("SELECT {SERVER_TIME}"), &[]).await?.try_get(0)?;
        let last = Day::of(time_from_millis(now)).after(partitions::DAYS_AHEAD);
        for day in days.into_iter().rev().filter(|day| *day <= last).take(DAYS_MAX) {
            self.session.run("BEGIN").await?;
            partitions::make_missing(&self.session, std::iter::once(day)).await?;
            commit(&self.session).await?;
        }
        Ok(())
    }

    pub(crate) async fn begin_batch(&self) -> Result<()> {
        self.session.run("BEGIN").await
    }

    pub(crate) async fn end_batch(&self, last: i64, first: i64, messages: i64, content: &Content) -> Result<()> {
        let sql = "INSERT INTO migration_batch (last, first, messages, rows, digest) VALUES ($1, $2, $3, $4, $5)";
        self.session.execute(sql, &[&last, &first, &messages, &content.rows, &content.digest]).await?;
        commit(&self.session).await
    }

    pub(crate) async fn totals(&self) -> Result<Totals> {
        let sum = |table: usize| format!("coalesce(sum(rows[{}]) FILTER (WHERE last > 0), 0)::bigint", table + 1);
        let sums = (0..MAIL.len()).map(sum).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT coalesce(sum(messages), 0)::bigint, {sums} FROM migration_batch");
        let row = self.session.query_one(&sql, &[]).await?;
        let rows = (1..=MAIL.len()).map(|index| Ok(row.try_get(index)?)).collect::<Result<_>>()?;
        Ok(Totals { messages: row.try_get::<_, i64>(0)? as u64, rows })
    }

    /// From here on nodes may use it. Plans of searches go by what is known of the tables.
    pub(crate) async fn complete(&self) -> Result<()> {
        self.session.run("ANALYZE queue_message, queue_delivery, body, history, event").await?;
        self.session.run("BEGIN").await?;
        self.session.execute("UPDATE migration SET state = $1", &[&COMPLETE]).await?;
        commit(&self.session).await
    }

    /// Looks whether the server has what was copied, and nothing else. Nobody writes until this has ended.
    pub(crate) async fn begin_undo(&self, origin: &Origin, progress: &mut impl FnMut(Progress)) -> Result<Undoing> {
        let Copied { store, copy, is_moved } = origin.copy;
        self.begin_alone().await?;
        let is_copy = |mark: &Mark| mark.copy == copy || mark.store == store && !is_moved;
        match mark(&self.session).await?.filter(is_copy) {
            Some(mark) if mark.state == UNDONE => return Ok(Undoing::Done),
            Some(mark) if mark.state == COPYING => return Ok(Undoing::Empty),
            Some(mark) if mark.copy == copy => {}
            Some(_) | None => return Err(self.no_copy(origin)),
        }
        let tables = tables().collect::<Vec<_>>().join(", ");
        self.session.run(&format!("LOCK TABLE {tables}, upload IN SHARE ROW EXCLUSIVE MODE")).await?;
        match self.difference(progress).await? {
            None => Ok(Undoing::Empty),
            Some(what) => Err(MigrationError::ChangedSince { server: self.server.clone(), what }.into()),
        }
    }

    pub(crate) async fn end_undo(&self, undoing: Undoing) -> Result<()> {
        if matches!(undoing, Undoing::Empty) {
            self.empty().await?;
        }
        // Also if it was done before: once this is on a standby, so is that.
        self.session.execute("UPDATE migration SET state = $1", &[&UNDONE]).await?;
        commit(&self.session).await
    }

    /// Refuses a copy that is not what was read.
    pub(crate) async fn verify(&self, folder: &str, progress: &mut impl FnMut(Progress)) -> Result<()> {
        match self.difference(progress).await? {
            None => Ok(()),
            Some(what) => {
                Err(MigrationError::Differs { server: self.server.clone(), folder: folder.to_owned(), what }.into())
            }
        }
    }
}

/// All that are moved.
fn tables() -> impl Iterator<Item = &'static str> {
    MAIL.iter().map(|table| table.name).chain(OTHERS.iter().map(|table| table.name))
}
