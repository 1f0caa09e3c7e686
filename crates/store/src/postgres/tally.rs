//! Tallies: what a transaction has counted is added to the table in a statement that the transaction sends anyway, or sends
//! together with others. No round trip is added.
//!
//! Each row has the node in its key, so nodes do not wait for each other. The two connections on which a node accepts and
//! settles do not either: one batch of each kind is written at a time, and the outcomes differ. Rows are written in the
//! order of their keys and last in their transaction, so nobody waits in a circle. An update in place (HOT) costs 150 bytes
//! of log for each key and batch, and no entry in an index (measured). A new row for each batch would cost 220 bytes, and
//! somebody would have to add those rows up each minute.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use tokio_postgres::{Row, types::ToSql};

use super::{
    LONG, PostgresStore,
    lane::Tx,
    row::{Columns, text},
    session::Session,
};
use crate::{
    Result, Tallies, Tally, TallyQuery,
    tally::{Count, Counts, TallyColumns, deleted_before, merged_before},
};

impl Tallies for PostgresStore {
    async fn tallies(&self, query: TallyQuery) -> Result<Vec<Tally>> {
        self.0.searchers.read(|tx| read(tx, &query)).await
    }

    async fn tidy_tallies(&self, keep: Duration, limit: u32) -> Result<u64> {
        let tidy = move |tx: Tx| async move { tidy(&tx, keep, limit).await };
        self.0.clerk.write_within(LONG, tidy).await
    }
}

/// What is there already grows by what is new.
pub(super) const ADD: &str = "ON CONFLICT (span, minute, outcome, connector, node, tls_policy, tls, cause) DO UPDATE
        SET deliveries = t.deliveries + excluded.deliveries, bytes = t.bytes + excluded.bytes";

const COLUMNS: &str = "span, minute, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes";

/// Adds rows of one minute each.
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO tally AS t ({COLUMNS})
         SELECT 1, n.* FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[],
             $7::text[], $8::bigint[], $9::bigint[]) AS n {ADD}"
    )
});

pub(super) async fn write(session: &Session, counts: &Counts) -> Result<()> {
    if counts.rows().is_empty() {
        return Ok(());
    }
    let keys = || counts.rows().iter().map(Count::key);
    let minute: Vec<i64> = keys().map(|key| key.minute).collect();
    let outcome: Vec<i16> = keys().map(|key| key.outcome.number()).collect();
    let connector: Vec<Cow<'_, str>> = keys().map(|key| text(key.connector)).collect();
    let node: Vec<Cow<'_, str>> = keys().map(|key| text(key.node)).collect();
    let policy: Vec<Cow<'_, str>> = keys().map(|key| text(key.tls_policy)).collect();
    let tls: Vec<Cow<'_, str>> = keys().map(|key| text(key.tls)).collect();
    let cause: Vec<&str> = keys().map(|key| key.cause).collect();
    let deliveries: Vec<i64> = counts.rows().iter().map(|count| count.deliveries).collect();
    let bytes: Vec<i64> = counts.rows().iter().map(|count| count.bytes).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&minute, &outcome, &connector, &node, &policy, &tls, &cause, &deliveries, &bytes];
    session.execute(&INSERT, &parameters).await.map(drop)
}

/// A statement that was made for one query.
async fn read(tx: Tx, query: &TallyQuery) -> Result<Vec<Tally>> {
    let tally = |row: &Row| -> Result<Tally> {
        let mut columns = Columns::of(row);
        let (at, deliveries, bytes) = (columns.take()?, columns.take()?, columns.take()?);
        let (outcome, connector, node) = (columns.take()?, columns.take()?, columns.take()?);
        let (tls_policy, tls, cause) = (columns.take()?, columns.take()?, columns.take()?);
        let read = TallyColumns { at, deliveries, bytes, outcome, connector, node, tls_policy, tls, cause };
        Ok(Tally::from(read))
    };
    tx.query_once(&query.sql(), &[]).await?.iter().map(tally).collect()
}

/// "Tidy" in ASCII: one node at a time.
const LOCK: i64 = 0x5469_6479;

/// Another node that is at it does it for all.
async fn tidy(tx: &Tx, keep: Duration, limit: u32) -> Result<u64> {
    if !tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?.try_get(0)? {
        return Ok(0);
    }
    let (now, limit) = (tx.now().await?, i64::from(limit));
    let mut done = 0;
    for span in [1_i16, 60] {
        let sql = format!("DELETE FROM tally WHERE span = $1 AND minute <= {LAST}");
        done += tx.execute(&sql, &[&span, &deleted_before(now, keep), &limit]).await?;
    }
    // An hour may be merged in several pieces, each of which is added to its row.
    let sql = format!(
        "WITH minutes AS (DELETE FROM tally WHERE span = $1 AND minute <= {LAST} RETURNING *),
         hours AS (
             INSERT INTO tally AS t ({COLUMNS})
             SELECT 60, minute - minute % 3600000 AS hour, outcome, connector, node, tls_policy, tls, cause,
                 sum(deliveries)::bigint, sum(bytes)::bigint
             FROM minutes GROUP BY hour, outcome, connector, node, tls_policy, tls, cause {ADD}
         )
         SELECT count(*) FROM minutes"
    );
    let merged: i64 = tx.query_one(&sql, &[&1_i16, &merged_before(now), &limit]).await?.try_get(0)?;
    Ok(done + merged as u64)
}

/// The minute of the row of the span $1 that comes $3-th, or that is the last before $2.
const LAST: &str = "(SELECT max(minute) FROM (
        SELECT minute FROM tally WHERE span = $1 AND minute < $2 ORDER BY minute LIMIT $3) AS first)";
