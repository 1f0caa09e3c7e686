//! Days of the history: made ahead, and dropped when they are old.

use jiff::{Timestamp, civil::Date, tz::Offset};

use super::{lane::Tx, session::Session};
use crate::Result;

/// What is on no day.
pub(super) const OTHER: &str = "history_other";
pub(super) const DAYS_AHEAD: i32 = 7;
const DAY: i64 = 24 * 3600 * 1000;

/// A day of the history, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Day {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Day {
    pub(super) fn of(at: Timestamp) -> Self {
        let from = at.as_millisecond().div_euclid(DAY) * DAY;
        Self { from, to: from + DAY }
    }

    pub(super) fn after(self, days: i32) -> Self {
        let from = self.from + i64::from(days) * DAY;
        Self { from, to: from + DAY }
    }

    fn date(self) -> Date {
        Offset::UTC.to_datetime(Timestamp::from_millisecond(self.from).unwrap_or(Timestamp::MAX)).date()
    }

    pub(super) fn table(self) -> String {
        format!("history_{}", self.date().strftime("%Y%m%d"))
    }

    fn events(self) -> String {
        format!("event_{}", self.date().strftime("%Y%m%d"))
    }

    fn from_table(name: &str) -> Option<Self> {
        let date = Date::strptime("%Y%m%d", name.strip_prefix("history_")?).ok()?;
        Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok().map(Self::of)
    }
}

/// The days that there are, the oldest first.
pub(super) async fn days(session: &Session) -> Result<Vec<Day>> {
    let sql = "SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'history'::regclass";
    let rows = session.query(sql, &[]).await?;
    let mut days: Vec<Day> = rows.iter().filter_map(|row| Day::from_table(row.try_get(0).ok()?)).collect();
    days.sort_unstable();
    Ok(days)
}

/// Makes the days from yesterday to a week ahead that are missing.
pub(super) async fn make(tx: &Tx) -> Result<()> {
    // Mail does not wait for a search that is in the way.
    tx.run("SET LOCAL lock_timeout = '2s'").await?;
    let today = Day::of(tx.now().await?);
    make_missing(tx, (-1..=DAYS_AHEAD).map(|days| today.after(days))).await
}

/// Makes those of these days that are missing.
pub(super) async fn make_missing(session: &Session, wanted: impl Iterator<Item = Day>) -> Result<()> {
    session.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let there = days(session).await?;
    for day in wanted.filter(|day| !there.contains(day)) {
        for (parent, table, other) in [("history", day.table(), OTHER), ("event", day.events(), "event_other")] {
            make_one(session, parent, &table, other, day).await?;
        }
    }
    Ok(())
}

/// "Days" in ASCII: one node at a time makes or drops days.
const LOCK: i64 = 0x4461_7973;

/// Takes what has already fallen on that day.
async fn make_one(session: &Session, parent: &str, table: &str, other: &str, day: Day) -> Result<()> {
    let Day { from, to } = day;
    let sql = format!(
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
         WITH moved AS (DELETE FROM {other} WHERE received >= {from} AND received < {to} RETURNING *)
             INSERT INTO {table} SELECT * FROM moved;
         ALTER TABLE {table} ADD CONSTRAINT on_its_day CHECK (received >= {from} AND received < {to});
         ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM ({from}) TO ({to});
         ALTER TABLE {table} DROP CONSTRAINT on_its_day"
    );
    session.run(&sql).await
}

/// Drops one day that ended before this time, if none of its messages waits. Returns how many messages it had; `None`: no
/// such day is left. Mail waits while a table is dropped, so that this comes last, and one day at a time.
pub(super) async fn drop_one_before(tx: &Tx, before: Timestamp) -> Result<Option<u64>> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    tx.run("SET LOCAL lock_timeout = '2s'").await?;
    for day in days(tx).await?.into_iter().filter(|day| day.to <= before.as_millisecond()) {
        let sql = "SELECT EXISTS (SELECT 1 FROM queue_message WHERE received >= $1 AND received < $2)";
        if tx.query_one(sql, &[&day.from, &day.to]).await?.try_get(0)? {
            continue;
        }
        let (history, events) = (day.table(), day.events());
        let count = format!("SELECT count(DISTINCT message) FROM {history}");
        let dropped = tx.query_once(&count, &[]).await?.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
        // In the order in which a settlement locks them.
        tx.run(&format!("DROP TABLE {events}; DROP TABLE {history}")).await?;
        return Ok(Some(dropped as u64));
    }
    Ok(None)
}

/// Deletes up to `limit` messages one by one: those that are on no day and were received before this time, and those of
/// days before it that mail still waits from. Returns their number.
pub(super) async fn forget_rows(tx: &Tx, before: Timestamp, limit: u32) -> Result<u64> {
    let other = delete(tx, "_other", before.as_millisecond(), limit).await?;
    Ok(other + delete(tx, "", Day::of(before).from, limit - other as u32).await?)
}

async fn delete(tx: &Tx, table: &str, before: i64, limit: u32) -> Result<u64> {
    let sql = format!(
        "SELECT message FROM history{table} WHERE received < $1 GROUP BY message ORDER BY min(received), message LIMIT $2"
    );
    let rows = tx.query(&sql, &[&before, &i64::from(limit)]).await?;
    let messages = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    for kind in ["event", "history"] {
        let sql = format!("DELETE FROM {kind}{table} WHERE message = ANY($1) AND received < $2");
        tx.execute(&sql, &[&messages, &before]).await?;
    }
    Ok(messages.len() as u64)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn days_are_named_after_their_date() {
        let at: Timestamp = "2026-02-28T23:59:59.999Z".parse().expect("a time");
        let day = Day::of(at);
        assert_eq!((day.table().as_str(), day.after(1).table().as_str()), ("history_20260228", "history_20260301"));
        assert_eq!(day.to - 1, at.as_millisecond());
        assert_eq!(Day::from_table("history_20260228"), Some(day));
        assert_eq!(Day::from_table(OTHER), None);
        assert_eq!(Day::of(at + 1.second()), day.after(1));
    }
}
