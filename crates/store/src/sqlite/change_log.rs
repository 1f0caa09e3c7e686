//! The change log.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use trace::{
    Change, ChangeKind,
    change::{AccessChange, DestinationFacts},
};
use uuid::Uuid;

use super::{
    SqliteStore,
    row::{Json, Millis, RecordedChange, readable},
};
use crate::{
    ChangeLog, ChangeQuery, KnownDestination, NewChange, Result, SeenDestination,
    change_log::{destination, destinations_since, forget_destinations},
    clock::before,
};

impl ChangeLog for SqliteStore {
    async fn record_change(&self, change: NewChange) -> Result<()> {
        self.write(move |connection, now| put(connection, &change, now)).await
    }

    async fn note_destinations(&self, node: &str, seen: Vec<SeenDestination>) -> Result<()> {
        let node = node.to_owned();
        let note = move |connection: &Connection, now| {
            seen.iter().try_for_each(|seen| note_destination(connection, &node, seen, now))
        };
        self.write(note).await
    }

    async fn destinations(&self, host: Option<&str>, limit: u32) -> Result<Vec<KnownDestination>> {
        let host = host.map(str::to_owned);
        self.search(move |connection, _| known(connection, host.as_deref(), limit)).await
    }

    async fn changes(&self, query: ChangeQuery) -> Result<Vec<Change>> {
        self.search(move |connection, _| list(connection, &query)).await
    }

    async fn forget_changes(&self, age: Duration) -> Result<u64> {
        self.write(move |connection, now| forget(connection, before(now, age))).await
    }
}

pub(super) fn put(connection: &Connection, change: &NewChange, now: Timestamp) -> rusqlite::Result<()> {
    let NewChange { node, who, from, kind } = change;
    let mut insert = connection.prepare_cached(
        "INSERT INTO change (id, at, node, who, kind, json, client) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let client = from.map(|from| from.to_string());
    let id = Uuid::now_v7();
    insert.execute(params![id.as_bytes().as_slice(), Millis(now), node, who, kind.name(), Json(kind), client])?;
    Ok(())
}

fn list(connection: &Connection, query: &ChangeQuery) -> rusqlite::Result<Vec<Change>> {
    let ChangeQuery { since, until, kinds, node, who, audit, limit, after } = query;
    let mut select = connection.prepare_cached(
        "SELECT id, at, node, who, client, json FROM change
         WHERE at >= ?1 AND at < ?2 AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3)))
             AND (?4 IS NULL OR node = ?4) AND (?5 IS NULL OR (at, id) < (?5, ?6))
             AND (?8 IS NULL OR who = ?8) AND kind NOT IN (SELECT value FROM json_each(?9))
         ORDER BY at DESC, id DESC LIMIT ?7",
    )?;
    let kinds = (!kinds.is_empty()).then_some(Json(kinds));
    let (at, id) = after.map(|after| (Millis(after.at), after.id.as_bytes().to_vec())).unzip();
    let without = Json(if *audit { &[] } else { &AccessChange::NAMES[..] });
    let (since, until) = (since.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX));
    let rows =
        select.query_map(params![Millis(since), Millis(until), kinds, node, at, id, limit, who, without], read)?;
    readable(rows)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        id: Uuid::from_bytes(row.get(0)?),
        at: row.get::<_, Millis>(1)?.0,
        node: row.get(2)?,
        who: row.get(3)?,
        from: row.get::<_, Option<String>>(4)?.and_then(|from| from.parse().ok()),
        kind: row.get::<_, RecordedChange>(5)?.0,
    })
}

fn note_destination(
    connection: &Connection,
    node: &str,
    seen: &SeenDestination,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (host, address) = (&seen.host, seen.address.to_string());
    let mut select =
        connection.prepare_cached("SELECT json FROM destination WHERE node = ?1 AND host = ?2 AND address = ?3")?;
    let known = select.query_row(params![node, host, address], |row| row.get::<_, String>(0)).optional()?;
    // What another version wrote may be unreadable: this sight is the first one then.
    let known: Option<DestinationFacts> = known.and_then(|json| serde_json::from_str(&json).ok());
    if let Some(known) = &known
        && !seen.facts.since(known).is_empty()
        && let Some(kind) = destination(seen, known, &recent(connection, now)?, now)
    {
        put(connection, &NewChange::of_node(node, kind), now)?;
    }
    let facts = known.map_or_else(|| seen.facts.clone(), |known| seen.facts.clone().completed(&known));
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO destination (node, host, address, at, json) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    upsert.execute(params![node, host, address, Millis(now), Json(facts)])?;
    Ok(())
}

/// Rows of a newer version that cannot be read are left out.
fn known(connection: &Connection, host: Option<&str>, limit: u32) -> rusqlite::Result<Vec<KnownDestination>> {
    let mut select = connection.prepare_cached(
        "SELECT node, host, address, at, json FROM destination WHERE ?1 IS NULL OR host = ?1
         ORDER BY host, address, node LIMIT ?2",
    )?;
    let read = |row: &Row<'_>| {
        let (address, json): (String, String) = (row.get(2)?, row.get(4)?);
        let (node, host, at) = (row.get(0)?, row.get(1)?, row.get::<_, Millis>(3)?.0);
        let facts = address.parse().ok().zip(serde_json::from_str(&json).ok());
        Ok(facts.map(|(address, facts)| KnownDestination { node, at, seen: SeenDestination { host, address, facts } }))
    };
    let rows: Vec<Option<_>> = readable(select.query_map(params![host, limit], read)?)?;
    Ok(rows.into_iter().flatten().collect())
}

/// Changes of destinations of the past day.
fn recent(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<(Timestamp, ChangeKind)>> {
    let mut select =
        connection.prepare_cached("SELECT at, json FROM change WHERE kind = 'destination-changed' AND at >= ?1")?;
    let read = |row: &Row<'_>| Ok((row.get::<_, Millis>(0)?.0, row.get::<_, RecordedChange>(1)?.0));
    readable(select.query_map([Millis(destinations_since(now))], read)?)
}

fn forget(connection: &Connection, before: Timestamp) -> rusqlite::Result<u64> {
    connection.prepare_cached("DELETE FROM destination WHERE at < ?1")?.execute([Millis(before)])?;
    connection.execute(&forget_destinations(), [])?;
    let forgotten = connection.prepare_cached("DELETE FROM change WHERE at < ?1")?.execute([Millis(before)])?;
    Ok(forgotten as u64)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use trace::change::StartTlsOffer;

    use super::*;
    use crate::change_log::DESTINATIONS_MAX;

    #[tokio::test]
    async fn destinations_are_bounded_for_each_node() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), "n").unwrap();
        let facts = DestinationFacts {
            greeting: String::new(),
            starttls: StartTlsOffer::Offered,
            size: None,
            extensions: vec![],
            certificate: None,
        };
        let address: SocketAddr = "192.0.2.1:25".parse().unwrap();
        let seen = |number| SeenDestination { host: format!("mx{number}.test"), address, facts: facts.clone() };
        store.note_destinations("a", (0..DESTINATIONS_MAX + 3).map(seen).collect()).await.unwrap();
        store.note_destinations("b", vec![seen(0)]).await.unwrap();
        store.forget_changes(Duration::from_secs(3600)).await.unwrap();
        let count = |connection: &Connection, _| {
            connection.query_row("SELECT count(*) FROM destination", [], |row| row.get::<_, u32>(0))
        };
        assert_eq!(store.write(count).await.unwrap(), DESTINATIONS_MAX + 1);
        store.close().await;
    }
}
