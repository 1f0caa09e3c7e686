//! What waits, incidents, and the webhook's calls.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::row::{Json, Millis};
use crate::{Incident, MessageKey, Pending, WebhookCall};

const COLUMNS: &str = "id, connector, destination, cause, node, opened, last_seen, closed, closed_because, pending, \
                       pending_peak, oldest, finding";

/// Each state has an index of its own, so that what has come to rest is never looked at.
pub(super) fn pending(connection: &Connection, untried_before: Timestamp) -> rusqlite::Result<Vec<Pending>> {
    let mut select = connection.prepare_cached(
        "WITH waiting AS (
             SELECT connector, message, received, failure IS NOT NULL AS tried FROM delivery INDEXED BY delivery_due
             WHERE state = 0 AND (failure IS NOT NULL OR received < ?1)
             UNION ALL
             SELECT connector, message, received, failure IS NOT NULL FROM delivery INDEXED BY delivery_leased
             WHERE state = 1 AND (failure IS NOT NULL OR received < ?1)
             UNION ALL
             SELECT connector, message, received, 1 FROM delivery INDEXED BY delivery_suspended
             WHERE state = 2 AND failure IS NOT NULL
         )
         SELECT connector, count(DISTINCT message), count(DISTINCT iif(tried, message, NULL)), min(received),
             min(iif(tried, NULL, received))
         FROM waiting GROUP BY connector ORDER BY connector",
    )?;
    let pending = select.query_map([Millis(untried_before)], |row| {
        Ok(Pending {
            connector: row.get(0)?,
            messages: row.get::<_, i64>(1)? as u64,
            tried: row.get::<_, i64>(2)? as u64,
            oldest: row.get::<_, Millis>(3)?.0,
            oldest_untried: row.get::<_, Option<Millis>>(4)?.map(|at| at.0),
        })
    })?;
    pending.collect()
}

/// What was tried last is due last.
pub(super) fn deferred(connection: &Connection, connector: &str, limit: u32) -> rusqlite::Result<Vec<MessageKey>> {
    let mut select = connection.prepare_cached(
        "SELECT message, max(due) AS due FROM (
             SELECT message, due FROM (
                 SELECT message, due FROM delivery INDEXED BY delivery_due
                 WHERE state = 0 AND connector = ?1 AND failure IS NOT NULL ORDER BY due DESC LIMIT ?2
             )
             UNION ALL
             SELECT message, due FROM delivery INDEXED BY delivery_leased
             WHERE state = 1 AND connector = ?1 AND failure IS NOT NULL
             UNION ALL
             SELECT message, due FROM delivery INDEXED BY delivery_suspended
             WHERE state = 2 AND connector = ?1 AND failure IS NOT NULL
         ) GROUP BY message ORDER BY due DESC LIMIT ?2",
    )?;
    select.query_map(params![connector, limit], |row| row.get(0).map(MessageKey))?.collect()
}

pub(super) fn take_watch(
    connection: &Connection,
    node: &str,
    now: Timestamp,
    interval: Duration,
) -> rusqlite::Result<Option<u64>> {
    let mut take = connection.prepare_cached(
        "INSERT INTO watch (id, turn, at, node) VALUES (1, 1, ?1, ?2)
         ON CONFLICT DO UPDATE SET turn = turn + 1, at = ?1, node = ?2 WHERE at <= ?1 - ?3 OR at > ?1 + ?3
         RETURNING turn",
    )?;
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4);
    let turn = take.query_row(params![Millis(now), node, interval], |row| row.get::<_, i64>(0)).optional()?;
    Ok(turn.map(|turn| turn as u64))
}

/// False if the turn is over.
pub(super) fn note(
    connection: &Connection,
    turn: u64,
    incidents: &[Incident],
    calls: &[WebhookCall],
) -> rusqlite::Result<bool> {
    let is_current = connection.prepare_cached("SELECT 1 FROM watch WHERE turn = ?1")?.exists([turn as i64])?;
    if is_current {
        incidents.iter().try_for_each(|incident| put(connection, incident))?;
        calls.iter().try_for_each(|call| add_call(connection, call))?;
    }
    Ok(is_current)
}

fn put(connection: &Connection, incident: &Incident) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(&format!(
        "INSERT INTO incident ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET destination = ?3, last_seen = ?7, closed = ?8, closed_because = ?9,
             pending = ?10, pending_peak = ?11, oldest = ?12, finding = ?13"
    ))?;
    upsert.execute(params![
        incident.id.as_bytes().as_slice(),
        incident.connector,
        incident.destination,
        incident.cause,
        incident.node,
        Millis(incident.opened),
        Millis(incident.last_seen),
        incident.closed.map(|(at, _)| Millis(at)),
        incident.closed.map(|(_, because)| Json(because)),
        incident.pending as i64,
        incident.pending_peak as i64,
        incident.oldest.map(Millis),
        incident.finding,
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let closed = row.get::<_, Option<Millis>>(7)?.zip(row.get::<_, Option<Json<_>>>(8)?);
    Ok(Incident {
        id: uuid(row, 0)?,
        connector: row.get(1)?,
        destination: row.get(2)?,
        cause: row.get(3)?,
        node: row.get(4)?,
        opened: row.get::<_, Millis>(5)?.0,
        last_seen: row.get::<_, Millis>(6)?.0,
        closed: closed.map(|(at, because)| (at.0, because.0)),
        pending: row.get::<_, i64>(9)? as u64,
        pending_peak: row.get::<_, i64>(10)? as u64,
        oldest: row.get::<_, Option<Millis>>(11)?.map(|at| at.0),
        finding: row.get(12)?,
    })
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}

pub(super) fn list(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Incident>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM incident ORDER BY closed IS NOT NULL, closed DESC, opened DESC LIMIT ?1"
    ))?;
    select.query_map([limit], read)?.collect()
}

pub(super) fn find(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Incident>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM incident WHERE id = ?1"))?;
    select.query_row([id.as_bytes().as_slice()], read).optional()
}

fn add_call(connection: &Connection, call: &WebhookCall) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO webhook_call (id, incident, body, attempts, due) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let (id, incident) = (call.id.as_bytes().as_slice(), call.incident.as_bytes().as_slice());
    insert.execute(params![id, incident, call.body, call.attempts, Millis(call.due)])?;
    Ok(())
}

pub(super) fn has_due_call(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM webhook_call WHERE due <= ?1")?.exists([Millis(now)])
}

pub(super) fn claim_calls(
    connection: &Connection,
    now: Timestamp,
    again: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<WebhookCall>> {
    let mut claim = connection.prepare_cached(
        "UPDATE webhook_call SET due = ?2 WHERE key IN (
             SELECT key FROM webhook_call AS call WHERE due <= ?1 AND NOT EXISTS (
                 SELECT 1 FROM webhook_call AS before WHERE before.incident = call.incident AND before.key < call.key
             ) ORDER BY key LIMIT ?3
         ) RETURNING id, incident, body, attempts, due",
    )?;
    let calls = claim.query_map(params![Millis(now), Millis(again), limit], |row| {
        Ok(WebhookCall {
            id: uuid(row, 0)?,
            incident: uuid(row, 1)?,
            body: row.get(2)?,
            attempts: row.get(3)?,
            due: row.get::<_, Millis>(4)?.0,
        })
    })?;
    calls.collect()
}

pub(super) fn settle_call(connection: &Connection, id: Uuid, due: Option<Timestamp>) -> rusqlite::Result<()> {
    let id = id.as_bytes().as_slice();
    match due {
        Some(due) => connection
            .prepare_cached("UPDATE webhook_call SET attempts = attempts + 1, due = ?2 WHERE id = ?1")?
            .execute(params![id, Millis(due)])?,
        None => connection.prepare_cached("DELETE FROM webhook_call WHERE id = ?1")?.execute([id])?,
    };
    Ok(())
}
