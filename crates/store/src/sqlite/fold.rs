//! One pass over what waits, and ids by their beginning.

use std::collections::HashMap;

use protocol::smtp::Failure;
use rusqlite::{Connection, Row, ToSql, params, types::FromSqlError};
use uuid::Uuid;

use super::{command::conditions, row::Millis};
use crate::{MessageKey, QueueRow, Selection};

/// Failures that were read lately; most deliveries share one of a few.
const FAILURES_MAX: usize = 1000;

/// In the order of acceptance, so that the deliveries of a message follow each other. The history is not looked at: each
/// state has an index of its own.
const QUEUED: &str = "SELECT d.message, m.network_message_id, d.connector, d.state, d.received, d.due, d.failure
    FROM delivery AS d JOIN message AS m ON m.id = d.message
    WHERE d.id IN (SELECT id FROM delivery WHERE state = 0 UNION ALL SELECT id FROM delivery WHERE state = 1
                   UNION ALL SELECT id FROM delivery WHERE state = 2)";

pub(super) fn fold<T>(
    connection: &Connection,
    selection: &Selection,
    mut value: T,
    step: fn(&mut T, &QueueRow<'_>),
) -> rusqlite::Result<T> {
    let (condition, parameters) = conditions(selection);
    let mut select = connection.prepare_cached(&format!("{QUEUED}{condition} ORDER BY d.id"))?;
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
        let failure = serde_json::from_str(text).map_err(|error| FromSqlError::Other(error.to_string().into()))?;
        failures.insert(text.to_owned(), failure);
    }
    failures.get(text).ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn ids_between(connection: &Connection, first: Uuid, last: Uuid, limit: u32) -> rusqlite::Result<Vec<Uuid>> {
    let mut select = connection.prepare_cached(
        "SELECT network_message_id FROM message WHERE network_message_id BETWEEN ?1 AND ?2
         ORDER BY network_message_id LIMIT ?3",
    )?;
    let ids = select.query_map(params![first.as_bytes().as_slice(), last.as_bytes().as_slice(), limit], |row| {
        row.get(0).map(Uuid::from_bytes)
    })?;
    ids.collect()
}
