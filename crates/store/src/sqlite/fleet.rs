//! The fleet's plans, and the ledger of deliveries with less protection than they might have had.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{Json, Millis};
use crate::{LedgerEntry, StoredPlan, WeakDelivery};

pub(super) fn plan(connection: &Connection) -> rusqlite::Result<Option<StoredPlan>> {
    let mut select =
        connection.prepare_cached("SELECT version, at, set_by, json FROM plan ORDER BY version DESC LIMIT 1")?;
    select.query_row([], read_plan).optional()
}

pub(super) fn plans(connection: &Connection) -> rusqlite::Result<Vec<StoredPlan>> {
    let mut select = connection.prepare_cached("SELECT version, at, set_by, json FROM plan ORDER BY version DESC")?;
    select.query_map([], read_plan)?.collect()
}

fn read_plan(row: &Row<'_>) -> rusqlite::Result<StoredPlan> {
    Ok(StoredPlan {
        version: row.get::<_, i64>(0)? as u64,
        at: row.get::<_, Millis>(1)?.0,
        by: row.get(2)?,
        plan: row.get(3)?,
    })
}

/// `None` if another plan than `before` is in force.
pub(super) fn replace_plan(
    connection: &Connection,
    before: Option<u64>,
    plan_json: &str,
    by: &str,
    at: Timestamp,
) -> rusqlite::Result<Option<u64>> {
    let in_force = plan(connection)?.map(|plan| plan.version);
    if in_force != before {
        return Ok(None);
    }
    let version = in_force.unwrap_or(0) + 1;
    let mut insert =
        connection.prepare_cached("INSERT INTO plan (version, at, set_by, json) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![version as i64, Millis(at), by, plan_json])?;
    Ok(Some(version))
}

pub(super) fn note_weak(connection: &Connection, weak: &WeakDelivery) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO ledger (host, port, connector, tls_policy, tls, why, deliveries, first, last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
         ON CONFLICT DO UPDATE SET deliveries = deliveries + 1, last = max(last, ?7)",
    )?;
    let WeakDelivery { destination, connector, tls_policy, tls, why, at } = weak;
    let tls = tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.cipher)).unwrap_or_default();
    upsert.execute(params![destination.host, destination.port, connector, tls_policy, tls, Json(why), Millis(*at)])?;
    Ok(())
}

pub(super) fn ledger(connection: &Connection) -> rusqlite::Result<Vec<LedgerEntry>> {
    let mut select = connection.prepare_cached(
        "SELECT host, port, connector, tls_policy, tls, why, deliveries, first, last FROM ledger ORDER BY last DESC",
    )?;
    let entries = select.query_map([], |row| {
        let tls: String = row.get(4)?;
        let summary = |(version, cipher): (&str, &str)| protocol::smtp::TlsSummary {
            version: version.to_owned(),
            cipher: cipher.to_owned(),
        };
        Ok(LedgerEntry {
            host: row.get(0)?,
            port: row.get(1)?,
            connector: row.get(2)?,
            tls_policy: row.get(3)?,
            tls: tls.split_once(' ').map(summary),
            why: row.get::<_, Json<_>>(5)?.0,
            deliveries: row.get::<_, i64>(6)? as u64,
            first: row.get::<_, Millis>(7)?.0,
            last: row.get::<_, Millis>(8)?.0,
        })
    })?;
    entries.collect()
}
