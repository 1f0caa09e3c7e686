//! Incidents, and the webhook's calls.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    change_log::put as put_change,
    lane::Tx,
    row::{Columns, json, readable, text},
};
use crate::{
    Incident, IncidentNote, Incidents, NewChange, NoteAdded, Result, WebhookCall, change_log, clock::after,
    incidents::NOTES_MAX,
};

impl Incidents for PostgresStore {
    async fn note_incidents(&self, turn: u64, incidents: Vec<Incident>, calls: Vec<WebhookCall>) -> Result<bool> {
        self.0.clerk.write(move |tx| async move { note(&tx, turn, &incidents, &calls).await }).await
    }

    async fn incidents(&self, limit: u32) -> Result<Vec<Incident>> {
        self.0.readers.read(|tx| list(tx, limit)).await
    }

    async fn incident(&self, id: Uuid) -> Result<Option<Incident>> {
        self.0.readers.read(|tx| find(tx, id)).await
    }

    async fn keep_picture(&self, incident: Uuid, picture: String) -> Result<()> {
        self.0.clerk.write(move |tx| async move { keep_picture(&tx, incident, &picture).await }).await
    }

    async fn picture(&self, incident: Uuid) -> Result<Option<String>> {
        self.0.readers.read(move |tx| picture(tx, incident)).await
    }

    async fn add_note(&self, incident: Uuid, who: &str, text: &str) -> Result<NoteAdded> {
        let (who, words) = (who.to_owned(), text.to_owned());
        self.0.clerk.write(move |tx| async move { add_note(&tx, incident, &who, &words).await }).await
    }

    async fn notes(&self, incident: Uuid) -> Result<Vec<IncidentNote>> {
        self.0.readers.read(move |tx| notes(tx, incident)).await
    }

    async fn claim_calls(&self, again: Duration, limit: u32) -> Result<Vec<WebhookCall>> {
        // Most of the time there is none, and nothing is written.
        match self.0.readers.read(has_due_call).await? {
            true => self.0.clerk.write(move |tx| async move { claim_calls(&tx, again, limit).await }).await,
            false => Ok(Vec::new()),
        }
    }

    async fn settle_call(&self, id: Uuid, due_in: Option<Duration>) -> Result<()> {
        self.0.clerk.write(move |tx| async move { settle_call(&tx, id, due_in).await }).await
    }
}

const COLUMNS: &str = "id, connector, destination, cause, node, opened, last_seen, closed, closed_because, pending, \
                       pending_peak, oldest, finding";

/// False if the turn is over. The turn stays what it is until this is committed.
async fn note(tx: &Tx, turn: u64, incidents: &[Incident], calls: &[WebhookCall]) -> Result<bool> {
    let watch = tx.query_opt("SELECT node FROM watch WHERE turn = $1 FOR SHARE", &[&(turn as i64)]).await?;
    let Some(watch) = watch else { return Ok(false) };
    let node: &str = watch.try_get(0)?;
    for incident in incidents {
        for kind in change_log::incident(was_open(tx, incident.id).await?, incident) {
            put_change(tx, &NewChange::of_node(node, kind)).await?;
        }
        put(tx, incident).await?;
    }
    for call in calls {
        add_call(tx, call).await?;
    }
    Ok(true)
}

/// `None`: it is not stored.
async fn was_open(tx: &Tx, id: Uuid) -> Result<Option<bool>> {
    let row = tx.query_opt("SELECT closed IS NULL FROM incident WHERE id = $1", &[&id]).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

async fn put(tx: &Tx, incident: &Incident) -> Result<()> {
    let sql = format!(
        "INSERT INTO incident ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (id) DO UPDATE SET destination = $3, last_seen = $7, closed = $8, closed_because = $9,
             pending = $10, pending_peak = $11, oldest = $12, finding = $13"
    );
    let closed = incident.closed.map(|(at, _)| at.as_millisecond());
    let closed_because = incident.closed.map(|(_, because)| json(&because)).transpose()?;
    let (opened, last_seen) = (incident.opened.as_millisecond(), incident.last_seen.as_millisecond());
    let (pending, peak) = (incident.pending as i64, incident.pending_peak as i64);
    let oldest = incident.oldest.map(|at| at.as_millisecond());
    let (connector, destination) = (text(&incident.connector), text(&incident.destination));
    let (cause, node, finding) = (text(&incident.cause), text(&incident.node), text(&incident.finding));
    tx.execute(
        &sql,
        &[
            &incident.id,
            &connector,
            &destination,
            &cause,
            &node,
            &opened,
            &last_seen,
            &closed,
            &closed_because,
            &pending,
            &peak,
            &oldest,
            &finding,
        ],
    )
    .await
    .map(drop)
}

fn read(row: &Row) -> Result<Incident> {
    let mut columns = Columns::of(row);
    let (id, connector, destination) = (columns.take()?, columns.take()?, columns.take()?);
    let (cause, node) = (columns.take()?, columns.take()?);
    let (opened, last_seen) = (columns.time()?, columns.time()?);
    let closed = columns.time_if_any()?.zip(columns.json()?);
    let (pending, pending_peak) = (columns.take::<i64>()? as u64, columns.take::<i64>()? as u64);
    let (oldest, finding) = (columns.time_if_any()?, columns.take()?);
    Ok(Incident {
        id,
        connector,
        destination,
        cause,
        node,
        opened,
        last_seen,
        closed,
        pending,
        pending_peak,
        oldest,
        finding,
    })
}

async fn list(tx: Tx, limit: u32) -> Result<Vec<Incident>> {
    let sql = format!("SELECT {COLUMNS} FROM incident ORDER BY closed IS NOT NULL, closed DESC, opened DESC LIMIT $1");
    Ok(readable(&tx.query(&sql, &[&i64::from(limit)]).await?, read))
}

async fn find(tx: Tx, id: Uuid) -> Result<Option<Incident>> {
    let row = tx.query_opt(&format!("SELECT {COLUMNS} FROM incident WHERE id = $1"), &[&id]).await?;
    row.as_ref().map(read).transpose()
}

async fn keep_picture(tx: &Tx, id: Uuid, picture: &str) -> Result<()> {
    tx.execute("UPDATE incident SET picture = $2 WHERE id = $1", &[&id, &text(picture)]).await.map(drop)
}

async fn picture(tx: Tx, id: Uuid) -> Result<Option<String>> {
    let row = tx.query_opt("SELECT picture FROM incident WHERE id = $1", &[&id]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

async fn add_note(tx: &Tx, incident: Uuid, who: &str, words: &str) -> Result<NoteAdded> {
    // Those who write at once take turns, so that the limit holds.
    let known = tx.query_opt("SELECT 1 FROM incident WHERE id = $1 FOR UPDATE", &[&incident]).await?;
    if known.is_none() {
        return Ok(NoteAdded::NoIncident);
    }
    let count = tx.query_one("SELECT count(*) FROM incident_note WHERE incident = $1", &[&incident]).await?;
    if count.try_get::<_, i64>(0)? >= i64::from(NOTES_MAX) {
        return Ok(NoteAdded::Full);
    }
    let at = tx.now().await?.as_millisecond();
    let sql = "INSERT INTO incident_note (id, incident, at, who, text) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, &[&Uuid::now_v7(), &incident, &at, &text(who), &text(words)]).await?;
    Ok(NoteAdded::Added)
}

async fn notes(tx: Tx, incident: Uuid) -> Result<Vec<IncidentNote>> {
    let sql = "SELECT id, at, who, text FROM incident_note WHERE incident = $1 ORDER BY at, id";
    Ok(readable(&tx.query(sql, &[&incident]).await?, |row| {
        let mut columns = Columns::of(row);
        Ok(IncidentNote { id: columns.take()?, at: columns.time()?, who: columns.take()?, text: columns.take()? })
    }))
}

async fn add_call(tx: &Tx, call: &WebhookCall) -> Result<()> {
    let sql = "INSERT INTO webhook_call (id, incident, body, attempts, due) VALUES ($1, $2, $3, $4, $5)";
    let now = tx.now().await?.as_millisecond();
    tx.execute(sql, &[&call.id, &call.incident, &text(&call.body), &(call.attempts as i32), &now]).await.map(drop)
}

async fn has_due_call(tx: Tx) -> Result<bool> {
    let now = tx.now().await?.as_millisecond();
    let row = tx.query_one("SELECT EXISTS (SELECT 1 FROM webhook_call WHERE due <= $1)", &[&now]).await?;
    Ok(row.try_get(0)?)
}

async fn claim_calls(tx: &Tx, again: Duration, limit: u32) -> Result<Vec<WebhookCall>> {
    let now = tx.now().await?;
    let sql = "WITH due AS MATERIALIZED (
                   SELECT key FROM webhook_call AS call WHERE due <= $1 AND NOT EXISTS (
                       SELECT 1 FROM webhook_call AS before
                       WHERE before.incident = call.incident AND before.key < call.key
                   ) ORDER BY key LIMIT $3 FOR UPDATE OF call SKIP LOCKED
               )
               UPDATE webhook_call AS call SET due = $2 FROM due WHERE call.key = due.key
               RETURNING call.key, call.id, call.incident, call.body, call.attempts";
    let due_again = after(now, again).as_millisecond();
    let rows = tx.query(sql, &[&now.as_millisecond(), &due_again, &i64::from(limit)]).await?;
    let call = |row: &Row| {
        let mut columns = Columns::of(row);
        let (key, id, incident, body): (i64, _, _, _) =
            (columns.take()?, columns.take()?, columns.take()?, columns.take()?);
        Ok((key, WebhookCall { id, incident, body, attempts: columns.take::<i32>()? as u32 }))
    };
    let mut calls = rows.iter().map(call).collect::<Result<Vec<_>>>()?;
    calls.sort_by_key(|(key, _)| *key);
    Ok(calls.into_iter().map(|(_, call)| call).collect())
}

async fn settle_call(tx: &Tx, id: Uuid, due_in: Option<Duration>) -> Result<()> {
    match due_in {
        Some(wait) => {
            let due = after(tx.now().await?, wait).as_millisecond();
            let sql = "UPDATE webhook_call SET attempts = attempts + 1, due = $2 WHERE id = $1";
            tx.execute(sql, &[&id, &due]).await.map(drop)
        }
        None => tx.execute("DELETE FROM webhook_call WHERE id = $1", &[&id]).await.map(drop),
    }
}

/// Deletes those that were closed before. They are few.
pub(super) async fn forget(tx: &Tx, before: Timestamp) -> Result<()> {
    let notes = "DELETE FROM incident_note WHERE incident IN (SELECT id FROM incident WHERE closed < $1)";
    tx.execute(notes, &[&before.as_millisecond()]).await?;
    tx.execute("DELETE FROM incident WHERE closed < $1", &[&before.as_millisecond()]).await.map(drop)
}

/// After the clock was set back, none waits for it.
pub(super) async fn make_calls_due(tx: &Tx, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE webhook_call SET due = $1 WHERE due > $1", &[&now.as_millisecond()]).await.map(drop)
}
