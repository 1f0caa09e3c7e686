//! Into the queue: a message, its deliveries, its body and its events, in one transaction and once.

use jiff::Timestamp;
use protocol::smtp::BodyType;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    bodies,
    row::{Json, Millis},
    withhold,
};
use crate::{
    Accepted, Content, DeliveryKey, LeaseNumber, Member, MessageKey, NewEvent, NewMessage,
    clock::after,
    lease::{EMBEDDED_LEASE_TERM, LEASE_COUNT_BITS},
    stored::{notify_bits, ret_number},
    tally::{Counts, accepting_node},
    withhold::Withhold,
};

/// What became of a message.
pub(super) enum Added {
    New(Accepted),
    /// It was accepted before.
    Before(Accepted),
    /// Its body was swept.
    WithoutBody,
}

/// `keys` are for what is new; their lease is the member's.
pub(super) fn accept(
    connection: &Connection,
    counts: &mut Counts,
    message: &NewMessage,
    keys: &Accepted,
    member: Option<&Member>,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Added> {
    let added = insert(connection, message, keys, member, events, now)?;
    if let Added::New(_) = added {
        count(counts, accepting_node(member, events), message, now);
    }
    Ok(added)
}

fn count(counts: &mut Counts, node: &str, message: &NewMessage, now: Timestamp) {
    for delivery in &message.deliveries {
        counts.accepted(now, node, &delivery.connector, message.size_bytes as i64);
    }
}

fn insert(
    connection: &Connection,
    message: &NewMessage,
    keys: &Accepted,
    member: Option<&Member>,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Added> {
    let until = member.map(|_| after(now, EMBEDDED_LEASE_TERM));
    if !insert_row(connection, message, keys.message)? {
        return accepted_before(connection, message, keys.lease.zip(until)).map(Added::Before);
    }
    match &message.content {
        Content::Inline(bytes) => bodies::insert_inline(connection, keys.message, bytes)?,
        Content::Stored(_) if bodies::claim_upload(connection, keys.message)? => {}
        Content::Stored(_) => {
            delete_row(connection, keys.message)?;
            return Ok(Added::WithoutBody);
        }
    }
    let holder = member.zip(keys.lease.zip(until)).map(|(member, (number, until))| Holder {
        node: member.name(),
        number,
        until,
    });
    insert_deliveries(connection, message, keys, holder, now)?;
    insert_events(connection, keys.message, events)?;
    Ok(Added::New(keys.clone()))
}

/// A notice that this node has made.
pub(super) fn insert_notice(
    connection: &Connection,
    counts: &mut Counts,
    node: &str,
    message: &NewMessage,
    keys: &Accepted,
    now: Timestamp,
) -> rusqlite::Result<()> {
    insert(connection, message, keys, None, &[], now)?;
    count(counts, node, message, now);
    Ok(())
}

/// False if a message with its network message id is there.
fn insert_row(connection: &Connection, message: &NewMessage, key: MessageKey) -> rusqlite::Result<bool> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO message (id, network_message_id, received, sender, eight_bit, smtputf8, ret, envid, message_id,
             subject, size, client, withhold)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (network_message_id) DO NOTHING",
    )?;
    if message.withhold_addresses {
        withhold::wipe_what_is_freed(connection)?;
    }
    let withhold = if message.withhold_addresses { Withhold::WhenFinished } else { Withhold::Never };
    let inserted = insert.execute(params![
        key.0,
        message.network_message_id.as_bytes().as_slice(),
        Millis(message.received),
        message.envelope.sender.as_str(),
        message.envelope.body_type == BodyType::EightBitMime,
        message.envelope.smtputf8,
        message.envelope.ret.map(ret_number),
        message.envelope.envid,
        message.message_id,
        message.subject,
        message.size_bytes as i64,
        message.client.map(|client| client.to_string()),
        withhold.number(),
    ])?;
    Ok(inserted > 0)
}

fn delete_row(connection: &Connection, message: MessageKey) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([message.0])?;
    Ok(())
}

/// What the first call made. Its caller does not know the lease that it was given, and gets another.
fn accepted_before(
    connection: &Connection,
    message: &NewMessage,
    lease: Option<(LeaseNumber, Timestamp)>,
) -> rusqlite::Result<Accepted> {
    let id = message.network_message_id.as_bytes().as_slice();
    let mut select = connection.prepare_cached("SELECT id FROM message WHERE network_message_id = ?1")?;
    let key = select.query_row([id], |row| row.get(0).map(MessageKey)).optional()?;
    let key = key.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let mut select = connection.prepare_cached("SELECT id FROM delivery WHERE message = ?1 ORDER BY id")?;
    let deliveries = select.query_map([key.0], |row| row.get(0).map(DeliveryKey))?;
    let deliveries: Vec<DeliveryKey> = deliveries.collect::<rusqlite::Result<_>>()?;
    let mut held = 0;
    if let Some((number, until)) = lease {
        let mut update = connection.prepare_cached(&format!(
            "UPDATE delivery SET lease = ?2, lease_until = ?3
             WHERE message = ?1 AND state = 1 AND lease >> {LEASE_COUNT_BITS} = ?4"
        ))?;
        held = update.execute(params![key.0, number.0, Millis(until), number.epoch().0])?;
    }
    let lease = lease.map(|(number, _)| number).filter(|_| held == deliveries.len());
    Ok(Accepted { message: key, deliveries, lease })
}

/// Who holds what is born leased.
struct Holder<'a> {
    node: &'a str,
    number: LeaseNumber,
    until: Timestamp,
}

fn insert_deliveries(
    connection: &Connection,
    message: &NewMessage,
    keys: &Accepted,
    holder: Option<Holder<'_>>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO delivery (id, message, recipient, notify, orcpt, connector, state, due, review, lease_node,
             lease_until, received, lease)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for (delivery, key) in message.deliveries.iter().zip(&keys.deliveries) {
        insert.execute(params![
            key.0,
            keys.message.0,
            delivery.recipient.as_str(),
            delivery.notify.map(notify_bits),
            delivery.orcpt,
            delivery.connector,
            u8::from(holder.is_some()),
            Millis(after(now, delivery.due_in)),
            Millis(after(now, delivery.review_in)),
            holder.as_ref().map(|holder| holder.node),
            holder.as_ref().map(|holder| Millis(holder.until)),
            Millis(message.received),
            holder.as_ref().map(|holder| holder.number.0),
        ])?;
    }
    Ok(())
}

pub(super) fn insert_events(connection: &Connection, message: MessageKey, events: &[NewEvent]) -> rusqlite::Result<()> {
    events.iter().try_for_each(|event| insert_event(connection, message, event))
}

pub(super) fn insert_event(connection: &Connection, message: MessageKey, event: &NewEvent) -> rusqlite::Result<()> {
    insert_event_as(connection, message, event, &event.event)
}

/// Where the event is kept in another form than it came in.
pub(super) fn insert_event_as(
    connection: &Connection,
    message: MessageKey,
    event: &NewEvent,
    form: &impl serde::Serialize,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO event (message, json, uid) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![message.0, Json(form), event.id.as_bytes().as_slice()])?;
    Ok(())
}
