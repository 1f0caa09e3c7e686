//! What waits in the queue: lists, counts and one pass over all of it.

use std::collections::HashMap;

use jiff::Timestamp;
use protocol::smtp::Failure;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde_json::Value;
use uuid::Uuid;

use super::{
    row::{self, Millis},
    search::Conditions,
};
use crate::{DeliveryKey, DeliveryRecord, MessageKey, Pending, QueueCount, QueueQuery, QueueRow, Selection, stored};

/// Failures that were read lately; most deliveries share one of a few.
const FAILURES_MAX: usize = 1000;

/// In the order of acceptance, so that the deliveries of a message follow each other. The history is not looked at: each
/// state has an index of its own.
const QUEUED: &str = "SELECT d.message, m.network_message_id, d.connector, d.state, d.received, d.due, d.failure, d.id
    FROM delivery AS d JOIN message AS m ON m.id = d.message
    WHERE d.id IN (SELECT id FROM delivery WHERE state = 0 UNION ALL SELECT id FROM delivery WHERE state = 1
                   UNION ALL SELECT id FROM delivery WHERE state = 2)";

pub(super) fn fold<T>(
    connection: &Connection,
    selection: &Selection,
    mut value: T,
    step: fn(&mut T, &QueueRow<'_>),
) -> rusqlite::Result<T> {
    let Conditions { sql, parameters } = conditions(selection);
    let mut select = connection.prepare_cached(&format!("{QUEUED}{sql} ORDER BY d.id"))?;
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
    let mut rows = select.query(parameters.as_slice())?;
    let mut failures: HashMap<String, Failure> = HashMap::new();
    while let Some(row) = rows.next()? {
        let failure = match row.get_ref(6)?.as_str_or_null()? {
            Some(text) => Some(known(&mut failures, text)?),
            None => None,
        };
        step(&mut value, &queue_row(row, failure)?);
    }
    Ok(value)
}

fn queue_row<'a>(row: &'a Row<'_>, failure: Option<&'a Failure>) -> rusqlite::Result<QueueRow<'a>> {
    Ok(QueueRow {
        delivery: DeliveryKey(row.get(7)?),
        message: MessageKey(row.get(0)?),
        network_message_id: Uuid::from_bytes(row.get(1)?),
        connector: row.get_ref(2)?.as_str()?,
        state: row.get(3)?,
        received: row.get::<_, Millis>(4)?.0,
        due: row.get::<_, Millis>(5)?.0,
        failure,
    })
}

fn known<'a>(failures: &'a mut HashMap<String, Failure>, text: &str) -> rusqlite::Result<&'a Failure> {
    if failures.len() >= FAILURES_MAX && !failures.contains_key(text) {
        failures.clear();
    }
    if !failures.contains_key(text) {
        failures.insert(text.to_owned(), stored::failure(text));
    }
    failures.get(text).ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn list(connection: &Connection, query: &QueueQuery) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let Conditions { mut sql, mut parameters } = conditions(&query.selection);
    if let Some((due, key)) = query.after {
        sql.push_str(" AND (d.due, d.id) > (?, ?)");
        parameters.push(Box::new(Millis(due)));
        parameters.push(Box::new(key.0));
    }
    parameters.push(Box::new(query.limit));
    row::records(connection, &format!("d.state IN (0, 1, 2){sql} ORDER BY d.due, d.id LIMIT ?"), &parameters)
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<QueueCount>> {
    let mut select = connection.prepare_cached(
        "SELECT connector, state, count(*), min(due) FROM delivery WHERE state IN (0, 1, 2)
         GROUP BY connector, state ORDER BY connector, state",
    )?;
    let counts = select.query_map([], |row| {
        Ok(QueueCount {
            connector: row.get(0)?,
            state: row.get(1)?,
            deliveries: row.get::<_, i64>(2)? as u64,
            due: row.get::<_, Option<Millis>>(3)?.map(|millis| millis.0),
        })
    })?;
    counts.collect()
}

/// Each state has an index of its own, so that finished mail is never looked at.
pub(super) fn pending(connection: &Connection, untried_before: Timestamp) -> rusqlite::Result<Vec<Pending>> {
    let mut select = connection.prepare_cached(
        "WITH waiting AS (
             SELECT connector, message, received, failure IS NOT NULL AS tried FROM delivery INDEXED BY delivery_due
             WHERE state = 0 AND (failure IS NOT NULL OR received < ?1)
             UNION ALL
             SELECT connector, message, received, failure IS NOT NULL FROM delivery INDEXED BY delivery_leased
             WHERE state = 1 AND (failure IS NOT NULL OR received < ?1)
             UNION ALL
             SELECT connector, message, received, 1 FROM delivery INDEXED BY delivery_suspended
             WHERE state = 2 AND failure IS NOT NULL
         )
         SELECT connector, count(DISTINCT message), count(DISTINCT iif(tried, message, NULL)), min(received),
             min(iif(tried, NULL, received))
         FROM waiting GROUP BY connector ORDER BY connector",
    )?;
    let pending = select.query_map([Millis(untried_before)], |row| {
        Ok(Pending {
            connector: row.get(0)?,
            messages: row.get::<_, i64>(1)? as u64,
            tried: row.get::<_, i64>(2)? as u64,
            oldest: row.get::<_, Millis>(3)?.0,
            oldest_untried: row.get::<_, Option<Millis>>(4)?.map(|at| at.0),
        })
    })?;
    pending.collect()
}

/// What was tried last is due last.
pub(super) fn deferred(connection: &Connection, connector: &str, limit: u32) -> rusqlite::Result<Vec<MessageKey>> {
    let mut select = connection.prepare_cached(
        "SELECT message, max(due) AS due FROM (
             SELECT message, due FROM (
                 SELECT message, due FROM delivery INDEXED BY delivery_due
                 WHERE state = 0 AND connector = ?1 AND failure IS NOT NULL ORDER BY due DESC LIMIT ?2
             )
             UNION ALL
             SELECT message, due FROM delivery INDEXED BY delivery_leased
             WHERE state = 1 AND connector = ?1 AND failure IS NOT NULL
             UNION ALL
             SELECT message, due FROM delivery INDEXED BY delivery_suspended
             WHERE state = 2 AND connector = ?1 AND failure IS NOT NULL
         ) GROUP BY message ORDER BY due DESC LIMIT ?2",
    )?;
    select.query_map(params![connector, limit], |row| row.get(0).map(MessageKey))?.collect()
}

pub(super) fn retry_requested(connection: &Connection, connector: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut select = connection.prepare_cached("SELECT at FROM retry_request WHERE connector = ?1")?;
    select.query_row([connector], |row| row.get::<_, Millis>(0)).optional().map(|at| at.map(|at| at.0))
}

/// ` AND …` for each given condition, with its parameters in order.
pub(super) fn conditions(selection: &Selection) -> Conditions {
    let mut all = Conditions::default();
    all.push_if("m.network_message_id = ?", selection.message.map(|id| id.as_bytes().to_vec()));
    all.push_if("d.connector = ?", selection.connector.clone());
    all.push_address("d.recipient", selection.recipient.as_deref());
    all.push_address("m.sender", selection.sender.as_deref());
    all.push_if("d.state = ?", selection.state.map(stored::state_number));
    let keys = selection.chosen.as_ref().map(|chosen| Value::from(chosen.keys()).to_string());
    all.push_if("d.id IN (SELECT value FROM json_each(?))", keys);
    all
}
