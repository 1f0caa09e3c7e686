//! Reads the history of mail, and drops what is old enough. Mail that waits is read from the queue.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use trace::Event;
use uuid::Uuid;

use super::{
    PostgresStore, incidents,
    lane::Tx,
    partitions,
    row::{Columns, QUEUE, events as read_events, numbers, record_columns, record_from},
    search,
};
use crate::{DeliveryRecord, History, MessageKey, MessageRecord, Result, TraceQuery, clock::before};

impl History for PostgresStore {
    async fn trace(&self, query: TraceQuery) -> Result<Vec<DeliveryRecord>> {
        let began = Instant::now();
        let found = self.0.searchers.read(|tx| search::trace(tx, &query)).await;
        self.times().searches.note(began.elapsed());
        found
    }

    async fn message(&self, id: Uuid) -> Result<Option<MessageRecord>> {
        self.0.readers.read(|tx| message(tx, id)).await
    }

    async fn events(&self, message: Uuid) -> Result<Vec<Event>> {
        self.0.searchers.read(|tx| events(tx, message)).await
    }

    async fn histories(&self, messages: Vec<MessageKey>) -> Result<Vec<Vec<Event>>> {
        self.0.searchers.read(|tx| histories(tx, &messages)).await
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
        self.0.readers.read(|tx| ids_between(tx, first, last, limit)).await
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64> {
        let mut forgotten = 0;
        let drop_one = move |tx: Tx| async move {
            let before = before(tx.now().await?, age);
            partitions::drop_one_before(&tx, before).await
        };
        while let Some(messages) = self.0.clerk.write_within(super::LONG, drop_one).await? {
            forgotten += messages;
        }
        let rest = move |tx: Tx| async move {
            let before = before(tx.now().await?, age);
            incidents::forget(&tx, before).await?;
            partitions::forget_rows(&tx, before, limit).await
        };
        Ok(forgotten + self.0.clerk.write_within(super::LONG, rest).await?)
    }
}

/// The queue first: what leaves it meanwhile is in the history then.
async fn message(tx: Tx, id: Uuid) -> Result<Option<MessageRecord>> {
    let columns = record_columns();
    let in_queue = "EXISTS (SELECT FROM body AS b WHERE b.message = queue_message.message)
        OR EXISTS (SELECT FROM body_outside AS o WHERE o.message = queue_message.message AND gone IS NULL)";
    for (table, body) in [(QUEUE, in_queue), ("history", "false")] {
        let sql = format!("SELECT {columns}, {body} FROM {table} WHERE network_message_id = $1 ORDER BY id");
        let rows = tx.query(&sql, &[&id]).await?;
        if let Some(found) = message_record(&rows)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn message_record(rows: &[Row]) -> Result<Option<MessageRecord>> {
    let mut deliveries = Vec::with_capacity(rows.len());
    let mut body_present = false;
    for row in rows {
        let mut columns = Columns::of(row);
        deliveries.push(record_from(&mut columns)?);
        body_present = columns.take()?;
    }
    let message = deliveries.first().map(|first: &DeliveryRecord| first.message.clone());
    Ok(message.map(|message| MessageRecord { message, deliveries, body_present }))
}

/// Events are on the day on which their message was received.
async fn events(tx: Tx, message: Uuid) -> Result<Vec<Event>> {
    let sql = "SELECT message, received FROM queue_message WHERE network_message_id = $1
               UNION ALL SELECT message, received FROM history WHERE network_message_id = $1 LIMIT 1";
    let Some(found) = tx.query_opt(sql, &[&message]).await? else { return Ok(Vec::new()) };
    let (message, received): (i64, i64) = (found.try_get(0)?, found.try_get(1)?);
    let sql = "SELECT json FROM event WHERE message = $1 AND received = $2 ORDER BY position";
    let rows = tx.query(sql, &[&message, &received]).await?;
    let texts = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<&str>>>()?;
    Ok(read_events(texts.into_iter()))
}

async fn histories(tx: Tx, messages: &[MessageKey]) -> Result<Vec<Vec<Event>>> {
    let sql = "WITH asked AS MATERIALIZED (
                   SELECT message, received FROM queue_message WHERE message = ANY($1)
                   UNION SELECT message, received FROM history WHERE message = ANY($1)
               )
               SELECT e.message, e.json FROM asked JOIN event AS e
                   ON e.message = asked.message AND e.received = asked.received
               WHERE e.message = ANY($1) ORDER BY e.message, e.position";
    let rows = tx.query(sql, &[&numbers(messages)]).await?;
    let mut texts: std::collections::HashMap<i64, Vec<&str>> = std::collections::HashMap::new();
    for row in &rows {
        texts.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    let history = |key: &MessageKey| read_events(texts.get(&key.0).into_iter().flatten().copied());
    Ok(messages.iter().map(history).collect())
}

async fn ids_between(tx: Tx, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
    let sql = "SELECT network_message_id FROM (
                   SELECT network_message_id FROM queue_message WHERE network_message_id BETWEEN $1 AND $2
                   UNION SELECT network_message_id FROM history WHERE network_message_id BETWEEN $1 AND $2
               ) AS ids ORDER BY network_message_id LIMIT $3";
    let rows = tx.query(sql, &[&first, &last, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
