//! Reading beside the writer: each read sees the last commit.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use trace::Event;
use uuid::Uuid;

use super::{
    command::conditions,
    queue::body_id,
    row::{self, Json, MESSAGE_COLUMNS, Millis, record_columns, store_error},
    schema::connect_reader,
};
use crate::{DeliveryRecord, MessageKey, MessageRecord, NodeReport, QueueCount, QueueQuery, Result, StoreError};

/// Reader connections, opened when they are needed.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// Connections kept for the next read; each may use 4 MiB of cache.
const IDLE_MAX: usize = 4;

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default() }
    }

    /// Runs a read on a thread where it may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let file = self.file.clone();
        let work = move || {
            let connection = match idle {
                Some(connection) => connection,
                None => connect_reader(&file).map_err(|error| store_error(&error, &file))?,
            };
            let result = read(&connection).map_err(|error| store_error(&error, &file))?;
            Ok((connection, result))
        };
        let joined = tokio::task::spawn_blocking(work).await;
        let (connection, result) = joined.map_err(|error| StoreError::Other(error.to_string()))??;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(result)
    }
}

pub(super) fn body(connection: &Connection, message: MessageKey, sequence: u32) -> rusqlite::Result<Option<Bytes>> {
    let mut select = connection.prepare_cached("SELECT bytes FROM body WHERE id = ?1")?;
    let bytes = select.query_row([body_id(message.0, sequence)], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(bytes.map(Bytes::from))
}

pub(super) fn reports(connection: &Connection) -> rusqlite::Result<Vec<NodeReport>> {
    let mut select = connection.prepare_cached("SELECT json FROM node_report ORDER BY node")?;
    select.query_map([], |row| row.get::<_, Json<NodeReport>>(0).map(|json| json.0))?.collect()
}

pub(super) fn records(
    connection: &Connection,
    condition: &str,
    parameters: &[Box<dyn ToSql>],
) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let columns = record_columns();
    let sql = format!("SELECT {columns} FROM delivery AS d JOIN message AS m ON m.id = d.message WHERE {condition}");
    let mut select = connection.prepare_cached(&sql)?;
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
    select.query_map(parameters.as_slice(), row::record)?.collect()
}

pub(super) fn list(connection: &Connection, query: &QueueQuery) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let (mut condition, mut parameters) = conditions(&query.selection);
    if let Some((due, key)) = query.after {
        condition.push_str(" AND (d.due, d.id) > (?, ?)");
        parameters.push(Box::new(Millis(due)));
        parameters.push(Box::new(key.0));
    }
    parameters.push(Box::new(query.limit));
    let condition = format!("d.state IN (0, 1, 2){condition} ORDER BY d.due, d.id LIMIT ?");
    records(connection, &condition, &parameters)
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

pub(super) fn message(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<MessageRecord>> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM message AS m WHERE m.network_message_id = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let Some(message) = select.query_row([id.as_bytes().as_slice()], row::message).optional()? else {
        return Ok(None);
    };
    let deliveries = records(connection, "d.message = ? ORDER BY d.id", &[Box::new(message.key.0)])?;
    let body_present = body_exists(connection, message.key)?;
    Ok(Some(MessageRecord { message, deliveries, body_present }))
}

fn body_exists(connection: &Connection, message: MessageKey) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM body WHERE id = ?1")?.exists([body_id(message.0, 0)])
}

pub(super) fn retry_requested(connection: &Connection, connector: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut select = connection.prepare_cached("SELECT at FROM retry_request WHERE connector = ?1")?;
    select.query_row([connector], |row| row.get::<_, Millis>(0)).optional().map(|at| at.map(|at| at.0))
}

pub(super) fn histories(connection: &Connection, messages: &[MessageKey]) -> rusqlite::Result<Vec<Vec<Event>>> {
    let mut select = connection.prepare_cached("SELECT json FROM event WHERE message = ?1 ORDER BY id")?;
    let mut history = |message: &MessageKey| {
        let events = select.query_map([message.0], |row| row.get::<_, Json<Event>>(0))?;
        events.map(|event| event.map(|json| json.0)).collect()
    };
    messages.iter().map(&mut history).collect()
}

pub(super) fn events(connection: &Connection, message: Uuid) -> rusqlite::Result<Vec<Event>> {
    let mut select = connection.prepare_cached(
        "SELECT e.json FROM event AS e JOIN message AS m ON m.id = e.message
         WHERE m.network_message_id = ?1 ORDER BY e.id",
    )?;
    let events = select.query_map(params![message.as_bytes().as_slice()], |row| row.get::<_, Json<Event>>(0))?;
    events.map(|event| event.map(|json| json.0)).collect()
}
