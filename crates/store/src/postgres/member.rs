//! Members: nodes that have joined the store, under one name each.

use super::{
    bodies, change_log,
    lane::{Tx, commit_in_time},
    lease::{end_leases, hear},
    mark,
    row::{Columns, text},
    witness::{Heard, Seen},
};
use crate::{
    Drained, Epoch, Joined, Member, MemberRecord, NewChange, Result,
    change_log::drain as changed_drain,
    lease::{Known, host_name},
    stored::time_from_millis,
};

const COLUMNS: &str = "epoch, host, process, started, seen, has_left";

/// Members may be on any machine.
const NONE_DEAD: Epoch = Epoch(0);

fn read(row: &tokio_postgres::Row) -> Result<Known> {
    known(&mut Columns::of(row))
}

fn known(columns: &mut Columns<'_>) -> Result<Known> {
    Ok(Known {
        epoch: Epoch(columns.take()?),
        host: columns.take()?,
        process: columns.take::<i64>()? as u32,
        started: columns.time()?,
        seen: columns.time()?,
        has_left: columns.take()?,
    })
}

/// The kernel and the namespace in which this process has its number; empty where that is not known.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() { String::new() } else { format!("{} {}", boot.trim(), namespace.display()) }
}

/// True if the process of that member has ended: it was on this machine, and is not there any more.
async fn has_ended(tx: &Tx, known: &Known) -> Result<bool> {
    let row = tx.query_one("SELECT machine FROM member WHERE epoch = $1", &[&known.epoch.0]).await?;
    let machine = machine();
    let is_here = !machine.is_empty() && row.try_get::<_, &str>(0)? == machine;
    Ok(is_here && !std::path::Path::new(&format!("/proc/{}", known.process)).exists())
}

async fn find(tx: &Tx, name: &str) -> Result<Option<Known>> {
    let row = tx.query_opt(&format!("SELECT {COLUMNS} FROM member WHERE name = $1"), &[&name]).await?;
    row.as_ref().map(read).transpose()
}

/// A node that runs, and is not an earlier process of this machine. Nobody joins before the transaction has ended.
pub(super) async fn running(tx: &Tx) -> Result<Option<(String, Known)>> {
    tx.run("LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE").await?;
    let now = tx.now().await?;
    for row in tx.query(&format!("SELECT {COLUMNS}, name FROM member ORDER BY name"), &[]).await? {
        let mut columns = Columns::of(&row);
        let known = known(&mut columns)?;
        if known.lives(NONE_DEAD, now) && !has_ended(tx, &known).await? {
            return Ok(Some((columns.take()?, known)));
        }
    }
    Ok(None)
}

/// Returns the new member, how many deliveries went back to the queue, and whether the node is drained, or who has the name.
pub(super) async fn join(tx: &Tx, name: &str) -> Result<Result<Joined, Known>> {
    let now = tx.now().await?;
    tx.run("LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE").await?;
    // Mail may have begun to move here since this node looked.
    mark::refuse_unfinished(tx).await?;
    let earlier = find(tx, name).await?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.lives(NONE_DEAD, now))
        && !has_ended(tx, &earlier).await?
    {
        return Ok(Err(earlier));
    }
    let epoch = tx.query_one("SELECT nextval('member_epoch')", &[]).await?.try_get(0).map(Epoch)?;
    let started = now.as_millisecond();
    put(tx, name, epoch, started, 0).await?;
    // Nobody holds any more what is leased under this name.
    let taken_back = end_leases(tx, &[name.to_owned()]).await?;
    bodies::sweep(tx, &living(tx).await?).await?;
    let member = Member::new(name, epoch, time_from_millis(started));
    Ok(Ok(Joined { member, taken_back, is_drained: is_drained(tx, name).await? }))
}

/// A process that runs takes its place again in a store that was restored, unless it is there, or another one has its name or
/// its epoch by now.
pub(super) async fn return_to(tx: &Tx, seen: &Seen) -> Result<()> {
    let Seen { node, epoch, started, beat, .. } = seen;
    tx.run("BEGIN; LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE").await?;
    let sql = "SELECT FROM member WHERE epoch = $2 OR (name = $1 AND epoch > $2)";
    if tx.query_opt(sql, &[node, epoch]).await?.is_none() {
        put(tx, node, Epoch(*epoch), *started, *beat).await?;
    }
    commit_in_time(tx).await
}

/// In the place of an earlier member of that name.
async fn put(tx: &Tx, name: &str, epoch: Epoch, started: i64, beat: i64) -> Result<()> {
    let sql = format!(
        "INSERT INTO member (name, {COLUMNS}, machine, beat) VALUES ($1, $2, $3, $4, $8, $5, false, $6, $7)
         ON CONFLICT (name) DO UPDATE SET epoch = $2, host = $3, process = $4, started = $8, seen = $5, has_left = false,
             machine = $6, beat = $7"
    );
    let (host, process) = (host_name(), i64::from(std::process::id()));
    let now = tx.now().await?.as_millisecond();
    tx.execute(&sql, &[&name, &epoch.0, &host, &process, &now, &machine(), &beat, &started]).await.map(drop)
}

async fn living(tx: &Tx) -> Result<Vec<i64>> {
    let now = tx.now().await?;
    let rows = tx.query(&format!("SELECT {COLUMNS} FROM member"), &[]).await?;
    let members = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(members.iter().filter(|member| member.lives(NONE_DEAD, now)).map(|member| member.epoch.0).collect())
}

/// It, and no other one that has its epoch in a store that was replaced or restored.
pub(super) async fn leave(tx: &Tx, member: &Member) -> Result<()> {
    let (name, epoch, started) = (member.name(), member.epoch().0, member.started().as_millisecond());
    let sql = "UPDATE member SET has_left = true WHERE name = $1 AND epoch = $2 AND started = $3";
    tx.execute(sql, &[&name, &epoch, &started]).await?;
    tx.execute("DELETE FROM connector_share WHERE node = $1 AND epoch = $2", &[&name, &epoch]).await.map(drop)
}

/// Notes that a member lives, or returns who has its name now, if anybody.
pub(super) async fn see(tx: &Tx, member: &Member) -> Result<Result<Heard, Option<Known>>> {
    if let Some(heard) = hear(tx, member).await? {
        return Ok(Ok(heard));
    }
    Ok(Err(find(tx, member.name()).await?.filter(|known| !known.is(member))))
}

pub(super) async fn records(tx: Tx) -> Result<Vec<MemberRecord>> {
    let now = tx.now().await?;
    let sql = format!("SELECT {COLUMNS}, name, at, set_by FROM member LEFT JOIN drained ON node = name ORDER BY name");
    let record = |row: &tokio_postgres::Row| {
        let mut columns = Columns::of(row);
        let (known, name) = (known(&mut columns)?, columns.take()?);
        let drained = match columns.time_if_any()? {
            Some(at) => Some(Drained { at, by: columns.take()? }),
            None => None,
        };
        Ok(known.record(name, drained, NONE_DEAD, now))
    };
    tx.query(&sql, &[]).await?.iter().map(record).collect()
}

pub(super) async fn is_drained(tx: &Tx, name: &str) -> Result<bool> {
    Ok(tx.query_opt("SELECT FROM drained WHERE node = $1", &[&name]).await?.is_some())
}

/// False if there is no such node.
pub(super) async fn drain(tx: &Tx, name: &str, is_drained: bool, by: &str) -> Result<bool> {
    if find(tx, name).await?.is_none() {
        return Ok(false);
    }
    let changed = match is_drained {
        true => {
            let sql = "INSERT INTO drained (node, at, set_by) VALUES ($1, $2, $3) ON CONFLICT (node) DO NOTHING";
            tx.execute(sql, &[&name, &tx.now().await?.as_millisecond(), &text(by)]).await?
        }
        false => tx.execute("DELETE FROM drained WHERE node = $1", &[&name]).await?,
    };
    if changed > 0 {
        let (node, who) = (Some(name.to_owned()), by.to_owned());
        change_log::put(tx, &NewChange { node, who, from: None, kind: changed_drain(is_drained) }).await?;
    }
    Ok(true)
}
