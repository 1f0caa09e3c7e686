//! The fleet's configuration: versions that are added and never changed.

use tokio_postgres::Row;

use super::{
    PostgresStore,
    lane::Tx,
    row::{Columns, text},
};
use crate::{ConfigurationRecord, NewConfiguration, Result, StoredConfiguration};

const COLUMNS: &str = "version, at, set_by, comment, repeats, program";

impl PostgresStore {
    /// The version in force, if it is newer than `than`; 0: whichever it is.
    pub async fn newer_configuration(&self, than: u64) -> Result<Option<StoredConfiguration>> {
        self.0.readers.read(move |tx| stored(tx, "version > $1 ORDER BY version DESC LIMIT 1", than)).await
    }

    pub async fn configuration(&self, version: u64) -> Result<Option<StoredConfiguration>> {
        self.0.readers.read(move |tx| stored(tx, "version = $1", version)).await
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

async fn stored(tx: Tx, condition: &str, version: u64) -> Result<Option<StoredConfiguration>> {
    let sql = format!("SELECT {COLUMNS}, toml FROM configuration WHERE {condition}");
    let row = tx.query_opt(&sql, &[&(version as i64)]).await?;
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
    let NewConfiguration { toml, by, comment, repeats, program } = new;
    let (before, repeats) = (before.map(|version| version as i64), repeats.map(|version| version as i64));
    let (now, comment) = (tx.now().await?.as_millisecond(), comment.as_deref().map(text));
    let row = tx.query_opt(&sql, &[&before, &now, &text(by), &comment, &repeats, program, &text(toml)]).await?;
    row.map(|row| Ok(row.try_get::<_, i64>(0)? as u64)).transpose()
}
