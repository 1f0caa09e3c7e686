//! What waits in the queue: lists, counts and one pass over all of it.

use std::{collections::HashMap, time::Duration};

use protocol::smtp::Failure;
use tokio_postgres::Row;

use super::{
    lane::Tx,
    row::{Columns, QUEUE, record, record_columns},
    search::Conditions,
};
use crate::{
    DeliveryRecord, MessageKey, Pending, QueueCount, QueueQuery, QueueRow, Result, Selection, StoreError,
    clock::before, stored,
};

/// Failures that were read lately; most deliveries share one of a few.
const FAILURES_MAX: usize = 1000;
/// Rows of one statement: a pass over a long queue holds no snapshot for long.
const PAGE: usize = 5000;

/// In the order of acceptance, so that the deliveries of a message follow each other.
pub(super) async fn fold<T>(
    tx: &Tx,
    selection: &Selection,
    mut value: T,
    step: fn(&mut T, &QueueRow<'_>),
) -> Result<T> {
    let mut conditions = Conditions::default();
    conditions.push_selection(selection);
    let count = conditions.count();
    // Both columns of one table, so that its index leads to where the last page ended.
    let sql = format!(
        "SELECT message, network_message_id, connector, state, received, due, failure, id FROM {QUEUE}
         WHERE state <= 2{} AND (queue_delivery.message, queue_delivery.id) > (${}, ${})
         ORDER BY queue_delivery.message, queue_delivery.id LIMIT {PAGE}",
        conditions.sql,
        count + 1,
        count + 2
    );
    let mut failures: HashMap<String, Failure> = HashMap::new();
    let mut last = (i64::MIN, i64::MIN);
    loop {
        let mut parameters = conditions.parameters();
        parameters.push(&last.0);
        parameters.push(&last.1);
        let rows = tx.query(&sql, &parameters).await?;
        for row in &rows {
            fold_row(row, &mut failures, &mut value, step)?;
        }
        match rows.last() {
            Some(row) if rows.len() == PAGE => last = (row.try_get(0)?, row.try_get(7)?),
            Some(_) | None => return Ok(value),
        }
    }
}

fn fold_row<T>(
    row: &Row,
    failures: &mut HashMap<String, Failure>,
    value: &mut T,
    step: fn(&mut T, &QueueRow<'_>),
) -> Result<()> {
    let mut columns = Columns::of(row);
    let (message, network_message_id) = (MessageKey(columns.take()?), columns.take()?);
    let (connector, state) = (columns.take()?, columns.state()?);
    let (received, due, text): (_, _, Option<&str>) = (columns.time()?, columns.time()?, columns.take()?);
    let failure = match text {
        Some(text) => Some(known(failures, text)?),
        None => None,
    };
    step(value, &QueueRow { message, network_message_id, connector, state, received, due, failure });
    Ok(())
}

fn known<'a>(failures: &'a mut HashMap<String, Failure>, text: &str) -> Result<&'a Failure> {
    if failures.len() >= FAILURES_MAX && !failures.contains_key(text) {
        failures.clear();
    }
    if !failures.contains_key(text) {
        failures.insert(text.to_owned(), stored::failure(text));
    }
    failures.get(text).ok_or_else(|| StoreError::Other("a failure was not kept".to_owned()))
}

pub(super) async fn list(tx: &Tx, query: &QueueQuery) -> Result<Vec<DeliveryRecord>> {
    let mut conditions = Conditions::default();
    conditions.push_selection(&query.selection);
    if let Some((due, key)) = query.after {
        conditions.push_after(due.as_millisecond(), key.0);
    }
    let columns = record_columns();
    let sql = format!(
        "SELECT {columns} FROM {QUEUE} WHERE state <= 2{} ORDER BY due, id LIMIT {}",
        conditions.sql, query.limit
    );
    tx.query_once(&sql, &conditions.parameters()).await?.iter().map(record).collect()
}

pub(super) async fn counts(tx: &Tx) -> Result<Vec<QueueCount>> {
    let sql = "SELECT connector, state, count(*), min(due) FROM queue_delivery WHERE state <= 2
               GROUP BY connector, state ORDER BY connector, state";
    let count = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok(QueueCount {
            connector: columns.take()?,
            state: columns.state()?,
            deliveries: columns.take::<i64>()? as u64,
            due: columns.time_if_any()?,
        })
    };
    tx.query(sql, &[]).await?.iter().map(count).collect()
}

pub(super) async fn pending(tx: &Tx, untried_for: Duration) -> Result<Vec<Pending>> {
    let untried_before = before(tx.now().await?, untried_for).as_millisecond();
    let sql = format!(
        "SELECT connector, count(DISTINCT message), count(DISTINCT message) FILTER (WHERE failure IS NOT NULL),
             min(received), min(received) FILTER (WHERE failure IS NULL)
         FROM {QUEUE} WHERE (state IN (0, 1) AND (failure IS NOT NULL OR received < $1))
             OR (state = 2 AND failure IS NOT NULL)
         GROUP BY connector ORDER BY connector"
    );
    let pending = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok(Pending {
            connector: columns.take()?,
            messages: columns.take::<i64>()? as u64,
            tried: columns.take::<i64>()? as u64,
            oldest: columns.time()?,
            oldest_untried: columns.time_if_any()?,
        })
    };
    tx.query(&sql, &[&untried_before]).await?.iter().map(pending).collect()
}

/// What was tried last is due last.
pub(super) async fn deferred(tx: &Tx, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
    let sql = "SELECT message FROM queue_delivery WHERE state <= 2 AND connector = $1 AND failure IS NOT NULL
               GROUP BY message ORDER BY max(due) DESC LIMIT $2";
    let rows = tx.query(sql, &[&connector, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(MessageKey(row.try_get(0)?))).collect()
}

/// How long ago it was. A time of the future is from before the clock was set back.
pub(super) async fn retry_requested(tx: &Tx, connector: &str) -> Result<Option<Duration>> {
    let row = tx.query_opt("SELECT at FROM retry_request WHERE connector = $1", &[&connector]).await?;
    let Some(row) = row else { return Ok(None) };
    let at = stored::time_from_millis(row.try_get(0)?);
    Ok(Some(Duration::try_from(tx.now().await?.duration_since(at)).unwrap_or_default()))
}
