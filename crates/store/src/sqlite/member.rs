//! Members: nodes that have joined the store, under one name each.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{bodies, change_log, claim, row::Millis};
use crate::{
    Drained, Epoch, Member, MemberRecord, NewChange,
    change_log::drain as changed_drain,
    lease::{Known, host_name},
};

const COLUMNS: &str = "epoch, host, process, started, seen, has_left";

fn read(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        epoch: Epoch(row.get(0)?),
        host: row.get(1)?,
        process: row.get(2)?,
        started: row.get::<_, Millis>(3)?.0,
        seen: row.get::<_, Millis>(4)?.0,
        has_left: row.get(5)?,
    })
}

fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<Known>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM member WHERE name = ?1"))?;
    select.query_row([name], read).optional()
}

/// The newest epoch. At the start of a process that has taken the folder's lock, its member is dead, and so are those
/// before it.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Epoch> {
    connection.query_row("SELECT coalesce(max(epoch), 0) FROM member", [], |row| row.get(0)).map(Epoch)
}

/// Returns the new member and how many deliveries went back to the queue, or who has the name.
pub(super) fn join(
    connection: &Connection,
    name: &str,
    dead_epochs: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Result<(Member, u64), Known>> {
    let earlier = find(connection, name)?;
    let is_dead = earlier.as_ref().is_none_or(|earlier| earlier.is_dead(dead_epochs));
    if let Some(earlier) = earlier.filter(|earlier| earlier.lives(dead_epochs, now)) {
        return Ok(Err(earlier));
    }
    let epoch = Epoch(newest(connection)?.0 + 1);
    let host = host_name();
    let mut insert = connection.prepare_cached(&format!(
        "INSERT OR REPLACE INTO member (name, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?5, FALSE)"
    ))?;
    insert.execute(params![name, epoch.0, host, std::process::id(), Millis(now)])?;
    let taken_back = claim::take_back(connection, name, is_dead, now)?;
    bodies::sweep(connection, &living(connection, dead_epochs, now)?)?;
    Ok(Ok((Member::new(name, epoch, now), taken_back)))
}

fn living(connection: &Connection, dead_epochs: Epoch, now: Timestamp) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM member"))?;
    let members: Vec<Known> = select.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let living = members.into_iter().filter(|member| member.lives(dead_epochs, now));
    Ok(living.map(|member| member.epoch.0).collect())
}

pub(super) fn leave(connection: &Connection, epoch: Epoch) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE member SET has_left = TRUE WHERE epoch = ?1")?.execute([epoch.0])?;
    Ok(())
}

/// Notes that a member lives, or returns who has its name now, if anybody.
pub(super) fn see(
    connection: &Connection,
    name: &str,
    epoch: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Result<(), Option<Known>>> {
    let mut update = connection.prepare_cached("UPDATE member SET seen = ?2 WHERE epoch = ?1 AND NOT has_left")?;
    if update.execute(params![epoch.0, Millis(now)])? > 0 {
        return Ok(Ok(()));
    }
    Ok(Err(find(connection, name)?.filter(|known| known.epoch != epoch)))
}

pub(super) fn records(
    connection: &Connection,
    dead_epochs: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Vec<MemberRecord>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, name, at, set_by FROM member LEFT JOIN drained ON node = name ORDER BY name"
    ))?;
    let record = |row: &Row<'_>| {
        let at: Option<Millis> = row.get(7)?;
        let drained = match at {
            Some(Millis(at)) => Some(Drained { at, by: row.get(8)? }),
            None => None,
        };
        Ok(read(row)?.record(row.get(6)?, drained, dead_epochs, now))
    };
    select.query_map([], record)?.collect()
}

pub(super) fn is_drained(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM drained WHERE node = ?1")?.exists([name])
}

/// False if there is no such node.
pub(super) fn drain(
    connection: &Connection,
    name: &str,
    is_drained: bool,
    by: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    if find(connection, name)?.is_none() {
        return Ok(false);
    }
    let changed = match is_drained {
        true => connection
            .prepare_cached("INSERT OR IGNORE INTO drained (node, at, set_by) VALUES (?1, ?2, ?3)")?
            .execute(params![name, Millis(now), by])?,
        false => connection.prepare_cached("DELETE FROM drained WHERE node = ?1")?.execute([name])?,
    };
    if changed > 0 {
        let (node, who) = (Some(name.to_owned()), by.to_owned());
        change_log::put(connection, &NewChange { node, who, from: None, kind: changed_drain(is_drained) }, now)?;
    }
    Ok(true)
}
