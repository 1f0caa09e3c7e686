//! Members: nodes that have joined the store, under one name each.

use super::{
    bodies,
    claim::{self, Ends},
    lane::Tx,
    row::Columns,
};
use crate::{
    Epoch, Result,
    lease::{Known, host_name},
};

const COLUMNS: &str = "epoch, host, process, started, seen, has_left";

/// No process is known to be dead: members may be on any machine.
const NONE_DEAD: Epoch = Epoch(0);

fn read(row: &tokio_postgres::Row) -> Result<Known> {
    let mut columns = Columns::of(row);
    Ok(Known {
        epoch: Epoch(columns.take()?),
        host: columns.take()?,
        process: columns.take::<i64>()? as u32,
        started: columns.time()?,
        seen: columns.time()?,
        has_left: columns.take()?,
    })
}

async fn find(tx: &Tx, name: &str) -> Result<Option<Known>> {
    let row = tx.query_opt(&format!("SELECT {COLUMNS} FROM member WHERE name = $1"), &[&name]).await?;
    row.as_ref().map(read).transpose()
}

/// Returns the new epoch and how many deliveries went back to the queue, or who has the name.
pub(super) async fn join(tx: &Tx, name: &str) -> Result<Result<(Epoch, u64), Known>> {
    let now = tx.now().await?;
    tx.run("LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE").await?;
    let earlier = find(tx, name).await?;
    let is_dead = earlier.as_ref().is_none_or(|earlier| earlier.is_dead(NONE_DEAD));
    if let Some(earlier) = earlier.filter(|earlier| earlier.lives(NONE_DEAD, now)) {
        return Ok(Err(earlier));
    }
    let epoch = tx.query_one("SELECT nextval('member_epoch')", &[]).await?.try_get(0).map(Epoch)?;
    let sql = format!(
        "INSERT INTO member (name, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $5, false)
         ON CONFLICT (name) DO UPDATE SET epoch = $2, host = $3, process = $4, started = $5, seen = $5, has_left = false"
    );
    let (host, process) = (host_name(), i64::from(std::process::id()));
    tx.execute(&sql, &[&name, &epoch.0, &host, &process, &now.as_millisecond()]).await?;
    let taken_back = claim::end_leases(tx, Ends::OfNode { name, all: is_dead }).await?;
    bodies::sweep(tx, &living(tx).await?).await?;
    Ok(Ok((epoch, taken_back)))
}

async fn living(tx: &Tx) -> Result<Vec<i64>> {
    let now = tx.now().await?;
    let rows = tx.query(&format!("SELECT {COLUMNS} FROM member"), &[]).await?;
    let members = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(members.iter().filter(|member| member.lives(NONE_DEAD, now)).map(|member| member.epoch.0).collect())
}

pub(super) async fn leave(tx: &Tx, epoch: Epoch) -> Result<()> {
    tx.execute("UPDATE member SET has_left = true WHERE epoch = $1", &[&epoch.0]).await.map(drop)
}

/// Notes that a member lives, or returns who has its name now, if anybody.
pub(super) async fn see(tx: &Tx, name: &str, epoch: Epoch) -> Result<Result<(), Option<Known>>> {
    let now = tx.now().await?.as_millisecond();
    let sql = "UPDATE member SET seen = $2 WHERE epoch = $1 AND NOT has_left";
    if tx.execute(sql, &[&epoch.0, &now]).await? > 0 {
        return Ok(Ok(()));
    }
    Ok(Err(find(tx, name).await?.filter(|known| known.epoch != epoch)))
}
