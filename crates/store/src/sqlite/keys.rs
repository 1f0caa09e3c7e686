//! Keys of messages and deliveries: given out in memory from blocks that each handle takes from the store, so that no two
//! handles give out the same, and a message costs no look at the store.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;

use super::writer::Writer;
use crate::{DeliveryKey, MessageKey, Result};

/// What a handle leaves unused when it is closed is never used.
const BLOCK: i64 = 65_536;

pub(super) struct Keys {
    messages: Block,
    deliveries: Block,
}

struct Block {
    /// Its row in `key_block`.
    kind: u8,
    left: Mutex<Range<i64>>,
    /// Held by the task that takes the next block.
    taking: tokio::sync::Mutex<()>,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { messages: Block::new(0), deliveries: Block::new(1) }
    }

    pub(super) async fn message(&self, writer: &Writer) -> Result<MessageKey> {
        self.messages.next(1, writer).await.map(MessageKey)
    }

    /// Keys that follow each other.
    pub(super) async fn deliveries(&self, count: usize, writer: &Writer) -> Result<Vec<DeliveryKey>> {
        let count = count as i64;
        let first = self.deliveries.next(count, writer).await?;
        Ok((first..first + count).map(DeliveryKey).collect())
    }
}

impl Block {
    fn new(kind: u8) -> Self {
        Self { kind, left: Mutex::new(0..0), taking: tokio::sync::Mutex::default() }
    }

    fn take(&self, count: i64) -> Option<i64> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let first = left.start;
        (left.end - first >= count).then(|| {
            left.start += count;
            first
        })
    }

    async fn next(&self, count: i64, writer: &Writer) -> Result<i64> {
        if let Some(first) = self.take(count) {
            return Ok(first);
        }
        let _turn = self.taking.lock().await;
        if let Some(first) = self.take(count) {
            return Ok(first);
        }
        let (kind, size) = (self.kind, BLOCK.max(count));
        let first = writer.run(move |connection| take_block(connection, kind, size)).await?;
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = first + count..first + size;
        Ok(first)
    }
}

fn take_block(connection: &Connection, kind: u8, size: i64) -> rusqlite::Result<i64> {
    let mut take =
        connection.prepare_cached("UPDATE key_block SET next = next + ?2 WHERE kind = ?1 RETURNING next - ?2")?;
    take.query_row((kind, size), |row| row.get(0))
}
