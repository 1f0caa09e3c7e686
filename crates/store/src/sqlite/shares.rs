//! Shares of limits. One process has the file, but a case plays a whole fleet in it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    Demand, Epoch, Member, Share,
    shares::{Held, Shares},
};

/// See [`share`](crate::Fleet::share). Members up to `dead` are in processes that have ended.
pub(super) fn share(
    connection: &Connection,
    member: &Member,
    demands: &[Demand],
    dead: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Vec<Share>> {
    let now = now.as_microsecond();
    connection
        .prepare_cached("DELETE FROM connector_share WHERE epoch <= ?1 OR at <= ?2")?
        .execute(params![dead.0, Shares::over_at(now)])?;
    let mut given = Vec::with_capacity(demands.len());
    for demand in demands {
        let mut shares = read(connection, &demand.connector)?;
        given.push(shares.give(member, demand, now));
        put(connection, &demand.connector, member, &shares)?;
    }
    Ok(given)
}

fn read(connection: &Connection, connector: &str) -> rusqlite::Result<Shares> {
    let mut select = connection.prepare_cached("SELECT next_slot FROM connector_limit WHERE connector = ?1")?;
    let next_slot = select.query_row([connector], |row| row.get(0)).optional()?.unwrap_or_default();
    let mut select = connection.prepare_cached(
        "SELECT node, epoch, connections, wanted, messages, at FROM connector_share WHERE connector = ?1",
    )?;
    let members = select.query_map([connector], |row| {
        let (epoch, connections, wanted) = (Epoch(row.get(1)?), row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, Held { epoch, connections, wanted, messages: row.get(4)?, at: row.get(5)? }))
    })?;
    Ok(Shares { members: members.collect::<rusqlite::Result<_>>()?, next_slot })
}

fn put(connection: &Connection, connector: &str, member: &Member, shares: &Shares) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO connector_limit (connector, next_slot) VALUES (?1, ?2)")?
        .execute(params![connector, shares.next_slot])?;
    let Some(own) = shares.members.get(member.name()).filter(|own| own.epoch == member.epoch()) else { return Ok(()) };
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO connector_share (connector, node, epoch, connections, wanted, messages, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let Held { epoch, connections, wanted, messages, at } = own;
    insert.execute(params![connector, member.name(), epoch.0, connections, wanted, messages, at])?;
    Ok(())
}
