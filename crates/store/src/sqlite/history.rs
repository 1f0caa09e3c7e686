//! Reads the history of mail, and deletes finished mail when it is old enough.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use trace::Event;
use uuid::Uuid;

use super::{
    SqliteStore, bodies, incidents,
    row::{self, MESSAGE_COLUMNS, Millis, Recorded, readable},
    schema::PAGE_BYTES,
    search,
};
use crate::{DeliveryRecord, History, MessageKey, MessageRecord, Queue, Result, Room, TraceQuery, clock::before};

impl History for SqliteStore {
    async fn trace(&self, query: TraceQuery) -> Result<Vec<DeliveryRecord>> {
        let began = Instant::now();
        let found = self.search(move |connection, _| search::trace(connection, &query)).await;
        self.times().searches.note(began.elapsed());
        found
    }

    async fn message(&self, id: Uuid) -> Result<Option<MessageRecord>> {
        self.read(move |connection, _| message(connection, id)).await
    }

    async fn events(&self, message: Uuid) -> Result<Vec<Event>> {
        self.search(move |connection, _| events(connection, message)).await
    }

    async fn histories(&self, messages: Vec<MessageKey>) -> Result<Vec<Vec<Event>>> {
        self.search(move |connection, _| histories(connection, &messages)).await
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
        self.read(move |connection, _| ids_between(connection, first, last, limit)).await
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64> {
        let forget = move |connection: &Connection, now| forget(connection, before(now, age), limit);
        let forgotten = self.write(forget).await?;
        if forgotten > 0 || self.room() != Room::Enough {
            let bytes_max = self.0.gauge.unit() / 2;
            self.write(move |connection, _| vacuum(connection, bytes_max)).await?;
            // The file becomes shorter only when the log is moved into it.
            self.read(|connection, _| move_log(connection)).await?;
        }
        Ok(forgotten)
    }
}

fn message(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<MessageRecord>> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM message AS m WHERE m.network_message_id = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let Some(message) = select.query_row([id.as_bytes().as_slice()], row::message).optional()? else {
        return Ok(None);
    };
    let deliveries = row::records(connection, "d.message = ? ORDER BY d.id", &[Box::new(message.key.0)])?;
    let body_present = bodies::exists(connection, message.key)?;
    Ok(Some(MessageRecord { message, deliveries, body_present }))
}

fn histories(connection: &Connection, messages: &[MessageKey]) -> rusqlite::Result<Vec<Vec<Event>>> {
    let mut select = connection.prepare_cached("SELECT json FROM event WHERE message = ?1 ORDER BY id")?;
    let mut history = |message: &MessageKey| {
        let events = select.query_map([message.0], |row| row.get::<_, Recorded>(0))?;
        readable(events.map(|event| event.map(|recorded| recorded.0)))
    };
    messages.iter().map(&mut history).collect()
}

fn events(connection: &Connection, message: Uuid) -> rusqlite::Result<Vec<Event>> {
    let mut select = connection.prepare_cached(
        "SELECT e.json FROM event AS e JOIN message AS m ON m.id = e.message
         WHERE m.network_message_id = ?1 ORDER BY e.id",
    )?;
    let events = select.query_map(params![message.as_bytes().as_slice()], |row| row.get::<_, Recorded>(0))?;
    readable(events.map(|event| event.map(|recorded| recorded.0)))
}

fn ids_between(connection: &Connection, first: Uuid, last: Uuid, limit: u32) -> rusqlite::Result<Vec<Uuid>> {
    let mut select = connection.prepare_cached(
        "SELECT network_message_id FROM message WHERE network_message_id BETWEEN ?1 AND ?2
         ORDER BY network_message_id LIMIT ?3",
    )?;
    let ids = select.query_map(params![first.as_bytes().as_slice(), last.as_bytes().as_slice(), limit], |row| {
        row.get(0).map(Uuid::from_bytes)
    })?;
    ids.collect()
}

/// Deletes up to `limit` messages that were received before this time and have no delivery in the queue. Returns their
/// number.
fn forget(connection: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached(
        "SELECT DISTINCT d.message FROM delivery AS d WHERE d.received < ?1 AND NOT EXISTS (
             SELECT 1 FROM delivery AS live WHERE live.message = d.message AND (live.state <= 2 OR live.owed IS NOT NULL)
         ) ORDER BY d.received LIMIT ?2",
    )?;
    let messages = select.query_map(params![Millis(before), limit], |row| row.get::<_, i64>(0))?;
    let messages: Vec<i64> = messages.collect::<rusqlite::Result<_>>()?;
    for message in &messages {
        for sql in [
            "DELETE FROM event WHERE message = ?1",
            "DELETE FROM delivery WHERE message = ?1",
            "DELETE FROM message WHERE id = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([message])?;
        }
    }
    incidents::forget(connection, before)?;
    Ok(messages.len() as u64)
}

/// Returns free pages at the end of the file to the file system, at most `bytes_max`: the log needs room for the pages
/// that are moved. A batch of deleted history frees fewer pages than that, so free pages do not accumulate.
fn vacuum(connection: &Connection, bytes_max: u32) -> rusqlite::Result<()> {
    let pages = bytes_max / PAGE_BYTES;
    let mut vacuum = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    // Each step frees a page.
    while rows.next()?.is_some() {}
    Ok(())
}

/// Moves as much of the log into the file as readers allow.
pub(super) fn move_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
