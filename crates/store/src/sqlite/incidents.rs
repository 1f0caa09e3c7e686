//! Incidents, and the webhook's calls.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    SqliteStore,
    change_log::put as put_change,
    row::{Json, Millis, readable},
};
use crate::{
    Incident, IncidentNote, Incidents, NewChange, NoteAdded, Result, WebhookCall, change_log, clock::after,
    incidents::NOTES_MAX,
};

impl Incidents for SqliteStore {
    async fn note_incidents(&self, turn: u64, incidents: Vec<Incident>, calls: Vec<WebhookCall>) -> Result<bool> {
        self.write(move |connection, now| note(connection, turn, &incidents, &calls, now)).await
    }

    async fn incidents(&self, limit: u32) -> Result<Vec<Incident>> {
        self.read(move |connection, _| list(connection, limit)).await
    }

    async fn incident(&self, id: Uuid) -> Result<Option<Incident>> {
        self.read(move |connection, _| find(connection, id)).await
    }

    async fn keep_picture(&self, incident: Uuid, picture: String) -> Result<()> {
        self.write(move |connection, _| keep_picture(connection, incident, &picture)).await
    }

    async fn picture(&self, incident: Uuid) -> Result<Option<String>> {
        self.read(move |connection, _| picture(connection, incident)).await
    }

    async fn add_note(&self, incident: Uuid, who: &str, text: &str) -> Result<NoteAdded> {
        let (who, text) = (who.to_owned(), text.to_owned());
        self.write(move |connection, now| add_note(connection, incident, &who, &text, now)).await
    }

    async fn notes(&self, incident: Uuid) -> Result<Vec<IncidentNote>> {
        self.read(move |connection, _| notes(connection, incident)).await
    }

    async fn claim_calls(&self, again: Duration, limit: u32) -> Result<Vec<WebhookCall>> {
        // Most of the time there is none, and the writer is not asked for nothing.
        match self.read(has_due_call).await? {
            true => self.write(move |connection, now| claim_calls(connection, now, after(now, again), limit)).await,
            false => Ok(Vec::new()),
        }
    }

    async fn settle_call(&self, id: Uuid, due_in: Option<Duration>) -> Result<()> {
        self.write(move |connection, now| settle_call(connection, id, due_in.map(|wait| after(now, wait)))).await
    }
}

const COLUMNS: &str = "id, connector, destination, cause, node, opened, last_seen, closed, closed_because, pending, \
                       pending_peak, oldest, finding";

/// False if the turn is over.
fn note(
    connection: &Connection,
    turn: u64,
    incidents: &[Incident],
    calls: &[WebhookCall],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut watch = connection.prepare_cached("SELECT node FROM watch WHERE turn = ?1")?;
    let Some(node) = watch.query_row([turn as i64], |row| row.get::<_, String>(0)).optional()? else {
        return Ok(false);
    };
    for incident in incidents {
        for kind in change_log::incident(was_open(connection, incident.id)?, incident) {
            put_change(connection, &NewChange::of_node(&node, kind), now)?;
        }
        put(connection, incident)?;
    }
    calls.iter().try_for_each(|call| add_call(connection, call, now))?;
    Ok(true)
}

/// `None`: it is not stored.
fn was_open(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<bool>> {
    let mut select = connection.prepare_cached("SELECT closed IS NULL FROM incident WHERE id = ?1")?;
    select.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()
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

fn list(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Incident>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM incident ORDER BY closed IS NOT NULL, closed DESC, opened DESC LIMIT ?1"
    ))?;
    readable(select.query_map([limit], read)?)
}

fn find(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Incident>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM incident WHERE id = ?1"))?;
    select.query_row([id.as_bytes().as_slice()], read).optional()
}

fn keep_picture(connection: &Connection, id: Uuid, picture: &str) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE incident SET picture = ?2 WHERE id = ?1")?;
    update.execute(params![id.as_bytes().as_slice(), picture]).map(drop)
}

fn picture(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<String>> {
    let mut select = connection.prepare_cached("SELECT picture FROM incident WHERE id = ?1")?;
    select.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional().map(Option::flatten)
}

fn add_note(
    connection: &Connection,
    incident: Uuid,
    who: &str,
    text: &str,
    now: Timestamp,
) -> rusqlite::Result<NoteAdded> {
    let incident = incident.as_bytes().as_slice();
    if !connection.prepare_cached("SELECT 1 FROM incident WHERE id = ?1")?.exists([incident])? {
        return Ok(NoteAdded::NoIncident);
    }
    let mut count = connection.prepare_cached("SELECT count(*) FROM incident_note WHERE incident = ?1")?;
    if count.query_row([incident], |row| row.get::<_, u32>(0))? >= NOTES_MAX {
        return Ok(NoteAdded::Full);
    }
    let mut insert = connection
        .prepare_cached("INSERT INTO incident_note (id, incident, at, who, text) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![Uuid::now_v7().as_bytes().as_slice(), incident, Millis(now), who, text])?;
    Ok(NoteAdded::Added)
}

fn notes(connection: &Connection, incident: Uuid) -> rusqlite::Result<Vec<IncidentNote>> {
    let sql = "SELECT id, at, who, text FROM incident_note WHERE incident = ?1 ORDER BY at, id";
    let mut select = connection.prepare_cached(sql)?;
    let note = |row: &Row<'_>| {
        let at = row.get::<_, Millis>(1)?.0;
        Ok(IncidentNote { id: uuid(row, 0)?, at, who: row.get(2)?, text: row.get(3)? })
    };
    readable(select.query_map([incident.as_bytes().as_slice()], note)?)
}

fn add_call(connection: &Connection, call: &WebhookCall, now: Timestamp) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO webhook_call (id, incident, body, attempts, due) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let (id, incident) = (call.id.as_bytes().as_slice(), call.incident.as_bytes().as_slice());
    insert.execute(params![id, incident, call.body, call.attempts, Millis(now)])?;
    Ok(())
}

fn has_due_call(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM webhook_call WHERE due <= ?1")?.exists([Millis(now)])
}

fn claim_calls(
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
         ) RETURNING id, incident, body, attempts",
    )?;
    let calls = claim.query_map(params![Millis(now), Millis(again), limit], |row| {
        Ok(WebhookCall { id: uuid(row, 0)?, incident: uuid(row, 1)?, body: row.get(2)?, attempts: row.get(3)? })
    })?;
    calls.collect()
}

fn settle_call(connection: &Connection, id: Uuid, due: Option<Timestamp>) -> rusqlite::Result<()> {
    let id = id.as_bytes().as_slice();
    match due {
        Some(due) => connection
            .prepare_cached("UPDATE webhook_call SET attempts = attempts + 1, due = ?2 WHERE id = ?1")?
            .execute(params![id, Millis(due)])?,
        None => connection.prepare_cached("DELETE FROM webhook_call WHERE id = ?1")?.execute([id])?,
    };
    Ok(())
}

/// Deletes those that were closed before. They are few.
pub(super) fn forget(connection: &Connection, before: Timestamp) -> rusqlite::Result<()> {
    let closed = "SELECT id FROM incident WHERE closed < ?1";
    let notes = format!("DELETE FROM incident_note WHERE incident IN ({closed})");
    connection.prepare_cached(&notes)?.execute([Millis(before)])?;
    connection.prepare_cached("DELETE FROM incident WHERE closed < ?1")?.execute([Millis(before)])?;
    Ok(())
}

/// After the clock was set back, none waits for it.
pub(super) fn make_calls_due(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE webhook_call SET due = ?1 WHERE due > ?1")?.execute([Millis(now)])?;
    Ok(())
}
