//! How the server does, as far as SQL can tell: what grows before it becomes trouble.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    PostgresStore,
    lane::Tx,
    owner::{self, Ownership},
    row::Columns,
    schema,
};
use crate::Result;

/// How the PostgreSQL server of a fleet does.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerHealth {
    /// Of PostgreSQL.
    pub version: String,
    /// Of the tables.
    pub schema: u32,
    pub tables: Vec<TableHealth>,
    /// Other users' transactions and standbys are visible.
    pub sees_all: bool,
    /// Since when a transaction on this database is open. It keeps dead rows where they are.
    pub oldest_transaction: Option<Duration>,
    pub wal_bytes_per_second: u64,
    pub standbys: Vec<Standby>,
    /// How many standbys must confirm each commit.
    pub standbys_needed: u64,
    /// Of all databases.
    pub connections: u64,
    pub connections_max: u64,
    /// `None`: all bodies are in the database.
    pub bodies: Option<BodiesHealth>,
}

/// How the place of large bodies does.
#[derive(Clone, PartialEq, Debug)]
pub struct BodiesHealth {
    pub place: String,
    /// Bodies there that a message needs.
    pub needed: u64,
    /// Those that are still to be deleted.
    pub gone: u64,
    /// Why it cannot be read from here.
    pub trouble: Option<String>,
    /// When another copy of the database, or a later state of this one, was there last: it must be silent for a day before
    /// this one deletes anything.
    pub used_by_another: Option<Timestamp>,
}

/// One of the tables that change with each message.
#[derive(Clone, PartialEq, Debug)]
pub struct TableHealth {
    pub name: String,
    pub rows: u64,
    /// Rows that were deleted or changed, and take room until they are vacuumed.
    pub dead_rows: u64,
    /// With its indexes.
    pub bytes: u64,
}

/// A standby that is connected. What this user may not see is unknown.
#[derive(Clone, PartialEq, Debug)]
pub struct Standby {
    pub name: String,
    /// Commits may wait for it.
    pub is_synchronous: Option<bool>,
    /// What it has not written yet.
    pub behind_bytes: Option<u64>,
}

/// The write-ahead log is looked at twice.
const WAL_INTERVAL: Duration = Duration::from_secs(1);

impl PostgresStore {
    pub async fn health(&self) -> Result<ServerHealth> {
        let bodies = self.bodies_health().await?;
        Ok(ServerHealth { bodies, ..self.0.readers.read(health).await? })
    }

    async fn bodies_health(&self) -> Result<Option<BodiesHealth>> {
        let counts = |tx: Tx| async move {
            let sql = "SELECT place, count(message) FILTER (WHERE gone IS NULL), count(gone)
                       FROM body_place LEFT JOIN body_outside ON true GROUP BY place";
            tx.query_opt(sql, &[]).await
        };
        let Some(row) = self.0.readers.read(counts).await? else { return Ok(None) };
        let mut columns = Columns::of(&row);
        let (place, needed, gone): (_, i64, i64) = (columns.take()?, columns.take()?, columns.take()?);
        let (trouble, used_by_another) = match &self.0.outside {
            Some(outside) => match owner::ownership(&self.0.readers, outside).await {
                Ok(Some(Ownership::Others(renewed))) => (None, Some(renewed)),
                Ok(Some(Ownership::Ours | Ownership::Unanswered)) => (None, None),
                Ok(None) => (Some(format!("the file {} is missing there", outside.mark_name())), None),
                Err(error) => (Some(error.to_string()), None),
            },
            None => (Some("[store] bodies is not set in this configuration".to_owned()), None),
        };
        Ok(Some(BodiesHealth { place, needed: needed as u64, gone: gone as u64, trouble, used_by_another }))
    }
}

async fn health(tx: Tx) -> Result<ServerHealth> {
    let before = wal_bytes(&tx).await?;
    tokio::time::sleep(WAL_INTERVAL).await;
    let wal_bytes_per_second = wal_bytes(&tx).await?.saturating_sub(before) / WAL_INTERVAL.as_secs();
    let sql = "SELECT current_setting('server_version'), current_setting('synchronous_standby_names'),
                   current_setting('synchronous_commit'), pg_has_role('pg_read_all_stats', 'USAGE'),
                   (SELECT max(extract(epoch FROM clock_timestamp() - xact_start))::bigint FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()),
                   (SELECT sum(numbackends)::bigint FROM pg_stat_database), current_setting('max_connections')::bigint";
    let row = tx.query_one(sql, &[]).await?;
    let mut columns = Columns::of(&row);
    let (version, standbys_named, commit): (String, &str, &str) = (columns.take()?, columns.take()?, columns.take()?);
    let (sees_all, oldest): (bool, Option<i64>) = (columns.take()?, columns.take()?);
    Ok(ServerHealth {
        version,
        sees_all,
        standbys_needed: if commit == "local" { 0 } else { needed(standbys_named) },
        oldest_transaction: oldest.map(|seconds| Duration::from_secs(seconds.max(0) as u64)),
        connections: columns.take::<i64>()? as u64,
        connections_max: columns.take::<i64>()? as u64,
        schema: schema::version(&tx).await? as u32,
        tables: tables(&tx).await?,
        wal_bytes_per_second,
        standbys: standbys(&tx).await?,
        bodies: None,
    })
}

/// `FIRST 2 (a, b)`, `ANY 1 (a, b)`, `2 (a, b)`, `a, b` for one, or nothing.
fn needed(standbys_named: &str) -> u64 {
    let before_list = standbys_named.split_once('(').map(|(before, _)| before);
    let number = before_list.and_then(|before| before.split_ascii_whitespace().last()?.parse().ok());
    if standbys_named.trim().is_empty() { 0 } else { number.unwrap_or(1) }
}

async fn wal_bytes(tx: &Tx) -> Result<u64> {
    let row = tx.query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint", &[]).await?;
    Ok(row.try_get::<_, i64>(0)? as u64)
}

async fn tables(tx: &Tx) -> Result<Vec<TableHealth>> {
    let sql = "SELECT relname::text, n_live_tup, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables
               WHERE relname IN ('queue_message', 'queue_delivery', 'body') ORDER BY relname";
    let table = |row: &tokio_postgres::Row| {
        let mut columns = Columns::of(row);
        let (name, rows, dead): (_, i64, i64) = (columns.take()?, columns.take()?, columns.take()?);
        Ok(TableHealth { name, rows: rows as u64, dead_rows: dead as u64, bytes: columns.take::<i64>()? as u64 })
    };
    tx.query(sql, &[]).await?.iter().map(table).collect()
}

async fn standbys(tx: &Tx) -> Result<Vec<Standby>> {
    let sql = "SELECT coalesce(application_name, ''), sync_state IN ('sync', 'quorum'),
                   pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint
               FROM pg_stat_replication ORDER BY 1";
    let standby = |row: &tokio_postgres::Row| {
        let mut columns = Columns::of(row);
        let (name, is_synchronous, behind): (_, _, Option<i64>) = (columns.take()?, columns.take()?, columns.take()?);
        Ok(Standby { name, is_synchronous, behind_bytes: behind.map(|bytes| bytes.max(0) as u64) })
    };
    tx.query(sql, &[]).await?.iter().map(standby).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn how_many_standbys_must_confirm() {
        for (named, needed) in [
            ("", 0),
            ("db2", 1),
            ("*", 1),
            ("db2, db3", 1),
            ("FIRST 2 (db2, db3)", 2),
            ("ANY 1 (*)", 1),
            ("2 (a, b)", 2),
        ] {
            assert_eq!(super::needed(named), needed, "{named}");
        }
    }
}
