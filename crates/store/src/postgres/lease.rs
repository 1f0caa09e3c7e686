//! Leases: they last as long as their member is heard.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;
use tokio_postgres::{Row, types::ToSql};
use trace::EventKind;

use super::{
    events::{self, Events, Of},
    lane::Tx,
    row::Columns,
    witness::{Heard, Seen},
};
use crate::{
    DeliveryKey, Epoch, Holding, LeaseNumber, MEMBER_VALID, Member, Result,
    clock::{after, before},
    restoration::RESTORE,
};

/// Leases of this node that it does not know of, and since when that was seen: the answer of the call that made them was
/// lost.
#[derive(Default)]
pub(super) struct Unknown(Mutex<HashMap<Holding, Instant>>);

impl Unknown {
    /// Those that the node will not learn of any more: a call that could still tell it of one read its term before it asked,
    /// so that this term is over. Members that had the name before have none.
    fn over(&self, unheld: &HashSet<Holding>, epoch: Epoch, now: Instant) -> Vec<i64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|holding, _| unheld.contains(holding));
        let is_over = |holding: &&Holding| {
            let since = *seen.entry(**holding).or_insert(now);
            holding.lease.epoch() != epoch || now.duration_since(since) > MEMBER_VALID
        };
        unheld.iter().filter(is_over).map(|holding| holding.delivery.0).collect()
    }
}

/// One row says that a member lives, and its leases last as long: nothing is written for each. Returns those that are not
/// current any more; `None`: it is not a member any more, and holds nothing.
///
/// Who ends the leases of a silent member locks its row first. So either the member is heard first, and keeps them, or this
/// waits, and then sees that they have ended.
pub(super) async fn renew(
    tx: &Tx,
    member: &Member,
    held: &[Holding],
    unknown: &Unknown,
) -> Result<Option<(Vec<Holding>, Heard)>> {
    let Some(heard) = hear(tx, member).await? else { return Ok(None) };
    let sql = "SELECT id, lease, suspended_by IS NOT DISTINCT FROM $2 FROM queue_delivery
               WHERE state = 1 AND lease_node = $1";
    let rows = tx.query(sql, &[&member.name(), &RESTORE]).await?;
    let current = |row: &Row| {
        let (delivery, lease) = (DeliveryKey(row.try_get(0)?), LeaseNumber(row.try_get(1)?));
        Ok((Holding { delivery, lease }, row.try_get::<_, bool>(2)?))
    };
    let current = rows.iter().map(current).collect::<Result<HashMap<_, _>>>()?;
    let (restored, unheld) = unheld(&current, &held.iter().copied().collect());
    // What this node held at the time of a backup, it will not learn of any more.
    let mut over = unknown.over(&unheld, member.epoch(), Instant::now());
    over.extend(restored.iter().map(|holding| holding.delivery.0));
    if !over.is_empty() {
        let ended = end_where(tx, "id = ANY($1)", &over).await?;
        tracing::warn!(
            deliveries = ended,
            "returned deliveries to the queue that this node was given without its knowledge"
        );
    }
    Ok(Some((held.iter().filter(|holding| !current.contains_key(holding)).copied().collect(), heard)))
}

/// Leases that the node does not name: those of a restored backup, and the others.
fn unheld(current: &HashMap<Holding, bool>, held: &HashSet<Holding>) -> (Vec<Holding>, HashSet<Holding>) {
    let unheld = || current.iter().filter(|(holding, _)| !held.contains(holding));
    let of = |is_restored| unheld().filter(move |(_, restored)| **restored == is_restored).map(|(holding, _)| *holding);
    (of(true).collect(), of(false).collect())
}

/// Ends the leases of members that were not heard for a term, or have left.
pub(super) async fn end_leases_of_silent(tx: &Tx) -> Result<u64> {
    let now = tx.now().await?;
    let [from, to] = [before(now, MEMBER_VALID), after(now, MEMBER_VALID)].map(|time| time.as_millisecond());
    // A time of the future is from before the clock was set back. Nobody knows how long ago that was.
    let sql = "UPDATE member SET seen = $1 WHERE seen > $2 AND NOT has_left";
    tx.execute(sql, &[&now.as_millisecond(), &to]).await?;
    // A row that is locked is being heard, or another node is at it.
    let sql = "SELECT name FROM member WHERE (has_left OR seen <= $1)
                   AND EXISTS (SELECT FROM queue_delivery WHERE state = 1 AND lease_node = name)
               ORDER BY name FOR UPDATE OF member SKIP LOCKED";
    let names =
        tx.query(sql, &[&from]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
    if names.is_empty() { Ok(0) } else { end_leases(tx, &names).await }
}

/// The same of members with these names, whose rows are locked or new.
pub(super) async fn end_leases(tx: &Tx, names: &[String]) -> Result<u64> {
    end_where(tx, "lease_node = ANY($1)", &names).await
}

/// Returns deliveries to the queue, unless an operator suspended them meanwhile. What is just being settled is left alone, and
/// what a node of the version before holds: it gives each of its leases a time.
async fn end_where(tx: &Tx, condition: &str, value: &(dyn ToSql + Sync)) -> Result<u64> {
    let now = tx.now().await?;
    let sql = format!(
        "SELECT id, message, network_message_id, received, recipient, lease_node
         FROM queue_delivery JOIN queue_message USING (message)
         WHERE state = 1 AND {condition} AND (lease_until IS NULL OR lease_until < $2)
         ORDER BY id FOR UPDATE OF queue_delivery SKIP LOCKED"
    );
    let rows = tx.query(&sql, &[value, &now.as_millisecond()]).await?;
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

/// Notes that a member lives. `None` if it does not count as one any more. A store that was replaced or restored gives out
/// epochs again: the name and the start tell members apart.
pub(super) async fn hear(tx: &Tx, member: &Member) -> Result<Option<Heard>> {
    let sql = "UPDATE member SET seen = $4, beat = beat + 1
               WHERE name = $1 AND epoch = $2 AND started = $3 AND NOT has_left
               RETURNING (SELECT store FROM fleet_state), (SELECT coalesce(max(number), 0) FROM fleet_restore), beat,
                   EXISTS (SELECT FROM fleet_restore WHERE answered IS NULL)";
    let at = tx.now().await?.as_millisecond();
    let (name, epoch, started) = (member.name(), member.epoch().0, member.started().as_millisecond());
    let Some(row) = tx.query_opt(sql, &[&name, &epoch, &started, &at]).await? else { return Ok(None) };
    let mut columns = Columns::of(&row);
    let (store, restores, beat) = (columns.take()?, columns.take()?, columns.take()?);
    let seen = Seen { store, restores, node: name.to_owned(), epoch, started, beat, at };
    Ok(Some(Heard { seen, is_held: columns.take()? }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lease::LEASE_COUNT_BITS;

    #[test]
    fn a_lease_that_its_node_does_not_know_of_ends_after_a_term() {
        let holding = |delivery, epoch: i64| {
            let lease = LeaseNumber((epoch << LEASE_COUNT_BITS) + delivery);
            Holding { delivery: DeliveryKey(delivery), lease }
        };
        let (unknown, began) = (Unknown::default(), Instant::now());
        let over = |unheld: &[Holding], seconds| {
            let unheld = unheld.iter().copied().collect();
            let mut over = unknown.over(&unheld, Epoch(7), began + Duration::from_secs(seconds));
            over.sort_unstable();
            over
        };
        // What a member of the same name had before is nobody's.
        assert_eq!(over(&[holding(1, 7), holding(2, 6)], 0), [2]);
        // A claim that is under way is held a moment later.
        assert_eq!(over(&[holding(1, 7), holding(3, 7)], 5), Vec::<i64>::new());
        assert_eq!(over(&[holding(1, 7)], 29), Vec::<i64>::new());
        assert_eq!(over(&[holding(1, 7), holding(3, 7)], 31), [1]);
        assert_eq!(over(&[holding(3, 7)], 62), [3]);
    }
}
