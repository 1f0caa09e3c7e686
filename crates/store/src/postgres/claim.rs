//! Claims: a node takes what is due.
//!
//! Claims skip what others have locked, so that nodes never wait for each other. They run on a connection of their own,
//! whose plans are pinned: an open snapshot somewhere would otherwise make each claim read every dead row.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_postgres::Row;

use super::{
    incidents,
    lane::Tx,
    row::{self, Columns, DELIVERY_COLUMNS, MESSAGE_COLUMNS, QUEUE},
};
use crate::{
    Claim, Claimed, LeaseNumber, Member, Result,
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
    if claim.leave.domains.is_empty() {
        let first = rows.first().map(|row| row.try_get(2)).transpose()?;
        bounds.found(&claim.connector, first.unwrap_or(due));
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
    lease(tx, &taken, &claim.holder, number).await
}

pub(super) async fn claim_for_review(
    tx: &Tx,
    holder: &Member,
    number: LeaseNumber,
    limit: u32,
) -> Result<Vec<Claimed>> {
    let now = tx.now().await?.as_millisecond();
    let sql = "SELECT id FROM queue_delivery WHERE state = 0 AND review <= $1 ORDER BY review, id LIMIT $2
               FOR UPDATE SKIP LOCKED";
    let rows = tx.query(sql, &[&now, &i64::from(limit)]).await?;
    let taken = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    lease(tx, &taken, holder, number).await
}

/// Leases what is locked; returns it by message, in this order.
async fn lease(tx: &Tx, taken: &[i64], holder: &Member, number: LeaseNumber) -> Result<Vec<Claimed>> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "UPDATE queue_delivery SET state = 1, lease_node = $2, lease = $3 WHERE id = ANY($1)";
    tx.execute(sql, &[&taken, &holder.name(), &number.0]).await?;
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

/// See [`follow_clock`](crate::Queue::follow_clock). Reads all of the queue.
pub(super) async fn follow_clock(tx: &Tx, waits: &[Duration]) -> Result<u64> {
    let now = tx.now().await?;
    let mut pulled = 0;
    for longest in longest_waits(waits) {
        let latest = after(now, longest.wait).as_millisecond();
        let sql = "UPDATE queue_delivery SET due = $1
                   WHERE state = 0 AND due > $2 AND attempts >= $3::bigint AND attempts <= $4::bigint";
        pulled +=
            tx.execute(sql, &[&now.as_millisecond(), &latest, &longest.attempts_min, &longest.attempts_max]).await?;
    }
    incidents::make_calls_due(tx, now).await?;
    Ok(pulled)
}
