//! Between rows and types, and SQLite's errors in the store's words.

use std::{net::IpAddr, path::Path};

use jiff::Timestamp;
use protocol::smtp::{BodyType, Envelope};
use rusqlite::{
    Connection, ErrorCode, Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};
use trace::{ChangeKind, Event};
use uuid::Uuid;

use crate::{
    Delivery, DeliveryKey, DeliveryRecord, Disk, FileError, LastAttempt, Lease, Message, MessageKey, State, StoreError,
    stored::{failure, notify_from_bits, ret_from_number, state_from_number},
};

/// Milliseconds since 1970.
pub(super) struct Millis(pub(super) Timestamp);

impl ToSql for Millis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_millisecond().into())
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        Timestamp::from_millisecond(millis).map(Self).map_err(|error| FromSqlError::Other(error.to_string().into()))
    }
}

/// A value as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        Ok(text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        serde_json::from_str(text).map(Self).map_err(|error| FromSqlError::Other(error.to_string().into()))
    }
}

/// An event, in JSON.
pub(super) struct Recorded(pub(super) Event);

impl FromSql for Recorded {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Event::read(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.to_string().into()))
    }
}

/// A kind of change, in JSON.
pub(super) struct RecordedChange(pub(super) ChangeKind);

impl FromSql for RecordedChange {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        ChangeKind::read(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.to_string().into()))
    }
}

/// Text that parses.
struct Parsed<T>(T);

impl<T: std::str::FromStr> FromSql for Parsed<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

struct TryText<T>(T);

impl<T: TryFrom<String>> FromSql for TryText<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::try_from(value.as_str()?.to_owned()).map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        state_from_number(number).ok_or(FromSqlError::OutOfRange(number))
    }
}

/// The columns that [`message`] reads, from `message AS m`.
pub(super) const MESSAGE_COLUMNS: &str = "m.id, m.network_message_id, m.received, m.sender, m.eight_bit, m.smtputf8, \
     m.ret, m.envid, m.message_id, m.subject, m.size, m.client";
const MESSAGE_COLUMN_COUNT: usize = 12;

pub(super) fn message(row: &Row) -> rusqlite::Result<Message> {
    Ok(Message {
        key: MessageKey(row.get(0)?),
        network_message_id: Uuid::from_bytes(row.get(1)?),
        received: row.get::<_, Millis>(2)?.0,
        envelope: envelope(row)?,
        message_id: row.get(8)?,
        subject: row.get(9)?,
        size_bytes: row.get::<_, i64>(10)? as u64,
        client: row.get::<_, Option<Parsed<IpAddr>>>(11)?.map(|parsed| parsed.0),
    })
}

fn envelope(row: &Row) -> rusqlite::Result<Envelope> {
    let ret: Option<u8> = row.get(6)?;
    Ok(Envelope {
        sender: row.get::<_, TryText<_>>(3)?.0,
        body_type: if row.get(4)? { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: row.get(5)?,
        ret: ret.map(ret_from_number),
        envid: row.get(7)?,
    })
}

/// The columns that [`delivery`] reads, from `delivery AS d`.
pub(super) const DELIVERY_COLUMNS: &str =
    "d.id, d.recipient, d.notify, d.orcpt, d.connector, d.attempts, d.delay_notified, d.failure";
const DELIVERY_COLUMN_COUNT: usize = 8;

/// Reads a delivery whose columns begin at `first`.
pub(super) fn delivery(row: &Row, first: usize) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        key: DeliveryKey(row.get(first)?),
        recipient: row.get::<_, TryText<_>>(first + 1)?.0,
        notify: row.get::<_, Option<u8>>(first + 2)?.map(notify_from_bits),
        orcpt: row.get(first + 3)?,
        connector: row.get(first + 4)?,
        attempts: row.get(first + 5)?,
        delay_notified: row.get(first + 6)?,
        failure: row.get_ref(first + 7)?.as_str_or_null()?.map(failure),
    })
}

/// The columns that [`record`] reads.
pub(super) fn record_columns() -> String {
    format!(
        "{MESSAGE_COLUMNS}, {DELIVERY_COLUMNS}, d.state, d.due, d.review, d.lease_node, d.lease_until, \
         d.suspended_by, d.reply, d.settled, d.node, d.tls_policy, d.tls, d.remote"
    )
}

pub(super) fn record(row: &Row) -> rusqlite::Result<DeliveryRecord> {
    let at = MESSAGE_COLUMN_COUNT + DELIVERY_COLUMN_COUNT;
    let state: State = row.get(at)?;
    let lease_node: Option<String> = row.get(at + 3)?;
    let lease_until: Option<Millis> = row.get(at + 4)?;
    let lease = match (state, lease_node, lease_until) {
        (State::Leased, Some(node), Some(until)) => Some(Lease { node, until: until.0 }),
        _ => None,
    };
    Ok(DeliveryRecord {
        message: message(row)?,
        delivery: delivery(row, MESSAGE_COLUMN_COUNT)?,
        state,
        due: row.get::<_, Millis>(at + 1)?.0,
        review: row.get::<_, Millis>(at + 2)?.0,
        lease,
        suspended_by: row.get(at + 5)?,
        // `gatepost restore` leaves nothing to answer.
        is_held: false,
        reply: row.get::<_, Option<Json<_>>>(at + 6)?.map(|json| json.0),
        settled: row.get::<_, Option<Millis>>(at + 7)?.map(|millis| millis.0),
        last_attempt: last_attempt(row, at + 8)?,
    })
}

/// The deliveries that meet a condition on `delivery AS d` and `message AS m`.
pub(super) fn records(
    connection: &Connection,
    condition: &str,
    parameters: &[Box<dyn ToSql>],
) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let columns = record_columns();
    let sql = format!("SELECT {columns} FROM delivery AS d JOIN message AS m ON m.id = d.message WHERE {condition}");
    let mut select = connection.prepare_cached(&sql)?;
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
    select.query_map(parameters.as_slice(), record)?.collect()
}

/// Leaves out rows that cannot be read, because a newer version wrote them.
pub(super) fn readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    let is_readable = |row: &rusqlite::Result<T>| match row {
        Err(error @ rusqlite::Error::FromSqlConversionFailure(..)) => {
            tracing::debug!(%error, "left out a row that cannot be read");
            false
        }
        Ok(_) | Err(_) => true,
    };
    rows.filter(is_readable).collect()
}

fn last_attempt(row: &Row, first: usize) -> rusqlite::Result<Option<LastAttempt>> {
    let Some(node) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    let to_ip = row.get::<_, Option<Parsed<IpAddr>>>(first + 3)?.map(|parsed| parsed.0);
    Ok(Some(LastAttempt::read(node, row.get(first + 1)?, row.get(first + 2)?, to_ip)))
}

/// True if the error concerns the file rather than one statement.
pub(super) fn is_fatal_to_transaction(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, OutOfMemory, ReadOnly, SystemIoFailure,
    };
    let code = error.sqlite_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            CannotOpen
                | DatabaseBusy
                | DatabaseCorrupt
                | DiskFull
                | NotADatabase
                | OutOfMemory
                | ReadOnly
                | SystemIoFailure
        )
    })
}

pub(super) fn store_error(error: &rusqlite::Error, file: &Path) -> StoreError {
    let file = file.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(Disk::DataFolder),
        Some(ErrorCode::SystemIoFailure) if disk_is_full(&file) => StoreError::Full(Disk::DataFolder),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            FileError::Damaged { file, detail: error.to_string() }.into()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unavailable { detail: format!("{file}: {error}") }
        }
        Some(_) | None => StoreError::Other(format!("{file}: {error}")),
    }
}

/// SQLite reports some writes to a full disk as plain I/O errors.
fn disk_is_full(file: &str) -> bool {
    let probe = Path::new(file).with_extension("probe");
    let written = std::fs::write(&probe, [0; 16 * 1024]);
    let _ = std::fs::remove_file(&probe);
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    written.is_err_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}
