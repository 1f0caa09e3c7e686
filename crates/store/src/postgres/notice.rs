//! Notices to senders. A notice is owed from the moment that a result is recorded, and queued once the other deliveries
//! of the message have results too.

use std::time::Duration;

use trace::{EventKind, event::NoticeAction};
use uuid::Uuid;

use super::{
    accept::{self, New},
    events::{self, Events, Of},
    finish::{finish, lock},
    lane::Tx,
    row::{Columns, QUEUE, record_columns, record_from},
};
use crate::{
    Accepted, DeliveryRecord, Result, Telling, Told, Untold,
    clock::before,
    stored::{notice_from_number, notice_number},
};

pub(super) async fn untold(tx: &Tx, waited: Duration, limit: u32) -> Result<Vec<Untold>> {
    let now = tx.now().await?;
    let columns = record_columns();
    let sql = format!(
        "WITH told AS (
             SELECT owing.message FROM (
                 SELECT message, min(owed_since) AS since FROM queue_delivery WHERE owed IS NOT NULL GROUP BY message
             ) AS owing
             WHERE owing.since <= $2 OR NOT EXISTS (
                 SELECT 1 FROM queue_delivery AS other WHERE other.message = owing.message AND (
                     other.state = 1 OR (other.state = 0 AND other.attempts = 0 AND other.due <= $1)
                 )
             ) ORDER BY owing.message LIMIT $3
         )
         SELECT {columns}, owed FROM {QUEUE} WHERE owed IS NOT NULL AND message IN (SELECT message FROM told)
         ORDER BY message, id"
    );
    let waited_since = before(now, waited).as_millisecond();
    let rows = tx.query(&sql, &[&now.as_millisecond(), &waited_since, &i64::from(limit)]).await?;
    let mut untold: Vec<Untold> = Vec::new();
    for row in &rows {
        let mut columns = Columns::of(row);
        let record: DeliveryRecord = record_from(&mut columns)?;
        let action = notice_from_number(columns.take::<i16>()? as u8);
        match untold.last_mut().filter(|last| last.message.key == record.message.key) {
            Some(last) => last.deliveries.push((action, record)),
            None => untold.push(Untold { message: record.message.clone(), deliveries: vec![(action, record)] }),
        }
    }
    Ok(untold)
}

pub(super) async fn tell(tx: &Tx, node: &str, telling: &Telling, keys: &Accepted) -> Result<Told> {
    lock(tx, &[telling.message.0]).await?;
    let told = take_owed(tx, telling).await?;
    if told.is_empty() {
        return Ok(Told::Nothing);
    }
    let now = tx.now().await?;
    let is_withheld = is_at_limit(tx, telling).await?;
    let kind = match is_withheld {
        true => EventKind::NoticeWithheld { action: telling.action },
        false => EventKind::Notified { action: telling.action, notice: telling.notice.network_message_id },
    };
    let row = tx
        .query_one("SELECT received, network_message_id FROM queue_message WHERE message = $1", &[&telling.message.0])
        .await?;
    let (of, message): (Of, Uuid) = (Of { message: telling.message.0, received: row.try_get(0)? }, row.try_get(1)?);
    let mut events = Events::default();
    for recipient in told {
        events.push(of, &events::own(now, node, message, &recipient, kind.clone()))?;
    }
    events.insert(tx).await?;
    if !is_withheld {
        let new = New { message: &telling.notice, keys, holder: None, node, events: &[] };
        accept::insert(tx, Some(now), &[new]).await?;
        count(tx, telling).await?;
    }
    finish(tx, &[telling.message.0]).await?;
    Ok(if is_withheld { Told::Withheld } else { Told::Queued })
}

/// The recipients about whom a notice was still owed. From now on it is not.
async fn take_owed(tx: &Tx, telling: &Telling) -> Result<Vec<String>> {
    let keys: Vec<i64> = telling.deliveries.iter().map(|delivery| delivery.0).collect();
    let action: NoticeAction = telling.action;
    let sql = "UPDATE queue_delivery SET owed = NULL, owed_since = NULL WHERE id = ANY($1) AND owed = $2
               RETURNING id, recipient";
    let rows = tx.query(sql, &[&keys, &i16::from(notice_number(action))]).await?;
    let taken =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<(i64, String)>>>()?;
    let place = |id: &i64| keys.iter().position(|key| key == id);
    let mut taken: Vec<(Option<usize>, String)> = taken.into_iter().map(|(id, text)| (place(&id), text)).collect();
    taken.sort();
    Ok(taken.into_iter().map(|(_, recipient)| recipient).collect())
}

/// Nodes that tell the same address at once take turns.
async fn is_at_limit(tx: &Tx, telling: &Telling) -> Result<bool> {
    let address = telling.address();
    tx.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&address]).await?;
    let sent_after = before(tx.now().await?, telling.sent_within).as_millisecond();
    let sql = "SELECT count(*) FROM notice_sent
               WHERE hashtextextended(address, 0) = hashtextextended($1, 0) AND address = $1 AND at > $2";
    let sent: i64 = tx.query_one(sql, &[&address, &sent_after]).await?.try_get(0)?;
    Ok(sent >= i64::from(telling.sent_max))
}

async fn count(tx: &Tx, telling: &Telling) -> Result<()> {
    let now = tx.now().await?;
    let sent_before = before(now, telling.sent_within).as_millisecond();
    // What another node is just deleting needs no second one.
    let sql = "DELETE FROM notice_sent WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM notice_sent WHERE at <= $1 LIMIT 1000 FOR UPDATE SKIP LOCKED))";
    tx.execute(sql, &[&sent_before]).await?;
    let sql = "INSERT INTO notice_sent (address, at) VALUES ($1, $2)";
    tx.execute(sql, &[&telling.address(), &now.as_millisecond()]).await.map(drop)
}
