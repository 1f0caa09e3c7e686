//! The change log.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use trace::{
    Change, ChangeKind,
    change::{AccessChange, DestinationFacts},
};
use uuid::Uuid;

use super::{
    LONG, PostgresStore,
    lane::Tx,
    row::{Columns, json, readable, text},
};
use crate::{
    ChangeLog, ChangeQuery, KnownDestination, NewChange, Result, SeenDestination, StoreError,
    change_log::{destination, destinations_since, forget_destinations},
    clock::before,
};

impl ChangeLog for PostgresStore {
    async fn record_change(&self, change: NewChange) -> Result<()> {
        self.0.clerk.write(move |tx| async move { put(&tx, &change).await }).await
    }

    async fn note_destinations(&self, node: &str, seen: Vec<SeenDestination>) -> Result<()> {
        let node = node.to_owned();
        let note = move |tx: Tx| async move {
            for seen in &seen {
                note_destination(&tx, &node, seen).await?;
            }
            Ok(())
        };
        self.0.clerk.write(note).await
    }

    async fn destinations(&self, host: Option<&str>, limit: u32) -> Result<Vec<KnownDestination>> {
        let host = host.map(text);
        let host = host.as_deref();
        self.0.readers.read(|tx| async move { known(&tx, host, limit).await }).await
    }

    async fn changes(&self, query: ChangeQuery) -> Result<Vec<Change>> {
        let query = &query;
        self.0.readers.read(|tx| async move { list(&tx, query).await }).await
    }

    async fn forget_changes(&self, age: Duration) -> Result<u64> {
        let forget = move |tx: Tx| async move {
            let before = before(tx.now().await?, age).as_millisecond();
            tx.execute("DELETE FROM destination WHERE at < $1", &[&before]).await?;
            tx.execute(&forget_destinations(), &[]).await?;
            tx.execute("DELETE FROM change WHERE at < $1", &[&before]).await
        };
        self.0.clerk.write_within(LONG, forget).await
    }
}

pub(super) async fn put(tx: &Tx, change: &NewChange) -> Result<()> {
    put_as(tx, Uuid::now_v7(), change).await
}

/// Work of several transactions is one change: each of them brings it up to date.
pub(super) async fn put_as(tx: &Tx, id: Uuid, change: &NewChange) -> Result<()> {
    let NewChange { node, who, from, kind } = change;
    let sql = "INSERT INTO change (id, at, node, who, kind, json, client) VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (id) DO UPDATE SET json = $6";
    let (now, node) = (tx.now().await?.as_millisecond(), node.as_deref().map(text));
    let client = from.map(|from| from.to_string());
    tx.execute(sql, &[&id, &now, &node, &text(who), &kind.name(), &json(kind)?, &client]).await.map(drop)
}

async fn list(tx: &Tx, query: &ChangeQuery) -> Result<Vec<Change>> {
    let ChangeQuery { since, until, kinds, node, who, audit, limit, after } = query;
    let sql = "SELECT id, at, node, who, client, json FROM change
               WHERE at >= $1 AND at < $2 AND ($3::text[] IS NULL OR kind = ANY($3)) AND ($4::text IS NULL OR node = $4)
                   AND ($5::bigint IS NULL OR (at, id) < ($5, $6::uuid))
                   AND ($8::text IS NULL OR who = $8) AND kind <> ALL($9)
               ORDER BY at DESC, id DESC LIMIT $7";
    let since = since.unwrap_or(Timestamp::MIN).as_millisecond();
    let until = until.unwrap_or(Timestamp::MAX).as_millisecond();
    let (at, id) = after.map(|after| (after.at.as_millisecond(), after.id)).unzip();
    let (kinds, node) = ((!kinds.is_empty()).then_some(kinds), node.as_deref().map(text));
    let (who, limit) = (who.as_deref().map(text), i64::from(*limit));
    let without: &[&str] = if *audit { &[] } else { &AccessChange::NAMES };
    let rows = tx.query(sql, &[&since, &until, &kinds, &node, &at, &id, &limit, &who, &without]).await?;
    Ok(readable(&rows, read))
}

fn read(row: &Row) -> Result<Change> {
    let mut columns = Columns::of(row);
    let (id, at) = (columns.take()?, columns.time()?);
    let (node, who) = (columns.take()?, columns.take()?);
    let from = columns.take::<Option<&str>>()?.and_then(|from| from.parse().ok());
    Ok(Change { id, at, node, who, from, kind: kind(columns.take()?)? })
}

fn kind(json: &str) -> Result<ChangeKind> {
    ChangeKind::read(json).map_err(|error| StoreError::Other(format!("a change cannot be read: {error}")))
}

/// Nodes that see the same change take turns, so that one of them finds it recorded.
async fn note_destination(tx: &Tx, node: &str, seen: &SeenDestination) -> Result<()> {
    let (host, address) = (text(&seen.host), seen.address.to_string());
    let sql = "SELECT json FROM destination WHERE node = $1 AND host = $2 AND address = $3";
    let row = tx.query_opt(sql, &[&node, &host, &address]).await?;
    // What another version wrote may be unreadable: this sight is the first one then.
    let read = |row: Row| serde_json::from_str::<DestinationFacts>(row.try_get(0).ok()?).ok();
    let known = row.and_then(read);
    let now = tx.now().await?;
    if let Some(known) = known.as_ref().filter(|known| !seen.facts.since(known).is_empty()) {
        tx.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        if let Some(kind) = destination(seen, known, &recent(tx, now).await?, now) {
            put(tx, &NewChange::of_node(node, kind)).await?;
        }
    }
    let facts = known.map_or_else(|| seen.facts.clone(), |known| seen.facts.clone().completed(&known));
    let sql = "INSERT INTO destination (node, host, address, at, json) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (node, host, address) DO UPDATE SET at = $4, json = $5";
    tx.execute(sql, &[&node, &host, &address, &now.as_millisecond(), &json(&facts)?]).await.map(drop)
}

/// Rows of a newer version that cannot be read are left out.
async fn known(tx: &Tx, host: Option<&str>, limit: u32) -> Result<Vec<KnownDestination>> {
    let sql = "SELECT node, host, address, at, json FROM destination WHERE $1::text IS NULL OR host = $1
               ORDER BY host, address, node LIMIT $2";
    let rows = tx.query(sql, &[&host, &i64::from(limit)]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        let (node, host) = (columns.take()?, columns.take()?);
        let (address, at) = (columns.take::<&str>()?.parse(), columns.time()?);
        let address =
            address.map_err(|_| StoreError::Other("the address of a destination cannot be read".to_owned()))?;
        let facts = columns.json()?.ok_or_else(|| StoreError::Other("a destination has no facts".to_owned()))?;
        Ok(KnownDestination { node, at, seen: SeenDestination { host, address, facts } })
    };
    Ok(readable(&rows, read))
}

/// "Dest" in ASCII: one node at a time records changes of destinations.
const LOCK: i64 = 0x4465_7374;

/// Changes of destinations of the past day.
async fn recent(tx: &Tx, now: Timestamp) -> Result<Vec<(Timestamp, ChangeKind)>> {
    let sql = "SELECT at, json FROM change WHERE kind = 'destination-changed' AND at >= $1";
    let rows = tx.query(sql, &[&destinations_since(now).as_millisecond()]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok((columns.time()?, kind(columns.take()?)?))
    };
    Ok(readable(&rows, read))
}
