//! Bodies, in pieces of one row each. What is not accepted yet has a row in `upload`.

use bytes::Bytes;

use super::{PostgresStore, lane::Tx};
use crate::{Bodies, BodyKey, Member, MessageKey, Result, StoreError};

impl Bodies for PostgresStore {
    async fn new_body(&self, member: &Member) -> Result<BodyKey> {
        let message = self.0.keys.message(&self.0.readers).await?;
        Ok(BodyKey { message, owner: member.epoch() })
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        match self.0.writers.write(move |tx| async move { append(&tx, body, sequence, &bytes).await }).await? {
            true => Ok(()),
            false => Err(swept()),
        }
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        self.0.clerk.write(move |tx| async move { delete_uploads(&tx, &[body.message.0]).await }).await
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        self.0.readers.read(|tx| async move { read(&tx, message, sequence).await }).await
    }
}

/// The body was deleted while it was written.
pub(super) fn swept() -> StoreError {
    StoreError::Other("the body was deleted, because the node that wrote it was taken for dead".to_owned())
}

/// False if the body was swept.
async fn append(tx: &Tx, body: BodyKey, sequence: u32, bytes: &[u8]) -> Result<bool> {
    let message = body.message.0;
    if sequence == 0 {
        tx.execute("INSERT INTO upload (message, epoch) VALUES ($1, $2)", &[&message, &body.owner.0]).await?;
    }
    // Whoever sweeps waits for the row.
    let sql = "INSERT INTO body (message, piece, bytes)
               SELECT message, $2, $3 FROM upload WHERE message = $1 FOR KEY SHARE";
    Ok(tx.execute(sql, &[&message, &(sequence as i32), &bytes]).await? > 0)
}

/// Not those that were accepted after all, though their callers heard of an error.
async fn delete_uploads(tx: &Tx, messages: &[i64]) -> Result<()> {
    let sql = "WITH gone AS (DELETE FROM upload WHERE message = ANY($1) RETURNING message)
               DELETE FROM body WHERE message IN (SELECT message FROM gone)";
    tx.execute(sql, &[&messages]).await.map(drop)
}

/// Deletes bodies that were never accepted, and whose members are not among those that live.
pub(super) async fn sweep(tx: &Tx, living: &[i64]) -> Result<()> {
    let rows =
        tx.query("SELECT message FROM upload WHERE epoch <> ALL($1) ORDER BY message FOR UPDATE", &[&living]).await?;
    let dead = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    delete_uploads(tx, &dead).await
}

async fn read(tx: &Tx, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
    let sql = "SELECT bytes FROM body WHERE message = $1 AND piece = $2";
    let row = tx.query_opt(sql, &[&message.0, &(sequence as i32)]).await?;
    row.map(|row| Ok(Bytes::from(row.try_get::<_, Vec<u8>>(0)?))).transpose()
}
