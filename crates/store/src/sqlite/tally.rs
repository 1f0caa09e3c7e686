//! Tallies: what a transaction has counted is added to the table just before it is committed, one upsert for each key.
//!
//! The counts are in memory while the jobs of a batch run (writer.rs). If a job fails, the whole transaction is rolled back
//! and its counts are dropped; each job then runs again in a transaction of its own and counts again.

use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use crate::{
    Result, Tallies, Tally, TallyQuery, TallyStep,
    tally::{Counts, TallyColumns, deleted_before, merged_before},
};

impl Tallies for SqliteStore {
    async fn tallies(&self, query: TallyQuery) -> Result<Vec<Tally>> {
        self.search(move |connection, _| read(connection, &query)).await
    }

    async fn tidy_tallies(&self, keep: Duration, limit: u32) -> Result<u64> {
        self.write(move |connection, now| {
            let deleted = delete(connection, deleted_before(now, keep), limit)?;
            Ok(deleted + merge(connection, merged_before(now), limit)?)
        })
        .await
    }
}

/// Adds what was counted, by the minute or by the hour.
pub(super) fn write(connection: &Connection, step: TallyStep, counts: &Counts) -> rusqlite::Result<()> {
    if counts.rows().is_empty() {
        return Ok(());
    }
    let mut upsert = connection.prepare_cached(
        "INSERT INTO tally (span, minute, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT DO UPDATE SET deliveries = deliveries + excluded.deliveries, bytes = bytes + excluded.bytes",
    )?;
    for count in counts.rows() {
        let key = count.key();
        upsert.execute(params![
            step.minutes(),
            key.minute - key.minute.rem_euclid(step.millis()),
            key.outcome.number(),
            key.connector,
            key.node,
            key.tls_policy,
            key.tls,
            key.cause,
            count.deliveries,
            count.bytes,
        ])?;
    }
    Ok(())
}

/// Each query has its times in its text, so it is not kept.
fn read(connection: &Connection, query: &TallyQuery) -> rusqlite::Result<Vec<Tally>> {
    let tally = |row: &Row<'_>| -> rusqlite::Result<Tally> {
        Ok(Tally::from(TallyColumns {
            at: row.get(0)?,
            deliveries: row.get(1)?,
            bytes: row.get(2)?,
            outcome: row.get(3)?,
            connector: row.get(4)?,
            node: row.get(5)?,
            tls_policy: row.get(6)?,
            tls: row.get(7)?,
            cause: row.get(8)?,
        }))
    };
    connection.prepare(&query.sql())?.query_map([], tally)?.collect()
}

/// The minute of the `limit`-th row of this span, or of the last one before this time.
fn last_of(connection: &Connection, span: u8, before: i64, limit: u32) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached(
        "SELECT max(minute) FROM (
             SELECT minute FROM tally WHERE span = ?1 AND minute < ?2 ORDER BY minute LIMIT ?3
         )",
    )?;
    select.query_row(params![span, before, limit], |row| row.get(0))
}

fn delete(connection: &Connection, before: i64, limit: u32) -> rusqlite::Result<u64> {
    let mut deleted = 0;
    for span in [1, 60] {
        if let Some(last) = last_of(connection, span, before, limit)? {
            deleted += delete_until(connection, span, last)?;
        }
    }
    Ok(deleted)
}

fn delete_until(connection: &Connection, span: u8, last: i64) -> rusqlite::Result<u64> {
    let mut delete = connection.prepare_cached("DELETE FROM tally WHERE span = ?1 AND minute <= ?2")?;
    Ok(delete.execute(params![span, last])? as u64)
}

/// An hour may be merged in several pieces, each of which is added to its row.
fn merge(connection: &Connection, before: i64, limit: u32) -> rusqlite::Result<u64> {
    let Some(last) = last_of(connection, 1, before, limit)? else { return Ok(0) };
    let mut merge = connection.prepare_cached(
        "INSERT INTO tally (span, minute, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes)
         SELECT 60, minute - minute % 3600000 AS hour, outcome, connector, node, tls_policy, tls, cause, sum(deliveries),
             sum(bytes)
         FROM tally WHERE span = 1 AND minute <= ?1 GROUP BY hour, outcome, connector, node, tls_policy, tls, cause
         ON CONFLICT DO UPDATE SET deliveries = deliveries + excluded.deliveries, bytes = bytes + excluded.bytes",
    )?;
    merge.execute([last])?;
    delete_until(connection, 1, last)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::Clock;

    /// A job that fails takes the transaction of the whole batch with it, and the others run again.
    #[tokio::test]
    async fn what_is_rolled_back_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open_by(folder.path(), "n", Clock::system()).unwrap();
        let count = |is_fault: bool| {
            store.write_counted(move |_, counts, now| {
                counts.accepted(now, "n", "c", 5);
                if is_fault { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
            })
        };
        // While the writer waits, the others become one batch.
        let wait = store.write(|_, _| {
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        });
        let (waited, first, fault, last) = tokio::join!(biased; wait, count(false), count(true), count(false));
        assert!(waited.is_ok() && first.is_ok() && fault.is_err() && last.is_ok());
        let all =
            TallyQuery { since: Timestamp::MIN, until: Timestamp::MAX, step: TallyStep::Hour, by: vec![], limit: None };
        let rows = store.tallies(all).await.unwrap();
        let sums = rows.iter().fold((0, 0), |sums, row| (sums.0 + row.deliveries, sums.1 + row.bytes));
        assert_eq!(sums, (2, 10));
        store.close().await;
    }

    #[tokio::test]
    async fn on_a_full_disk_an_hour_is_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open_by(folder.path(), "n", Clock::system()).unwrap();
        let rows = store.write(|connection, now| {
            let hour = now.as_millisecond() / 3_600_000 * 3_600_000;
            for minute in [0, 7, 59] {
                let mut counts = Counts::default();
                let at = Timestamp::from_millisecond(hour + minute * 60_000).unwrap();
                counts.accepted(at, "n", "c", 5);
                write(connection, TallyStep::Hour, &counts)?;
            }
            let sql = "SELECT count(*), sum(deliveries), max(span), min(minute) = ?1 FROM tally";
            connection.query_row(sql, [hour], |row| <(i64, i64, i64, bool)>::try_from(row))
        });
        assert_eq!(rows.await.unwrap(), (1, 3, 60, true));
        store.close().await;
    }
}
