//! The fleet's configuration: versions that are added and never changed.

use tokio_postgres::{Row, types::ToSql};

use super::{
    PostgresStore,
    change_log::put,
    lane::Tx,
    row::{Columns, text},
};
use crate::{
    ConfigurationId, ConfigurationRecord, NewChange, NewConfiguration, Result, StoredConfiguration, change_log,
};

const COLUMNS: &str = "version, at, set_by, comment, repeats, program";

impl PostgresStore {
    /// The version in force; `None` before the first.
    pub async fn newest_configuration(&self) -> Result<Option<StoredConfiguration>> {
        self.0.readers.read(|tx| stored(tx, "ORDER BY version DESC LIMIT 1", None)).await
    }

    /// Which one that is, without its text: nodes ask every second.
    pub async fn newest_configuration_id(&self) -> Result<Option<ConfigurationId>> {
        self.0.readers.read(newest_id).await
    }

    pub async fn configuration(&self, version: u64) -> Result<Option<StoredConfiguration>> {
        self.0.readers.read(move |tx| stored(tx, "WHERE version = $1", Some(version as i64))).await
    }

    /// All versions, the newest first.
    pub async fn configurations(&self) -> Result<Vec<ConfigurationRecord>> {
        self.0.readers.read(records).await
    }

    /// Puts a configuration in the place of version `before` (`None`: it is the first). Returns its version, or `None`
    /// where another one was in force: nothing was changed then.
    pub async fn replace_configuration(&self, before: Option<u64>, new: NewConfiguration) -> Result<Option<u64>> {
        self.0.clerk.write(move |tx| async move { replace(&tx, before, &new).await }).await
    }
}

fn record(columns: &mut Columns<'_>) -> Result<ConfigurationRecord> {
    Ok(ConfigurationRecord {
        version: columns.take::<i64>()? as u64,
        at: columns.time()?,
        by: columns.take()?,
        comment: columns.take()?,
        repeats: columns.take::<Option<i64>>()?.map(|version| version as u64),
        program: columns.take()?,
    })
}

async fn newest_id(tx: Tx) -> Result<Option<ConfigurationId>> {
    let row = tx.query_opt("SELECT version, at FROM configuration ORDER BY version DESC LIMIT 1", &[]).await?;
    let id = |row: Row| {
        let mut columns = Columns::of(&row);
        Ok(ConfigurationId { version: columns.take::<i64>()? as u64, at: columns.time()? })
    };
    row.map(id).transpose()
}

async fn stored(tx: Tx, which: &str, version: Option<i64>) -> Result<Option<StoredConfiguration>> {
    let sql = format!("SELECT {COLUMNS}, toml FROM configuration {which}");
    let parameter = version.as_ref().map(|version| version as &(dyn ToSql + Sync));
    let row = tx.query_opt(&sql, parameter.as_slice()).await?;
    let stored = |row: Row| {
        let mut columns = Columns::of(&row);
        Ok(StoredConfiguration { record: record(&mut columns)?, toml: columns.take()? })
    };
    row.map(stored).transpose()
}

async fn records(tx: Tx) -> Result<Vec<ConfigurationRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM configuration ORDER BY version DESC");
    tx.query(&sql, &[]).await?.iter().map(|row| record(&mut Columns::of(row))).collect()
}

/// Two that replace the same version exclude each other by the key.
async fn replace(tx: &Tx, before: Option<u64>, new: &NewConfiguration) -> Result<Option<u64>> {
    let sql = format!(
        "INSERT INTO configuration ({COLUMNS}, toml)
         SELECT coalesce($1::bigint, 0) + 1, $2, $3, $4, $5, $6, $7
         WHERE (SELECT max(version) FROM configuration) IS NOT DISTINCT FROM $1::bigint
         ON CONFLICT (version) DO NOTHING RETURNING version"
    );
    let NewConfiguration { toml, by, comment, repeats, program, settings: _ } = new;
    let (before, repeats) = (before.map(|version| version as i64), repeats.map(|version| version as i64));
    let (now, comment) = (tx.now().await?.as_millisecond(), comment.as_deref().map(text));
    let row = tx.query_opt(&sql, &[&before, &now, &text(by), &comment, &repeats, program, &text(toml)]).await?;
    let Some(row) = row else { return Ok(None) };
    let version = row.try_get::<_, i64>(0)? as u64;
    put(tx, &NewChange::of_fleet(by, change_log::configuration(version, new))).await?;
    Ok(Some(version))
}
