//! How the server does, as far as SQL can tell: what grows before it becomes trouble.

use std::time::Duration;

use super::{PostgresStore, lane::Tx, row::Columns, schema};
use crate::Result;

/// How the PostgreSQL server of a fleet does.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerHealth {
    /// Of PostgreSQL.
    pub version: String,
    /// Of the tables, and the one that this program knows.
    pub schema: u32,
    pub schema_known: u32,
    pub tables: Vec<TableHealth>,
    /// Since when a transaction is open. It keeps dead rows where they are.
    pub oldest_transaction: Option<Duration>,
    pub wal_bytes_per_second: u64,
    pub standbys: Vec<Standby>,
    /// Commits wait for a standby.
    pub is_synchronous: bool,
    pub connections: u64,
    pub connections_max: u64,
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
        self.0.readers.read(health).await
    }
}

async fn health(tx: Tx) -> Result<ServerHealth> {
    let before = wal_bytes(&tx).await?;
    tokio::time::sleep(WAL_INTERVAL).await;
    let wal_bytes_per_second = wal_bytes(&tx).await?.saturating_sub(before) / WAL_INTERVAL.as_secs();
    let sql = "SELECT current_setting('server_version'), current_setting('synchronous_standby_names') <> '',
                   (SELECT max(extract(epoch FROM clock_timestamp() - xact_start))::bigint FROM pg_stat_activity
                       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
                   (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                   current_setting('max_connections')::bigint";
    let row = tx.query_one(sql, &[]).await?;
    let mut columns = Columns::of(&row);
    let (version, is_synchronous) = (columns.take()?, columns.take()?);
    let oldest: Option<i64> = columns.take()?;
    Ok(ServerHealth {
        version,
        is_synchronous,
        oldest_transaction: oldest.map(|seconds| Duration::from_secs(seconds.max(0) as u64)),
        connections: columns.take::<i64>()? as u64,
        connections_max: columns.take::<i64>()? as u64,
        schema: schema::version(&tx).await? as u32,
        schema_known: schema::VERSION as u32,
        tables: tables(&tx).await?,
        wal_bytes_per_second,
        standbys: standbys(&tx).await?,
    })
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
