//! Withholding addresses, as SQL. The rules are in [`crate::withhold`].
//!
//! SQLite overwrites what it frees with zeros as long as such mail is in the queue.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use trace::Event;

use super::row::Json;
use crate::{
    DeliveryKey, MessageKey,
    withhold::{Substitutes, Withhold, late_event},
};

/// From here on this connection leaves nothing behind in what it frees.
pub(super) fn wipe_what_is_freed(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA secure_delete = ON")?.query([])?.next()?;
    Ok(())
}

/// Such mail waits in the file.
pub(super) fn is_wanted(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM message WHERE withhold = 1 LIMIT 1")?.exists([])
}

/// Replaces the local parts of a message that is finished, if that is wanted.
pub(super) fn when_finished(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    if mark(connection, message)? != Withhold::WhenFinished {
        return Ok(());
    }
    let substitutes = substitutes(connection, message)?;
    replace_in_message(connection, message, &substitutes)?;
    replace_in_deliveries(connection, message, &substitutes)?;
    replace_in_events(connection, message, &substitutes)
}

/// An event of a message whose addresses are withheld already, with none in it; `None` where they are not.
pub(super) fn late(
    connection: &Connection,
    message: MessageKey,
    delivery: DeliveryKey,
    event: &Event,
) -> rusqlite::Result<Option<Value>> {
    if mark(connection, message.0)? != Withhold::Done {
        return Ok(None);
    }
    let mut select = connection.prepare_cached("SELECT recipient FROM delivery WHERE id = ?1")?;
    let recipient = select.query_row([delivery.0], |row| row.get(0)).optional()?;
    let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    late_event(event, recipient).map(Some).map_err(failed)
}

fn mark(connection: &Connection, message: i64) -> rusqlite::Result<Withhold> {
    let mut select = connection.prepare_cached("SELECT withhold FROM message WHERE id = ?1")?;
    let number = select.query_row([message], |row| row.get(0)).optional()?;
    Ok(number.map_or(Withhold::Never, Withhold::from_number))
}

fn substitutes(connection: &Connection, message: i64) -> rusqlite::Result<Substitutes> {
    let mut select = connection.prepare_cached("SELECT sender FROM message WHERE id = ?1")?;
    let sender: String = select.query_row([message], |row| row.get(0))?;
    let mut select = connection
        .prepare_cached("SELECT recipient FROM delivery WHERE message = ?1 GROUP BY recipient ORDER BY min(id)")?;
    let recipients = select.query_map([message], |row| row.get(0))?;
    let recipients: Vec<String> = recipients.collect::<rusqlite::Result<_>>()?;
    Ok(Substitutes::new(sender, &recipients))
}

/// The identifier of the sender's system is for notices only, and often has an address in it.
fn replace_in_message(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE message SET sender = ?2, envid = NULL, withhold = ?3 WHERE id = ?1")?;
    update.execute(params![message, substitutes.replace(&substitutes.sender), Withhold::Done.number()])?;
    Ok(())
}

fn replace_in_deliveries(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    type Row = (i64, String, Option<Json<Value>>, Option<Json<Value>>);
    let mut select =
        connection.prepare_cached("SELECT id, recipient, reply, failure FROM delivery WHERE message = ?1")?;
    let rows = select.query_map([message], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let rows: Vec<Row> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = connection
        .prepare_cached("UPDATE delivery SET recipient = ?2, orcpt = NULL, reply = ?3, failure = ?4 WHERE id = ?1")?;
    for (id, recipient, mut reply, mut failure) in rows {
        for Json(words) in [&mut reply, &mut failure].into_iter().flatten() {
            substitutes.replace_in(words);
        }
        update.execute(params![id, substitutes.replace(&recipient), reply, failure])?;
    }
    Ok(())
}

fn replace_in_events(connection: &Connection, message: i64, substitutes: &Substitutes) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT id, json FROM event WHERE message = ?1")?;
    let rows = select.query_map([message], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, Json<Value>)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare_cached("UPDATE event SET json = ?2 WHERE id = ?1")?;
    for (id, mut event) in rows {
        substitutes.replace_in(&mut event.0);
        update.execute(params![id, event])?;
    }
    Ok(())
}
