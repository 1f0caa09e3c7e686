//! Leases: claimed, renewed, ended.
//!
//! Claims skip what others have locked, so that nodes never wait for each other. They run on a connection of their own,
//! whose plans are pinned: an open snapshot somewhere would otherwise make each claim read every dead row.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::Row;
use trace::EventKind;

use super::{
    events::{self, Events, Of},
    incidents,
    lane::Tx,
    row::{self, Columns, DELIVERY_COLUMNS, MESSAGE_COLUMNS, QUEUE},
    session::Session,
};
use crate::{
    Claim, Claimed, DeliveryKey, Holding, LeaseNumber, MessageKey, NewLease, Result,
    clock::{after, before},
    queue::longest_waits,
};

/// Where claims begin, by connector. What was claimed leaves dead rows at the front of the index, which each claim would
/// read again while a snapshot is open somewhere. What comes back with an earlier due time is found a little later.
#[derive(Default)]
pub(super) struct Bounds(Mutex<HashMap<String, (i64, Instant)>>);

/// All is looked at this often.
const BOUND_LASTS: Duration = Duration::from_secs(3);

impl Bounds {
    fn of(&self, connector: &str) -> i64 {
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bounds.retain(|_, (_, set)| set.elapsed() < BOUND_LASTS);
        bounds.get(connector).map_or(i64::MIN, |(due, _)| *due)
    }

    /// The first that was found; its place in time remains from when all was looked at.
    fn found(&self, connector: &str, due: i64) {
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bounds.entry(connector.to_owned()).or_insert((due, Instant::now())).0 = due;
    }
}

pub(super) async fn claim(tx: &Tx, claim: &Claim, number: LeaseNumber, bounds: &Bounds) -> Result<Vec<Claimed>> {
    let now = tx.now().await?;
    let bound = bounds.of(&claim.connector);
    let due = before(now, claim.due_for).as_millisecond();
    let anyway = before(now, claim.leave.due_for).as_millisecond();
    let rows = tx
        .query(
            "SELECT id, message, due FROM queue_delivery
         WHERE state = 0 AND connector = $1 AND due <= $2 AND due >= $6 AND (domain <> ALL($3) OR due <= $4)
         ORDER BY due, id LIMIT $5 FOR UPDATE SKIP LOCKED",
            &[&claim.connector, &due, &claim.leave.domains, &anyway, &i64::from(claim.limit), &bound],
        )
        .await?;
    // Where some are left to others, the first that was found is not the first that is due.
    if let Some(first) = rows.first().filter(|_| claim.leave.domains.is_empty()) {
        bounds.found(&claim.connector, first.try_get(2)?);
    }
    let mut messages = HashSet::new();
    let mut taken: Vec<i64> = Vec::new();
    for row in rows {
        messages.insert(row.try_get::<_, i64>(1)?);
        if messages.len() > claim.messages as usize {
            break;
        }
        taken.push(row.try_get(0)?);
    }
    lease(tx, &taken, &claim.lease, number).await
}

pub(super) async fn claim_for_review(tx: &Tx, new: &NewLease, number: LeaseNumber, limit: u32) -> Result<Vec<Claimed>> {
    let now = tx.now().await?.as_millisecond();
    let sql = "SELECT id FROM queue_delivery WHERE state = 0 AND review <= $1 ORDER BY review, id LIMIT $2
               FOR UPDATE SKIP LOCKED";
    let rows = tx.query(sql, &[&now, &i64::from(limit)]).await?;
    let taken = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    lease(tx, &taken, new, number).await
}

/// Leases what is locked; returns it by message, in this order.
async fn lease(tx: &Tx, taken: &[i64], new: &NewLease, number: LeaseNumber) -> Result<Vec<Claimed>> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let until = after(tx.now().await?, new.term).as_millisecond();
    let sql = "UPDATE queue_delivery SET state = 1, lease_node = $2, lease_until = $3, lease = $4 WHERE id = ANY($1)";
    tx.execute(sql, &[&taken, &new.member.name(), &until, &number.0]).await?;
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS}, {DELIVERY_COLUMNS} FROM {QUEUE} WHERE id = ANY($1) ORDER BY array_position($1, id)"
    );
    by_message(&tx.query(&sql, &[&taken]).await?, number)
}

fn by_message(rows: &[Row], lease: LeaseNumber) -> Result<Vec<Claimed>> {
    let mut claimed: Vec<Claimed> = Vec::new();
    let mut positions = std::collections::HashMap::new();
    for row in rows {
        let mut columns = Columns::of(row);
        let message = row::message(&mut columns)?;
        let delivery = row::delivery(&mut columns)?;
        let position = *positions.entry(message.key).or_insert_with(|| {
            claimed.push(Claimed { lease, message, deliveries: Vec::new() });
            claimed.len() - 1
        });
        claimed[position].deliveries.push(delivery);
    }
    Ok(claimed)
}

/// Returns those that are not current any more.
pub(super) async fn renew(tx: &Tx, term: Duration, held: &[Holding]) -> Result<Vec<Holding>> {
    let until = after(tx.now().await?, term).as_millisecond();
    let keys: Vec<i64> = held.iter().map(|holding| holding.delivery.0).collect();
    let leases: Vec<i64> = held.iter().map(|holding| holding.lease.0).collect();
    // All lock deliveries in this order.
    let sql = "WITH held AS MATERIALIZED (
                   SELECT d.id FROM queue_delivery AS d
                       JOIN unnest($1::bigint[], $2::bigint[]) AS n (id, lease) ON d.id = n.id AND d.lease = n.lease
                   WHERE d.id = ANY($1) AND d.state = 1 ORDER BY d.id FOR UPDATE OF d
               )
               UPDATE queue_delivery AS d SET lease_until = $3 FROM held WHERE d.id = held.id RETURNING d.id, d.lease";
    let rows = tx.query(sql, &[&keys, &leases, &until]).await?;
    let current = |row: &Row| {
        let (delivery, lease) = (DeliveryKey(row.try_get(0)?), LeaseNumber(row.try_get(1)?));
        Ok(Holding { delivery, lease })
    };
    let current = rows.iter().map(current).collect::<Result<HashSet<_>>>()?;
    Ok(held.iter().filter(|holding| !current.contains(holding)).copied().collect())
}

/// Which leases end.
pub(super) enum Ends<'a> {
    /// Their time is over.
    Over,
    /// The same of one node; all of them if it is known to be dead.
    OfNode { name: &'a str, all: bool },
}

/// Returns deliveries to the queue, unless an operator suspended them meanwhile. What is just being settled is left alone.
pub(super) async fn end_leases(tx: &Tx, ends: Ends<'_>) -> Result<u64> {
    let now = tx.now().await?;
    let (name, all) = match ends {
        Ends::Over => (None, false),
        Ends::OfNode { name, all } => (Some(name), all),
    };
    let rows = tx
        .query(
            "SELECT id, message, network_message_id, received, recipient, lease_node
         FROM queue_delivery JOIN queue_message USING (message)
         WHERE state = 1 AND ($1::text IS NULL OR lease_node = $1) AND ($2 OR lease_until < $3)
         ORDER BY id FOR UPDATE OF queue_delivery SKIP LOCKED",
            &[&name, &all, &now.as_millisecond()],
        )
        .await?;
    let (mut ended, mut events) = (Vec::new(), Events::default());
    for row in rows {
        let mut columns = Columns::of(&row);
        ended.push(columns.take::<i64>()?);
        let (message, id, received) = (columns.take()?, columns.take()?, columns.take()?);
        let (recipient, node): (&str, &str) = (columns.take()?, columns.take::<Option<_>>()?.unwrap_or_default());
        let kind = EventKind::Interrupted { leased_by: node.to_owned() };
        events.push(Of { message, received }, &events::own(now, node, id, recipient, kind))?;
    }
    let sql = "UPDATE queue_delivery SET state = CASE WHEN suspended_by IS NULL THEN 0 ELSE 2 END, lease_node = NULL,
                   lease_until = NULL, lease = NULL WHERE id = ANY($1)";
    tx.execute(sql, &[&ended]).await?;
    events.insert(tx).await?;
    Ok(ended.len() as u64)
}

/// See [`follow_clock`](crate::Queue::follow_clock). Reads all of the queue.
pub(super) async fn follow_clock(tx: &Tx, waits: &[Duration], lease_max: Duration) -> Result<u64> {
    let now = tx.now().await?;
    let mut pulled = 0;
    for longest in longest_waits(waits) {
        let latest = after(now, longest.wait).as_millisecond();
        let sql = "UPDATE queue_delivery SET due = $1
                   WHERE state = 0 AND due > $2 AND attempts >= $3::bigint AND attempts <= $4::bigint";
        pulled +=
            tx.execute(sql, &[&now.as_millisecond(), &latest, &longest.attempts_min, &longest.attempts_max]).await?;
    }
    shorten_leases(tx, after(now, lease_max)).await?;
    incidents::make_calls_due(tx, now).await?;
    Ok(pulled)
}

async fn shorten_leases(session: &Session, end: Timestamp) -> Result<()> {
    let sql = "UPDATE queue_delivery SET lease_until = $1 WHERE state = 1 AND lease_until > $1";
    session.execute(sql, &[&end.as_millisecond()]).await.map(drop)
}

/// For [`MessageKey`]s in parameters.
pub(super) fn numbers(keys: &[MessageKey]) -> Vec<i64> {
    keys.iter().map(|key| key.0).collect()
}
