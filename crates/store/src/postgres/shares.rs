//! Shares of limits, in rows that are locked while they are divided.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    lane::Tx,
    row::{Columns, text},
};
use crate::{
    Demand, Epoch, Member, Result, Share,
    shares::{Held, Shares},
};

/// See [`share`](crate::Fleet::share).
pub(super) async fn share(tx: &Tx, member: &Member, demands: &[Demand]) -> Result<Vec<Share>> {
    let connectors: BTreeSet<_> = demands.iter().map(|demand| text(&demand.connector)).collect();
    let connectors: Vec<&str> = connectors.iter().map(AsRef::as_ref).collect();
    // Who holds the rows and says nothing more would keep all nodes from their claims and reports.
    tx.run("SET LOCAL lock_timeout = '1s'").await?;
    let mut all = lock(tx, &connectors).await?;
    let now = tx.now().await?.as_microsecond();
    let mut given = Vec::with_capacity(demands.len());
    for demand in demands {
        let shares = all.entry(text(&demand.connector).into_owned()).or_default();
        given.push(shares.give(member, demand, now));
    }
    put(tx, member, &all, now).await?;
    Ok(given)
}

/// In the order of their names, so that nobody waits in a circle.
async fn lock(tx: &Tx, connectors: &[&str]) -> Result<BTreeMap<String, Shares>> {
    let select =
        "SELECT connector, next_slot FROM connector_limit WHERE connector = ANY($1) ORDER BY connector FOR UPDATE";
    let mut locked = tx.query(select, &[&connectors]).await?;
    if locked.len() < connectors.len() {
        let sql =
            "INSERT INTO connector_limit (connector, next_slot) SELECT unnest, 0 FROM unnest($1::text[]) ORDER BY 1
                   ON CONFLICT DO NOTHING";
        tx.execute(sql, &[&connectors]).await?;
        locked = tx.query(select, &[&connectors]).await?;
    }
    let mut all = BTreeMap::new();
    for row in &locked {
        let mut columns = Columns::of(row);
        let (connector, next_slot) = (columns.take()?, columns.take()?);
        all.insert(connector, Shares { next_slot, members: BTreeMap::new() });
    }
    let sql = "SELECT connector, node, epoch, connections, wanted, messages, at FROM connector_share
               WHERE connector = ANY($1)";
    for row in &tx.query(sql, &[&connectors]).await? {
        let mut columns = Columns::of(row);
        let (connector, node): (String, String) = (columns.take()?, columns.take()?);
        let epoch = Epoch(columns.take()?);
        let mut number = || columns.take::<i64>().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let (connections, wanted, messages) = (number()?, number()?, number()?);
        let held = Held { epoch, connections, wanted, messages, at: columns.take()? };
        all.entry(connector).or_default().members.insert(node, held);
    }
    Ok(all)
}

/// Writes what has changed: the member's own rows, the slots, and rows that are over.
async fn put(tx: &Tx, member: &Member, all: &BTreeMap<String, Shares>, now: i64) -> Result<()> {
    let (mut connectors, mut slots) = (vec![], vec![]);
    let (mut connections, mut wanted, mut messages) = (vec![], vec![], vec![]);
    for (connector, shares) in all {
        connectors.push(connector.as_str());
        slots.push(shares.next_slot);
        let own = shares.members.get(member.name()).filter(|own| own.epoch == member.epoch());
        connections.push(own.map(|own| i64::from(own.connections)));
        wanted.push(own.map(|own| i64::from(own.wanted)));
        messages.push(own.map(|own| i64::from(own.messages)));
    }
    let sql = "UPDATE connector_limit AS l SET next_slot = n.slot FROM unnest($1::text[], $2::bigint[]) AS n (connector, slot)
               WHERE l.connector = n.connector AND l.next_slot <> n.slot";
    tx.execute(sql, &[&connectors, &slots]).await?;
    let sql = "INSERT INTO connector_share (connector, node, epoch, connections, wanted, messages, at)
               SELECT n.connector, $2, $3, n.connections, n.wanted, n.messages, $4
               FROM unnest($1::text[], $5::bigint[], $6::bigint[], $7::bigint[]) AS n (connector, connections, wanted, messages)
               WHERE n.connections IS NOT NULL AND EXISTS (SELECT FROM member WHERE epoch = $3 AND NOT has_left)
               ON CONFLICT (connector, node) DO UPDATE SET epoch = excluded.epoch, connections = excluded.connections,
                   wanted = excluded.wanted, messages = excluded.messages, at = excluded.at";
    let name = member.name();
    tx.execute(sql, &[&connectors, &name, &member.epoch().0, &now, &connections, &wanted, &messages]).await?;
    let sql = "DELETE FROM connector_share WHERE connector = ANY($1) AND at <= $2";
    tx.execute(sql, &[&connectors, &Shares::over_at(now)]).await.map(drop)
}
