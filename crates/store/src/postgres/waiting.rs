//! What waits in the queue: lists, counts and one pass over all of it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use protocol::smtp::Failure;
use tokio_postgres::Row;

use super::{
    lane::Tx,
    row::{Columns, QUEUE, record, record_columns},
    search::Conditions,
};
use crate::{
    DeliveryKey, DeliveryRecord, MessageKey, Pending, QueueCount, QueueQuery, QueueRow, Result, Selection, State,
    StoreError, clock::before, stored,
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
    let (delivery, failure) = (
        DeliveryKey(row.try_get(7)?),
        match text {
            Some(text) => Some(known(failures, text)?),
            None => None,
        },
    );
    step(value, &QueueRow { delivery, message, network_message_id, connector, state, received, due, failure });
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

/// What is counted of the queue, in the order of acceptance.
struct Waits {
    untried_before: Timestamp,
    by_connector: BTreeMap<String, Pending>,
    /// The last message that was counted of each connector, at all and as one that was tried.
    last: HashMap<String, (MessageKey, Option<MessageKey>)>,
}

impl Waits {
    fn add(&mut self, row: &QueueRow<'_>) {
        let is_tried = row.failure.is_some();
        let waits = is_tried || (row.state != State::Suspended && row.received < self.untried_before);
        if !waits {
            return;
        }
        let new = || Pending {
            connector: row.connector.to_owned(),
            messages: 0,
            tried: 0,
            oldest: row.received,
            oldest_untried: None,
        };
        let pending = self.by_connector.entry(row.connector.to_owned()).or_insert_with(new);
        let last = self.last.entry(row.connector.to_owned()).or_insert((MessageKey(i64::MIN), None));
        pending.messages += u64::from(last.0 != row.message);
        last.0 = row.message;
        pending.oldest = pending.oldest.min(row.received);
        if is_tried {
            pending.tried += u64::from(last.1 != Some(row.message));
            last.1 = Some(row.message);
        } else {
            pending.oldest_untried = [pending.oldest_untried, Some(row.received)].into_iter().flatten().min();
        }
    }
}

/// In pages, since the server would end one statement about a long queue.
pub(super) async fn pending(tx: &Tx, untried_for: Duration) -> Result<Vec<Pending>> {
    let untried_before = before(tx.now().await?, untried_for);
    let waits = Waits { untried_before, by_connector: BTreeMap::new(), last: HashMap::new() };
    let waits = fold(tx, &Selection::default(), waits, Waits::add).await?;
    Ok(waits.by_connector.into_values().collect())
}

/// Messages that failed, those that are due last at the end of the heap: they were tried last.
struct Latest {
    connector: String,
    limit: usize,
    heap: BinaryHeap<Reverse<(Timestamp, MessageKey)>>,
    /// The message that is being read, and when the last of its deliveries is due.
    reading: Option<(Timestamp, MessageKey)>,
}

impl Latest {
    fn add(&mut self, row: &QueueRow<'_>) {
        if row.failure.is_none() || row.connector != self.connector {
            return;
        }
        match &mut self.reading {
            Some((due, message)) if *message == row.message => *due = row.due.max(*due),
            _ => {
                self.end_message();
                self.reading = Some((row.due, row.message));
            }
        }
    }

    fn end_message(&mut self) {
        self.heap.extend(self.reading.take().map(Reverse));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }
}

/// What was tried last is due last. In pages, as above.
pub(super) async fn deferred(tx: &Tx, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
    // Of all connectors: a page of one that has few deliveries might be all of the queue.
    let (connector, selection) = (connector.to_owned(), Selection::default());
    let latest = Latest { connector, limit: limit as usize, heap: BinaryHeap::new(), reading: None };
    let mut latest = fold(tx, &selection, latest, Latest::add).await?;
    latest.end_message();
    Ok(latest.heap.into_sorted_vec().into_iter().map(|Reverse((_, message))| message).collect())
}

/// How long ago it was. A time of the future is from before the clock was set back.
pub(super) async fn retry_requested(tx: &Tx, connector: &str) -> Result<Option<Duration>> {
    let row = tx.query_opt("SELECT at FROM retry_request WHERE connector = $1", &[&connector]).await?;
    let Some(row) = row else { return Ok(None) };
    let at = stored::time_from_millis(row.try_get(0)?);
    Ok(Some(Duration::try_from(tx.now().await?.duration_since(at)).unwrap_or_default()))
}
