//! The database's side of bodies that are outside: what is begun, what may be deleted, and what belongs to no message.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{
    Inner, LONG,
    lane::{Lane, Tx},
    owner,
};
use crate::{
    BodyKey, Result,
    clock::after,
    outside::{BodiesError, Mark, Outside, Piece},
};

/// Messages whose bodies one turn deletes.
const PAGE: i64 = 200;
/// Messages whose bodies are being deleted at once.
const AT_ONCE: usize = 16;
/// A node that could not delete a body, or has died meanwhile, leaves it to all others after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// What belongs to no message is looked for at this interval, by one node.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// For who finds that a body is outside.
pub(super) fn place(inner: &Inner) -> Result<&Arc<Outside>> {
    let unknown = || BodiesError::NotSet { recorded: "a place outside the database".to_owned() };
    inner.outside.as_ref().ok_or_else(|| unknown().into())
}

pub(super) async fn begin_upload(tx: &Tx, body: BodyKey) -> Result<()> {
    tx.execute("INSERT INTO upload (message, epoch) VALUES ($1, $2)", &[&body.message.0, &body.owner.0]).await.map(drop)
}

/// Notes that a piece will be written. False if the body was swept.
pub(super) async fn begin(tx: &Tx, body: BodyKey, sequence: u32) -> Result<bool> {
    let pieces = sequence as i32 + 1;
    if sequence == 0 {
        begin_upload(tx, body).await?;
        let sql = "INSERT INTO body_outside (message, pieces) VALUES ($1, $2)";
        return Ok(tx.execute(sql, &[&body.message.0, &pieces]).await? > 0);
    }
    // A node that sweeps waits for the row.
    let sql = "WITH upload AS (SELECT message FROM upload WHERE message = $1 FOR KEY SHARE)
               UPDATE body_outside SET pieces = $2 WHERE message IN (SELECT message FROM upload)";
    Ok(tx.execute(sql, &[&body.message.0, &pieces]).await? > 0)
}

/// Deletes what no message needs any more. Returns how many messages that were.
pub(super) async fn clean(inner: &Inner) -> Result<u64> {
    let Some(outside) = &inner.outside else { return Ok(0) };
    match (delete_gone(inner, outside).await, sweep(inner, outside).await) {
        (Ok(gone), Ok(swept)) => Ok(gone + swept),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(error), Err(other)) => {
            tracing::warn!(error = %other, "failed to look for bodies that belong to no message");
            Err(error)
        }
    }
}

async fn delete_gone(inner: &Inner, outside: &Arc<Outside>) -> Result<u64> {
    let mut deleted = 0;
    // Most of the time there is nothing, and nothing is written.
    while inner.readers.read(has_gone).await? && owner::may_delete(inner, outside).await? {
        let due = inner.clerk.write(|tx| async move { take_gone(&tx).await }).await?;
        let (done, result) = delete(outside, due).await;
        deleted += done.len() as u64;
        let forget = move |tx: Tx| async move {
            tx.execute("DELETE FROM body_outside WHERE message = ANY($1) AND gone IS NOT NULL", &[&done]).await
        };
        inner.clerk.write(forget).await?;
        result?;
    }
    Ok(deleted)
}

async fn has_gone(tx: Tx) -> Result<bool> {
    let now = tx.now().await?.as_millisecond();
    Ok(tx.query_opt("SELECT FROM body_outside WHERE gone <= $1 LIMIT 1", &[&now]).await?.is_some())
}

async fn take_gone(tx: &Tx) -> Result<Vec<(i64, i32)>> {
    let now = tx.now().await?;
    let sql = format!(
        "UPDATE body_outside SET gone = $2 WHERE message IN (
             SELECT message FROM body_outside WHERE gone <= $1 ORDER BY gone LIMIT {PAGE} FOR UPDATE SKIP LOCKED)
         RETURNING message, pieces"
    );
    let rows = tx.query(&sql, &[&now.as_millisecond(), &after(now, AGAIN).as_millisecond()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Returns those that were deleted, and the first failure. After a failure, no more are begun.
async fn delete(outside: &Arc<Outside>, due: Vec<(i64, i32)>) -> (Vec<i64>, Result<()>) {
    let (mut done, mut result, mut tasks) = (Vec::with_capacity(due.len()), Ok(()), JoinSet::new());
    let mut due = due.into_iter();
    loop {
        while tasks.len() < AT_ONCE
            && result.is_ok()
            && let Some((message, pieces)) = due.next()
        {
            let outside = Arc::clone(outside);
            tasks.spawn(
                async move { outside.delete(crate::MessageKey(message), 0..pieces as u32).await.map(|()| message) },
            );
        }
        match tasks.join_next().await {
            Some(Ok(Ok(message))) => done.push(message),
            Some(Ok(Err(error))) => result = Err(error),
            Some(Err(_)) => {}
            None => return (done, result),
        }
    }
}

/// Deletes pieces that belong to no message, once they have the age. They are left where the database forgot what it knew: it
/// failed over, was restored, or a piece arrived after its body was given up.
async fn sweep(inner: &Inner, outside: &Arc<Outside>) -> Result<u64> {
    let age = outside.orphan_age();
    let interval = SWEEP_INTERVAL.min(age).as_millis() as i64;
    let is_due = |tx: Tx| async move { is_due(&tx, interval).await };
    if !inner.readers.read(is_due).await? || !owner::may_delete(inner, outside).await? {
        return Ok(0);
    }
    let Some(mark) = inner.clerk.write(move |tx| async move { take_turn(&tx, interval).await }).await? else {
        return Ok(0);
    };
    outside.mark(&mark).await?;
    let given_up = inner.clerk.write_within(LONG, |tx| async move { give_up_finished(&tx).await }).await?;
    let mut deleted = if given_up > 0 { delete_gone(inner, outside).await? } else { 0 };
    for shard in 0..=u8::MAX {
        let pieces = outside.list(shard).await?;
        let now = Timestamp::now().as_millisecond();
        let old = |piece: &Piece| now.saturating_sub(piece.modified_ms) >= age.as_millis() as i64;
        let old: Vec<Piece> = pieces.into_iter().filter(old).collect();
        let needed = if old.is_empty() { Vec::new() } else { needed(&inner.readers, &old).await? };
        for Piece { message, piece, .. } in old.iter().filter(|piece| !needed.contains(&piece.message.0)) {
            outside.delete(*message, *piece..piece + 1).await?;
            deleted += 1;
        }
    }
    if deleted > 0 {
        tracing::warn!(
            pieces = deleted,
            place = outside.place(),
            "deleted pieces of bodies that belonged to no message"
        );
    }
    Ok(deleted)
}

const DUE: &str = "swept NOT BETWEEN $1 - $2::bigint + 1 AND $1";

async fn is_due(tx: &Tx, interval: i64) -> Result<bool> {
    let now = tx.now().await?.as_millisecond();
    let sql = format!("SELECT FROM body_place WHERE {DUE}");
    Ok(tx.query_opt(&sql, &[&now, &interval]).await?.is_some())
}

/// One node takes it, and renews the mark.
async fn take_turn(tx: &Tx, interval: i64) -> Result<Option<Mark>> {
    let now = tx.now().await?.as_millisecond();
    let sql = format!("UPDATE body_place SET swept = $1 WHERE {DUE}");
    if tx.execute(&sql, &[&now, &interval]).await? == 0 { Ok(None) } else { owner::mark(tx).await.map(Some) }
}

/// Gives up the bodies of messages that a node of the version before has finished.
async fn give_up_finished(tx: &Tx) -> Result<u64> {
    let sql = "UPDATE body_outside AS o SET gone = 0 WHERE gone IS NULL
                   AND NOT EXISTS (SELECT FROM queue_message AS m WHERE m.message = o.message)
                   AND NOT EXISTS (SELECT FROM upload AS u WHERE u.message = o.message)";
    tx.execute(sql, &[]).await
}

/// Those that a row speaks for.
async fn needed(lane: &Arc<Lane>, pieces: &[Piece]) -> Result<Vec<i64>> {
    let messages: Vec<i64> = pieces.iter().map(|piece| piece.message.0).collect();
    let messages = &messages;
    let read = |tx: Tx| async move {
        let sql = "SELECT message FROM body_outside WHERE message = ANY($1)";
        let rows = tx.query(sql, &[messages]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    };
    lane.read(read).await
}
