//! Leases: claimed, renewed, ended.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;
use protocol::smtp::Address;
use rusqlite::{Connection, Row, params};
use trace::{Event, EventKind};
use uuid::Uuid;

use super::{
    accept::insert_event,
    incidents,
    row::{self, DELIVERY_COLUMNS, MESSAGE_COLUMNS, Millis},
};
use crate::{
    Claim, Claimed, Holding, LeaseNumber, Leave, Member, MessageKey,
    clock::{after, before},
    lease::EMBEDDED_LEASE_TERM,
    queue::longest_waits,
};

const CLAIM_WHERE: &str = "d.state = 0 AND d.connector = ?1 AND d.due <= ?2 ORDER BY d.due";

pub(super) fn claim(
    connection: &Connection,
    claim: &Claim,
    number: LeaseNumber,
    now: Timestamp,
) -> rusqlite::Result<Vec<Claimed>> {
    let parameters = params![claim.connector, Millis(before(now, claim.due_for))];
    let anyway = before(now, claim.leave.due_for);
    let mut messages = HashSet::new();
    let mut deliveries = 0;
    let holder = Holder { member: &claim.holder, number, now };
    lease_where(connection, CLAIM_WHERE, parameters, &holder, |found| {
        if is_left(&claim.leave, anyway, found)? {
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

/// True if a row's delivery is left to other nodes. What was due `anyway` is taken.
fn is_left(leave: &Leave, anyway: Timestamp, found: &Row) -> rusqlite::Result<bool> {
    if leave.domains.is_empty() || found.get::<_, Millis>("due")?.0 <= anyway {
        return Ok(false);
    }
    let recipient = Address::parse(&found.get::<_, String>("recipient")?);
    Ok(recipient.is_ok_and(|recipient| leave.domains.contains(&recipient.domain_key())))
}

pub(super) fn claim_for_review(
    connection: &Connection,
    member: &Member,
    number: LeaseNumber,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<Claimed>> {
    let condition = "d.state = 0 AND d.review <= ?1 ORDER BY d.review LIMIT ?2";
    let holder = Holder { member, number, now };
    lease_where(connection, condition, params![Millis(now), limit], &holder, |_| Ok(Found::Take))
}

/// Who gets what is found.
struct Holder<'a> {
    member: &'a Member,
    number: LeaseNumber,
    now: Timestamp,
}

fn lease_where(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn rusqlite::ToSql],
    holder: &Holder<'_>,
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
                let (lease, message) = (holder.number, row::message(found)?);
                claimed.push(Claimed { lease, message, deliveries: vec![delivery] });
            }
            Some(position) => {
                let same: &mut Claimed = &mut claimed[*position];
                same.deliveries.push(delivery);
            }
        }
    }
    let mut update = connection
        .prepare_cached("UPDATE delivery SET state = 1, lease_node = ?2, lease_until = ?3, lease = ?4 WHERE id = ?1")?;
    let until = after(holder.now, EMBEDDED_LEASE_TERM);
    for delivery in claimed.iter().flat_map(|claimed| &claimed.deliveries) {
        update.execute(params![delivery.key.0, holder.member.name(), Millis(until), holder.number.0])?;
    }
    Ok(claimed)
}

/// Returns those that are not current any more.
pub(super) fn renew(connection: &Connection, now: Timestamp, held: &[Holding]) -> rusqlite::Result<Vec<Holding>> {
    let until = Millis(after(now, EMBEDDED_LEASE_TERM));
    let mut update =
        connection.prepare_cached("UPDATE delivery SET lease_until = ?3 WHERE id = ?1 AND state = 1 AND lease = ?2")?;
    let mut lost = Vec::new();
    for holding in held {
        if update.execute(params![holding.delivery.0, holding.lease.0, until])? == 0 {
            lost.push(*holding);
        }
    }
    Ok(lost)
}

/// Returns to the queue what a node of that name had leased; unless `all`, only what nobody holds any more by the clock.
pub(super) fn take_back(connection: &Connection, node: &str, all: bool, now: Timestamp) -> rusqlite::Result<u64> {
    end_leases(connection, "d.lease_node = ?1 AND (?2 OR d.lease_until < ?3)", params![node, all, Millis(now)], now)
}

pub(super) fn expire_leases(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    end_leases(connection, "d.lease_until < ?1", params![Millis(now)], now)
}

/// For a store that was restored from a backup: all of them, whichever node held them.
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
        "UPDATE delivery SET state = {BACK_TO_QUEUE}, lease_node = NULL, lease_until = NULL, lease = NULL WHERE id = ?1"
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
        insert_event(connection, lease.message, &event.into())?;
    }
    Ok(ended.len() as u64)
}

/// See [`follow_clock`](crate::Queue::follow_clock). Reads all of the queue.
pub(super) fn follow_clock(connection: &Connection, now: Timestamp, waits: &[Duration]) -> rusqlite::Result<u64> {
    let mut pull = connection.prepare_cached(
        "UPDATE delivery SET due = ?1 WHERE state = 0 AND due > ?2 AND attempts >= ?3 AND attempts <= ?4",
    )?;
    let mut pulled = 0;
    for longest in longest_waits(waits) {
        let latest = Millis(after(now, longest.wait));
        pulled += pull.execute(params![Millis(now), latest, longest.attempts_min, longest.attempts_max])?;
    }
    let mut shorten =
        connection.prepare_cached("UPDATE delivery SET lease_until = ?1 WHERE state = 1 AND lease_until > ?1")?;
    shorten.execute([Millis(after(now, EMBEDDED_LEASE_TERM))])?;
    incidents::make_calls_due(connection, now)?;
    Ok(pulled as u64)
}

/// Where a lease goes when it ends: back to the queue, unless an operator suspended the delivery meanwhile.
pub(super) const BACK_TO_QUEUE: &str = "CASE WHEN suspended_by IS NULL THEN 0 ELSE 2 END";
