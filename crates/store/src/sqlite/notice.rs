//! Notices to senders. A notice is owed from the moment that a result is recorded, and queued once the other deliveries
//! of the message have results too.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use trace::{Event, EventKind, event::NoticeAction};
use uuid::Uuid;

use super::{
    accept::{insert_event, insert_notice},
    finish::finish,
    row::{self, Millis, record_columns},
};
use crate::{
    Accepted, DeliveryKey, DeliveryRecord, MessageKey, Telling, Told, Untold,
    clock::before,
    stored::{notice_from_number, notice_number},
    tally::Counts,
};

/// Records that the sender is owed a notice. A failure replaces a delay whose notice is not queued yet.
pub(super) fn owe(
    connection: &Connection,
    delivery: DeliveryKey,
    action: NoticeAction,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE delivery SET owed = ?2, owed_since = ?3 WHERE id = ?1")?;
    update.execute(params![delivery.0, notice_number(action), Millis(now)])?;
    Ok(())
}

pub(super) fn owe_nothing(connection: &Connection, delivery: DeliveryKey) -> rusqlite::Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE delivery SET owed = NULL, owed_since = NULL WHERE id = ?1 AND owed IS NOT NULL")?;
    update.execute([delivery.0])?;
    Ok(())
}

pub(super) fn untold(
    connection: &Connection,
    now: Timestamp,
    waited_since: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<Untold>> {
    let mut select = connection.prepare_cached(
        "SELECT owing.message FROM (
             SELECT message, min(owed_since) AS since FROM delivery WHERE owed IS NOT NULL GROUP BY message
         ) AS owing
         WHERE owing.since <= ?2 OR NOT EXISTS (
             SELECT 1 FROM delivery AS other WHERE other.message = owing.message AND (
                 other.state = 1 OR (other.state = 0 AND other.attempts = 0 AND other.due <= ?1)
             )
         ) LIMIT ?3",
    )?;
    let messages = select.query_map(params![Millis(now), Millis(waited_since), limit], |row| row.get::<_, i64>(0))?;
    let messages: Vec<i64> = messages.collect::<rusqlite::Result<_>>()?;
    let untold = messages.into_iter().map(|message| untold_of(connection, message));
    // Skip messages whose notices another node has queued in the meantime.
    untold.filter_map(rusqlite::Result::transpose).collect()
}

fn untold_of(connection: &Connection, message: i64) -> rusqlite::Result<Option<Untold>> {
    let columns = record_columns();
    let mut select = connection.prepare_cached(&format!(
        "SELECT {columns}, d.owed FROM delivery AS d JOIN message AS m ON m.id = d.message
         WHERE d.message = ?1 AND d.owed IS NOT NULL ORDER BY d.id"
    ))?;
    let rows = select.query_map([message], |row| Ok((notice_from_number(row.get("owed")?), row::record(row)?)))?;
    let deliveries: Vec<(NoticeAction, DeliveryRecord)> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(deliveries.first().map(|(_, first)| first.message.clone()).map(|message| Untold { message, deliveries }))
}

/// Queues the notice under `keys`, unless its recipient has had the maximum number of notices.
pub(super) fn tell(
    connection: &Connection,
    counts: &mut Counts,
    node: &str,
    telling: &Telling,
    keys: &Accepted,
    now: Timestamp,
) -> rusqlite::Result<Told> {
    let told = take_owed(connection, telling)?;
    if told.is_empty() {
        return Ok(Told::Nothing);
    }
    let is_withheld = is_at_limit(connection, telling, now)?;
    let kind = match is_withheld {
        true => EventKind::NoticeWithheld { action: telling.action },
        false => EventKind::Notified { action: telling.action, notice: telling.notice.network_message_id },
    };
    let message = network_message_id(connection, telling.message)?;
    for delivery in told {
        let recipient = recipient(connection, delivery)?;
        let event = Event { at: now, node: node.to_owned(), message, recipient, kind: kind.clone() };
        insert_event(connection, telling.message, &event.into())?;
    }
    if !is_withheld {
        insert_notice(connection, counts, node, &telling.notice, keys, now)?;
        count(connection, telling, now)?;
    }
    finish(connection, telling.message)?;
    Ok(if is_withheld { Told::Withheld } else { Told::Queued })
}

/// The deliveries whose notice was still owed. From now on it is not.
fn take_owed(connection: &Connection, telling: &Telling) -> rusqlite::Result<Vec<DeliveryKey>> {
    let mut update =
        connection.prepare_cached("UPDATE delivery SET owed = NULL, owed_since = NULL WHERE id = ?1 AND owed = ?2")?;
    let mut taken = Vec::with_capacity(telling.deliveries.len());
    for delivery in &telling.deliveries {
        if update.execute(params![delivery.0, notice_number(telling.action)])? > 0 {
            taken.push(*delivery);
        }
    }
    Ok(taken)
}

fn is_at_limit(connection: &Connection, telling: &Telling, now: Timestamp) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM notice_sent WHERE address = ?1 AND at > ?2")?;
    let sent_after = Millis(before(now, telling.sent_within));
    let sent: u32 = select.query_row(params![telling.address(), sent_after], |row| row.get(0))?;
    Ok(sent >= telling.sent_max)
}

fn count(connection: &Connection, telling: &Telling, now: Timestamp) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM notice_sent WHERE at <= ?1")?;
    delete.execute([Millis(before(now, telling.sent_within))])?;
    let mut insert = connection.prepare_cached("INSERT INTO notice_sent (address, at) VALUES (?1, ?2)")?;
    insert.execute(params![telling.address(), Millis(now)])?;
    Ok(())
}

fn network_message_id(connection: &Connection, message: MessageKey) -> rusqlite::Result<Uuid> {
    let mut select = connection.prepare_cached("SELECT network_message_id FROM message WHERE id = ?1")?;
    select.query_row([message.0], |row| row.get(0).map(Uuid::from_bytes))
}

fn recipient(connection: &Connection, delivery: DeliveryKey) -> rusqlite::Result<Option<protocol::smtp::Address>> {
    let mut select = connection.prepare_cached("SELECT recipient FROM delivery WHERE id = ?1")?;
    let text: Option<String> = select.query_row([delivery.0], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| protocol::smtp::Address::parse(&text).ok()))
}
