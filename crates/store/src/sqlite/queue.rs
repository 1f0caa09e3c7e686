//! Into the queue and out of it: accept, claim, leases.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;
use protocol::smtp::{Address, BodyType};
use rusqlite::{Connection, Row, params};
use trace::{Event, EventKind};
use uuid::Uuid;

use super::{
    row::{self, DELIVERY_COLUMNS, Json, MESSAGE_COLUMNS, Millis, notify_bits, ret_number},
    schema::BODY_PIECES_BITS,
    withhold,
};
use crate::{Accepted, Body, BodyKey, Claim, Claimed, DeliveryKey, Lease, Leave, MessageKey, NewMessage, NodeReport};

/// Keys for a message and its deliveries; a body that was written before has chosen the message's.
pub(super) fn keys_for(
    message: &NewMessage,
    new_message: impl FnOnce() -> MessageKey,
    new_deliveries: impl FnOnce(usize) -> Vec<DeliveryKey>,
) -> Accepted {
    let key = match message.body {
        Body::Stored(body) => MessageKey(body.0),
        Body::Inline(_) => new_message(),
    };
    Accepted { message: key, deliveries: new_deliveries(message.deliveries.len()) }
}

/// Content that is written with the message, in bytes.
pub(super) fn weight(message: &NewMessage) -> usize {
    match &message.body {
        Body::Inline(bytes) => bytes.len(),
        Body::Stored(_) => 0,
    }
}

pub(super) fn body_id(message: i64, sequence: u32) -> i64 {
    (message << BODY_PIECES_BITS) + i64::from(sequence)
}

pub(super) fn append_body(connection: &Connection, body: BodyKey, sequence: u32, bytes: &[u8]) -> rusqlite::Result<()> {
    if sequence == 0 {
        connection.prepare_cached("INSERT INTO upload (message) VALUES (?1)")?.execute([body.0])?;
    }
    let mut insert = connection.prepare_cached("INSERT INTO body (id, bytes) VALUES (?1, ?2)")?;
    insert.execute(params![body_id(body.0, sequence), bytes])?;
    Ok(())
}

pub(super) fn discard_body(connection: &Connection, body: BodyKey) -> rusqlite::Result<()> {
    // Not one that was accepted after all, though its caller heard of an error.
    if connection.prepare_cached("DELETE FROM upload WHERE message = ?1")?.execute([body.0])? > 0 {
        delete_body(connection, body.0)?;
    }
    Ok(())
}

pub(super) fn delete_body(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM body WHERE id >= ?1 AND id < ?2")?;
    delete.execute([body_id(message, 0), body_id(message + 1, 0)])?;
    Ok(())
}

pub(super) fn insert_message(
    connection: &Connection,
    message: &NewMessage,
    keys: &Accepted,
    lease: Option<&Lease>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO message (id, network_message_id, received, sender, eight_bit, smtputf8, ret, envid, message_id,
             subject, size, client, withhold)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    if message.withhold_addresses {
        withhold::wipe_what_is_freed(connection)?;
    }
    insert.execute(params![
        keys.message.0,
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
        if message.withhold_addresses { withhold::WHEN_AT_REST } else { 0 },
    ])?;
    match &message.body {
        Body::Inline(bytes) => {
            let mut insert = connection.prepare_cached("INSERT INTO body (id, bytes) VALUES (?1, ?2)")?;
            insert.execute(params![body_id(keys.message.0, 0), bytes.as_ref()])?;
        }
        Body::Stored(body) => {
            connection.prepare_cached("DELETE FROM upload WHERE message = ?1")?.execute([body.0])?;
        }
    }
    insert_deliveries(connection, message, keys, lease)
}

fn insert_deliveries(
    connection: &Connection,
    message: &NewMessage,
    keys: &Accepted,
    lease: Option<&Lease>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO delivery (id, message, recipient, notify, orcpt, connector, state, due, review, lease_node,
             lease_until, received)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for (delivery, key) in message.deliveries.iter().zip(&keys.deliveries) {
        insert.execute(params![
            key.0,
            keys.message.0,
            delivery.recipient.as_str(),
            delivery.notify.map(notify_bits),
            delivery.orcpt,
            delivery.connector,
            u8::from(lease.is_some()),
            Millis(delivery.due),
            Millis(delivery.review),
            lease.map(|lease| lease.node.as_str()),
            lease.map(|lease| Millis(lease.until)),
            Millis(message.received),
        ])?;
    }
    Ok(())
}

pub(super) fn insert_events(connection: &Connection, message: MessageKey, events: &[Event]) -> rusqlite::Result<()> {
    events.iter().try_for_each(|event| insert_event(connection, message, event))
}

pub(super) fn insert_event(
    connection: &Connection,
    message: MessageKey,
    event: &impl serde::Serialize,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO event (message, json) VALUES (?1, ?2)")?;
    insert.execute(params![message.0, Json(event)])?;
    Ok(())
}

pub(super) const CLAIM_WHERE: &str = "d.state = 0 AND d.connector = ?1 AND d.due <= ?2 ORDER BY d.due";

pub(super) fn claim(connection: &Connection, claim: &Claim) -> rusqlite::Result<Vec<Claimed>> {
    let parameters = params![claim.connector, Millis(claim.due_by)];
    let mut messages = HashSet::new();
    let mut deliveries = 0;
    lease_where(connection, CLAIM_WHERE, parameters, &claim.lease, |found| {
        if is_left(&claim.leave, found)? {
            return Ok(Found::Skip);
        }
        messages.insert(found.get::<_, i64>(0)?);
        deliveries += 1;
        let enough = deliveries > claim.limit || messages.len() > claim.messages as usize;
        Ok(if enough { Found::Stop } else { Found::Take })
    })
}

/// What becomes of a row that was found.
enum Found {
    Take,
    Skip,
    Stop,
}

/// True if a row's delivery is left to other nodes.
fn is_left(leave: &Leave, found: &Row) -> rusqlite::Result<bool> {
    if leave.domains.is_empty() || found.get::<_, Millis>("due")?.0 <= leave.due_by {
        return Ok(false);
    }
    let recipient = Address::parse(&found.get::<_, String>("recipient")?);
    Ok(recipient.is_ok_and(|recipient| leave.domains.contains(&recipient.domain_key())))
}

pub(super) fn claim_for_review(
    connection: &Connection,
    lease: &Lease,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<Claimed>> {
    let condition = "d.state = 0 AND d.review <= ?1 ORDER BY d.review LIMIT ?2";
    lease_where(connection, condition, params![Millis(now), limit], lease, |_| Ok(Found::Take))
}

fn lease_where(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
    lease: &Lease,
    mut take: impl FnMut(&Row) -> rusqlite::Result<Found>,
) -> rusqlite::Result<Vec<Claimed>> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS}, {DELIVERY_COLUMNS}, d.due FROM delivery AS d JOIN message AS m ON m.id = d.message
         WHERE {condition}"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(parameters)?;
    let mut claimed: Vec<Claimed> = Vec::new();
    let mut positions = std::collections::HashMap::new();
    while let Some(found) = rows.next()? {
        match take(found)? {
            Found::Take => {}
            Found::Skip => continue,
            Found::Stop => break,
        }
        let key = MessageKey(found.get(0)?);
        let delivery = row::delivery(found, 12)?;
        match positions.get(&key) {
            None => {
                positions.insert(key, claimed.len());
                claimed.push(Claimed { message: row::message(found)?, deliveries: vec![delivery] });
            }
            Some(position) => {
                let same: &mut Claimed = &mut claimed[*position];
                same.deliveries.push(delivery);
            }
        }
    }
    let mut update =
        connection.prepare_cached("UPDATE delivery SET state = 1, lease_node = ?2, lease_until = ?3 WHERE id = ?1")?;
    for delivery in claimed.iter().flat_map(|claimed| &claimed.deliveries) {
        update.execute(params![delivery.key.0, lease.node, Millis(lease.until)])?;
    }
    Ok(claimed)
}

pub(super) fn renew(
    connection: &Connection,
    lease: &Lease,
    deliveries: &[DeliveryKey],
) -> rusqlite::Result<Vec<DeliveryKey>> {
    let mut update = connection
        .prepare_cached("UPDATE delivery SET lease_until = ?3 WHERE id = ?1 AND state = 1 AND lease_node = ?2")?;
    let mut lost = Vec::new();
    for key in deliveries {
        if update.execute(params![key.0, lease.node, Millis(lease.until)])? == 0 {
            lost.push(*key);
        }
    }
    Ok(lost)
}

/// Takes back what a node had leased before it stopped.
pub(super) fn recover(connection: &Connection, node: &str, now: Timestamp) -> rusqlite::Result<u64> {
    end_leases(connection, "d.lease_node = ?1", params![node], now)
}

pub(super) fn expire_leases(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    end_leases(connection, "d.lease_until < ?1", params![Millis(now)], now)
}

/// Whoever held them, in a store that was brought back from a backup.
pub(super) fn end_all_leases(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    end_leases(connection, "TRUE", params![], now)
}

fn end_leases(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
    now: Timestamp,
) -> rusqlite::Result<u64> {
    struct Ended {
        delivery: i64,
        message: MessageKey,
        network_message_id: Uuid,
        recipient: String,
        node: String,
    }
    let sql = format!(
        "SELECT d.id, d.message, m.network_message_id, d.recipient, d.lease_node
         FROM delivery AS d JOIN message AS m ON m.id = d.message WHERE d.state = 1 AND {condition}"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let ended = select.query_map(parameters, |row| {
        Ok(Ended {
            delivery: row.get(0)?,
            message: MessageKey(row.get(1)?),
            network_message_id: Uuid::from_bytes(row.get(2)?),
            recipient: row.get(3)?,
            node: row.get(4)?,
        })
    })?;
    let ended: Vec<Ended> = ended.collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare_cached(&format!(
        "UPDATE delivery SET state = {BACK_TO_QUEUE}, lease_node = NULL, lease_until = NULL WHERE id = ?1"
    ))?;
    for lease in &ended {
        update.execute([lease.delivery])?;
        let event = Event {
            at: now,
            node: lease.node.clone(),
            message: lease.network_message_id,
            recipient: Address::parse(&lease.recipient).ok(),
            kind: EventKind::Interrupted { leased_by: lease.node.clone() },
        };
        insert_events(connection, lease.message, &[event])?;
    }
    Ok(ended.len() as u64)
}

/// Retries are spread by a tenth of their wait, and clocks of nodes are not quite the same.
const WAIT_SLACK: f64 = 1.2;

/// See [`follow_clock`](crate::Store::follow_clock). Reads all of the queue.
pub(super) fn follow_clock(
    connection: &Connection,
    now: Timestamp,
    waits: &[Duration],
    lease_end: Timestamp,
) -> rusqlite::Result<u64> {
    let last = waits.len();
    let mut pull = connection.prepare_cached(
        "UPDATE delivery SET due = ?1 WHERE state = 0 AND due > ?2 AND attempts >= ?3 AND attempts <= ?4",
    )?;
    let mut pulled = 0;
    // What was not tried waits for nothing.
    for (attempts, wait) in [Duration::ZERO].iter().chain(waits).enumerate() {
        let latest = now.checked_add(wait.mul_f64(WAIT_SLACK) + Duration::from_secs(5)).unwrap_or(Timestamp::MAX);
        let attempts_max = if attempts == last { i64::MAX } else { attempts as i64 };
        pulled += pull.execute(params![Millis(now), Millis(latest), attempts as i64, attempts_max])?;
    }
    let mut shorten =
        connection.prepare_cached("UPDATE delivery SET lease_until = ?1 WHERE state = 1 AND lease_until > ?1")?;
    shorten.execute([Millis(lease_end)])?;
    connection.prepare_cached("UPDATE webhook_call SET due = ?1 WHERE due > ?1")?.execute([Millis(now)])?;
    Ok(pulled as u64)
}

/// Where a lease goes when it ends: back to the queue, unless an operator suspended the delivery meanwhile.
pub(super) const BACK_TO_QUEUE: &str = "CASE WHEN suspended_by IS NULL THEN 0 ELSE 2 END";

pub(super) fn report(connection: &Connection, report: &NodeReport) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO node_report (node, json) VALUES (?1, ?2)")?;
    insert.execute(params![report.node, Json(report)])?;
    Ok(())
}
