//! The end of a message.

use rusqlite::Connection;

use super::{bodies, withhold};
use crate::MessageKey;

/// Deletes what nobody needs of a message once none of its deliveries can still be sent, and its sender knows of all.
/// Its events come before.
pub(super) fn finish(connection: &Connection, message: MessageKey) -> rusqlite::Result<()> {
    let mut live = connection
        .prepare_cached("SELECT 1 FROM delivery WHERE message = ?1 AND (state <= 2 OR owed IS NOT NULL) LIMIT 1")?;
    if live.exists([message.0])? {
        return Ok(());
    }
    bodies::delete(connection, message)?;
    withhold::when_finished(connection, message.0)
}
