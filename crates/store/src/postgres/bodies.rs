//! Bodies, in pieces of one row each, or outside the database. What is not accepted yet has a row in `upload`.
//!
//! ```text
//!   outside: row in body_outside ──> piece written ──> accept ──> finished, or given up: `gone` ──> pieces deleted ──> row deleted
//! ```
//!
//! Whatever dies between two of these steps, the row is there, and some node goes on with the next one.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Instant,
};

use bytes::Bytes;

use super::{PostgresStore, lane::Tx, outside};
use crate::{Accepted, Bodies, BodyKey, Content, Epoch, Member, MessageKey, NewEvent, NewMessage, Result, StoreError};

impl Bodies for PostgresStore {
    async fn new_body(&self, member: &Member) -> Result<BodyKey> {
        let message = self.0.keys.message(&self.0.readers).await?;
        Ok(BodyKey { message, owner: member.epoch() })
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        let Some(place) = &self.0.outside else {
            let written = self.0.writers.write(move |tx| async move { append(&tx, body, sequence, &bytes).await });
            return if written.await? { Ok(()) } else { Err(swept()) };
        };
        match self.0.writers.write(move |tx| async move { outside::begin(&tx, body, sequence).await }).await? {
            true => {
                let written = place.put(body.message, sequence, bytes).await;
                if let Err(error) = &written {
                    // The caller tells only its client.
                    let mut faults = self.0.outside_faults.lock().unwrap_or_else(PoisonError::into_inner);
                    faults.tell(error, Instant::now());
                }
                written
            }
            false => Err(swept()),
        }
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        self.0.clerk.write(move |tx| async move { delete_uploads(&tx, &[body.message.0]).await }).await
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        match self.0.readers.read(|tx| async move { read(&tx, message, sequence).await }).await? {
            Read::Inside(bytes) => Ok(Some(bytes)),
            Read::Outside { pieces, .. } if sequence < pieces => {
                let place = outside::place(&self.0)?;
                place.get(message, sequence, pieces).await.map(Some)
            }
            Read::Outside { is_queued: true, .. } | Read::Nothing { is_queued: true } => Ok(None),
            // Its last pieces may be lost with it.
            Read::Outside { is_queued: false, .. } | Read::Nothing { is_queued: false } => Err(StoreError::NotQueued),
        }
    }

    async fn clean_bodies(&self) -> Result<u64> {
        outside::clean(&self.0).await
    }
}

impl PostgresStore {
    /// True if the message comes with a body that is to be outside the database.
    pub(super) fn goes_outside(&self, content: &Content) -> bool {
        match (content, &self.0.outside) {
            (Content::Inline(bytes), Some(place)) => bytes.len() > place.above(),
            (Content::Inline(_), None) | (Content::Stored(_), _) => false,
        }
    }

    /// Accepts a message whose body goes outside first. It has a key of its own each time: if the message was accepted before,
    /// this body is one too many.
    pub(super) async fn accept_outside(
        &self,
        mut message: NewMessage,
        holder: Option<Member>,
        events: Vec<NewEvent>,
    ) -> Result<Accepted> {
        let Content::Inline(bytes) = &message.content else {
            return self.accept_as_it_is(message, holder, events).await;
        };
        let owner = Epoch(self.0.epoch.load(Ordering::Relaxed));
        let body = BodyKey { message: self.0.keys.message(&self.0.readers).await?, owner };
        let accepted = match self.append_body(body, 0, bytes.clone()).await {
            Ok(()) => {
                message.content = Content::Stored(body);
                self.accept_as_it_is(message, holder, events).await
            }
            Err(error) => Err(error),
        };
        if !accepted.as_ref().is_ok_and(|accepted| accepted.message == body.message) {
            self.discard_beside(body);
        }
        accepted
    }

    /// Nobody waits for it. A body that was accepted after all stays.
    fn discard_beside(&self, body: BodyKey) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.discard_body(body).await {
                tracing::warn!(%error, "failed to delete a body that was not accepted; deleting it at the next start");
            }
        });
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
        outside::begin_upload(tx, body).await?;
    }
    // Whoever sweeps waits for the row.
    let sql = "INSERT INTO body (message, piece, bytes)
               SELECT message, $2, $3 FROM upload WHERE message = $1 FOR KEY SHARE";
    Ok(tx.execute(sql, &[&message, &(sequence as i32), &bytes]).await? > 0)
}

/// Not those that were accepted after all, though their callers heard of an error.
async fn delete_uploads(tx: &Tx, messages: &[i64]) -> Result<()> {
    let sql = "WITH given_up AS (DELETE FROM upload WHERE message = ANY($1) RETURNING message),
               outside AS (UPDATE body_outside SET gone = 0 WHERE message IN (SELECT message FROM given_up))
               DELETE FROM body WHERE message IN (SELECT message FROM given_up)";
    tx.execute(sql, &[&messages]).await.map(drop)
}

/// Deletes bodies that were never accepted, and whose members are not among those that live.
pub(super) async fn sweep(tx: &Tx, living: &[i64]) -> Result<()> {
    let rows =
        tx.query("SELECT message FROM upload WHERE epoch <> ALL($1) ORDER BY message FOR UPDATE", &[&living]).await?;
    let dead = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    delete_uploads(tx, &dead).await
}

enum Read {
    Inside(Bytes),
    Outside { pieces: u32, is_queued: bool },
    Nothing { is_queued: bool },
}

async fn read(tx: &Tx, message: MessageKey, sequence: u32) -> Result<Read> {
    let sql = "SELECT (SELECT bytes FROM body WHERE message = $1 AND piece = $2),
                   (SELECT pieces FROM body_outside WHERE message = $1 AND gone IS NULL),
                   EXISTS (SELECT FROM queue_message WHERE message = $1)";
    let row = tx.query_one(sql, &[&message.0, &(sequence as i32)]).await?;
    let is_queued = row.try_get(2)?;
    Ok(match (row.try_get::<_, Option<Vec<u8>>>(0)?, row.try_get::<_, Option<i32>>(1)?) {
        (Some(bytes), _) => Read::Inside(Bytes::from(bytes)),
        (None, Some(pieces)) => Read::Outside { pieces: pieces as u32, is_queued },
        (None, None) => Read::Nothing { is_queued },
    })
}
