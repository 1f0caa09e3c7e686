//! Bodies, in pieces of one row each. What is not accepted yet has a row in `upload`.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, schema::BODY_PIECES_BITS};
use crate::{Bodies, BodyKey, Member, MessageKey, Result, StoreError, tally::Counts};

impl Bodies for SqliteStore {
    async fn new_body(&self, member: &Member) -> Result<BodyKey> {
        let message = self.0.keys.message(&self.0.writer).await?;
        Ok(BodyKey { message, owner: member.epoch() })
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        let weight = bytes.len();
        let append = move |connection: &Connection, _: &mut Counts| append(connection, body, sequence, &bytes);
        match self.0.writer.run_new_mail(weight, append).await? {
            true => Ok(()),
            false => Err(swept()),
        }
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        self.write(move |connection, _| discard(connection, body)).await
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        let read = move |connection: &Connection, _| match read(connection, message, sequence)? {
            None if !exists(connection, message)? => Ok(Err(StoreError::NotQueued)),
            piece => Ok(Ok(piece)),
        };
        self.read(read).await?
    }

    /// All bodies are in the file.
    async fn clean_bodies(&self) -> Result<u64> {
        Ok(0)
    }
}

/// The body was deleted while it was written.
pub(super) fn swept() -> StoreError {
    StoreError::Other("the body was deleted, because the node that wrote it was taken for dead".to_owned())
}

fn body_id(message: MessageKey, sequence: u32) -> i64 {
    (message.0 << BODY_PIECES_BITS) + i64::from(sequence)
}

pub(super) fn insert_inline(connection: &Connection, message: MessageKey, bytes: &[u8]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO body (id, bytes) VALUES (?1, ?2)")?;
    insert.execute(params![body_id(message, 0), bytes])?;
    Ok(())
}

/// False if the body was swept.
fn append(connection: &Connection, body: BodyKey, sequence: u32, bytes: &[u8]) -> rusqlite::Result<bool> {
    if sequence == 0 {
        let mut insert = connection.prepare_cached("INSERT INTO upload (message, epoch) VALUES (?1, ?2)")?;
        insert.execute([body.message.0, body.owner.0])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO body (id, bytes) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM upload WHERE message = ?3)",
    )?;
    Ok(insert.execute(params![body_id(body.message, sequence), bytes, body.message.0])? > 0)
}

/// From now on the body is the message's. False if it was swept.
pub(super) fn claim_upload(connection: &Connection, message: MessageKey) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM upload WHERE message = ?1")?.execute([message.0])? > 0)
}

fn discard(connection: &Connection, body: BodyKey) -> rusqlite::Result<()> {
    // Not one that was accepted after all, though its caller heard of an error.
    if claim_upload(connection, body.message)? {
        delete(connection, body.message)?;
    }
    Ok(())
}

pub(super) fn delete(connection: &Connection, message: MessageKey) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM body WHERE id >= ?1 AND id < ?2")?;
    delete.execute([body_id(message, 0), body_id(MessageKey(message.0 + 1), 0)])?;
    Ok(())
}

/// Deletes bodies that were never accepted, and whose members are not among those that live.
pub(super) fn sweep(connection: &Connection, living: &[i64]) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT message, epoch FROM upload")?;
    let uploads = select.query_map([], |row| Ok((row.get(0).map(MessageKey)?, row.get(1)?)))?;
    let uploads: Vec<(MessageKey, i64)> = uploads.collect::<rusqlite::Result<_>>()?;
    for (message, _) in uploads.iter().filter(|(_, epoch)| !living.contains(epoch)) {
        claim_upload(connection, *message)?;
        delete(connection, *message)?;
    }
    Ok(())
}

fn read(connection: &Connection, message: MessageKey, sequence: u32) -> rusqlite::Result<Option<Bytes>> {
    let mut select = connection.prepare_cached("SELECT bytes FROM body WHERE id = ?1")?;
    let bytes = select.query_row([body_id(message, sequence)], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(bytes.map(Bytes::from))
}

pub(super) fn exists(connection: &Connection, message: MessageKey) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM body WHERE id = ?1")?.exists([body_id(message, 0)])
}
