//! The end of history: what nobody needs to trace any more is deleted, and its room given back to the file system.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{row::Millis, schema::PAGE_BYTES};

/// Deletes up to `limit` messages that were received before, and none of whose deliveries is in the queue. Returns how
/// many.
pub(super) fn forget(connection: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<u64> {
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
    forget_incidents(connection, before)?;
    Ok(messages.len() as u64)
}

/// Those that were closed before. They are few.
fn forget_incidents(connection: &Connection, before: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM incident WHERE closed < ?1")?.execute([Millis(before)])?;
    Ok(())
}

/// Gives free pages at the file's end back, so many that the log has room for those that are moved. A batch of history
/// frees fewer, so that none are left for good.
pub(super) fn vacuum(connection: &Connection, bytes_max: u32) -> rusqlite::Result<()> {
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
