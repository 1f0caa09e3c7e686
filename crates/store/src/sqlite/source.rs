//! The embedded store as the source of a migration: nobody else writes to it meanwhile.

use std::path::{Path, PathBuf};

use protocol::smtp::address::domain_key;
use rusqlite::{Connection, Row, params, types::ValueRef};
use uuid::Uuid;

use super::{
    FILE_NAME, claim,
    moved::{self, Note},
    room::Gauge,
    row::store_error,
    schema,
};
use crate::{
    Clock, EMBEDDED_KEYS_END, FolderLock, Result, StoreError,
    migration::{
        facts::{Column, Copied, Fact, Kind, Place, Value},
        fault::MigrationError,
        tables::{MailTable, OTHER_PAGE, OtherTable},
    },
};

/// Content of one batch, unless its first message alone has more.
const BATCH_BYTES: i64 = 64 * 1024 * 1024;
const DAY: i64 = 24 * 3600 * 1000;

/// Messages that are copied together: all from the first key to the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) messages: u32,
}

pub(crate) struct Source {
    connection: Connection,
    file: PathBuf,
    lock: FolderLock,
}

impl Source {
    /// Takes the folder's lock, and brings an older schema forward.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        super::find(folder, &file)?;
        let (mut lock, _) = FolderLock::take(folder, "store migrate")?;
        let mut connection = schema::connect(&file, Gauge::new(folder, false).unit())?;
        schema::migrate(&mut connection, &file)?;
        lock.mark_open();
        Ok(Self { connection, file, lock })
    }

    fn fault(&self, error: &rusqlite::Error) -> StoreError {
        store_error(error, &self.file)
    }

    fn folder(&self) -> String {
        self.file.parent().unwrap_or(&self.file).display().to_string()
    }

    /// Notes which copy is begun, or goes on with the one that was. From here on nobody else writes. The folder's lock tells
    /// that no node holds a lease: each ends as after a crash.
    pub(crate) fn begin(&mut self, server: &str) -> Result<Copied> {
        let begun = self.note_copy(server).map_err(|error| self.fault(&error))?;
        self.hold(&begun)?;
        self.check_keys()?;
        Ok(begun)
    }

    fn note_copy(&mut self, server: &str) -> rusqlite::Result<Copied> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let noted = moved::read(&transaction)?;
        if let Some(Note { store, copy: Some(copy), moved: Some(_), .. }) = noted {
            return Ok(Copied { store, copy, is_moved: true });
        }
        claim::end_all_leases(&transaction, Clock::system().now())?;
        let store = noted.as_ref().map_or_else(Uuid::now_v7, |noted| noted.store);
        let copy = noted.and_then(|noted| noted.copy).unwrap_or_else(Uuid::now_v7);
        moved::write(&transaction, &Note { store, copy: Some(copy), server: server.to_owned(), moved: None })?;
        transaction.commit()?;
        Ok(Copied { store, copy, is_moved: false })
    }

    /// Until this is dropped, or the folder is marked. A command may have written just before.
    fn hold(&self, begun: &Copied) -> Result<()> {
        let hold = || {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            moved::read(&self.connection)
        };
        match hold().map_err(|error| self.fault(&error))? {
            Some(note) if note.copy == Some(begun.copy) => Ok(()),
            Some(_) | None => Err(MigrationError::FolderChanged { folder: self.folder() }.into()),
        }
    }

    fn check_keys(&self) -> Result<()> {
        let sql = "SELECT max((SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(id), 0) FROM delivery))";
        let key: i64 = self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| self.fault(&error))?;
        if key < EMBEDDED_KEYS_END {
            Ok(())
        } else {
            Err(MigrationError::KeyTooLarge { folder: self.folder(), key }.into())
        }
    }

    /// The copy that is on a server; a folder that was written to since then has no copy there that counts.
    pub(crate) fn copy_to_undo(&self) -> Result<Copied> {
        let note = moved::read(&self.connection).map_err(|error| self.fault(&error))?;
        let note = note.ok_or_else(|| MigrationError::NothingToUndo { folder: self.folder() })?;
        Ok(Copied { store: note.store, copy: note.copy.unwrap_or_default(), is_moved: note.moved.is_some() })
    }

    /// For who would move it once more.
    pub(crate) fn moved_already(&self) -> StoreError {
        match moved::refuse(&self.connection, &self.file) {
            Err(error) => error,
            Ok(()) => MigrationError::FolderChanged { folder: self.folder() }.into(),
        }
    }

    /// Its mail is on that server from now on. Durable before it returns.
    pub(crate) fn mark_moved(&self, server: &str) -> Result<()> {
        let now = Clock::system().now().as_millisecond();
        let mark = || {
            let sql = "UPDATE migration SET server = ?1, moved = coalesce(moved, ?2)";
            self.connection.execute(sql, params![server, now])?;
            self.connection.execute_batch("COMMIT")
        };
        mark().map_err(|error| self.fault(&error))
    }

    /// The folder has its mail again.
    pub(crate) fn mark_undone(&self) -> Result<()> {
        let undone = self.connection.execute("UPDATE migration SET copy = NULL, moved = NULL", []);
        undone.map(drop).map_err(|error| self.fault(&error))
    }

    /// Leaves the folder as a node that stops leaves it.
    pub(crate) fn close(mut self) {
        if super::writer::empty_log(&self.connection) {
            self.lock.mark_closed();
        }
    }

    pub(crate) fn messages(&self) -> Result<u64> {
        let count = self.connection.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0));
        count.map(|count| count as u64).map_err(|error| self.fault(&error))
    }

    /// The first time of receipt on each day that has messages, in milliseconds.
    pub(crate) fn days(&self) -> Result<Vec<i64>> {
        let days = || {
            let mut select = self.connection.prepare("SELECT min(received) FROM delivery WHERE received >= ?1")?;
            let (mut days, mut from) = (Vec::new(), i64::MIN);
            while let Some(first) = select.query_row([from], |row| row.get::<_, Option<i64>>(0))? {
                days.push(first);
                from = (first.div_euclid(DAY) + 1) * DAY;
            }
            Ok(days)
        };
        days().map_err(|error: rusqlite::Error| self.fault(&error))
    }

    /// The messages that follow a key, up to a number of them and of bytes; `None`: there are no more.
    pub(crate) fn batch(&self, after: i64, messages_max: u32) -> Result<Option<Batch>> {
        let batch = || {
            let sql = "SELECT id, size FROM message WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut select = self.connection.prepare_cached(sql)?;
            let mut rows = select.query(params![after, messages_max])?;
            let (mut batch, mut bytes) = (None, 0_i64);
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                bytes = bytes.saturating_add(row.get(1)?);
                let Batch { first, messages, .. } = match batch {
                    Some(_) if bytes > BATCH_BYTES => break,
                    Some(batch) => batch,
                    None => Batch { first: id, last: id, messages: 0 },
                };
                batch = Some(Batch { first, last: id, messages: messages + 1 });
            }
            Ok(batch)
        };
        batch().map_err(|error: rusqlite::Error| self.fault(&error))
    }

    /// Some rows of messages after a place and up to a key, in order; none: there are no more.
    pub(crate) fn mail(&self, table: &MailTable, after: Place, last: i64) -> Result<Vec<Fact>> {
        let MailTable { source, condition, source_order: order, page, .. } = table;
        let columns = expressions(table.columns());
        let sql = format!(
            "SELECT m.id, {order}, {columns} FROM {source}
             WHERE m.id >= ?1 AND m.id <= ?3 AND (m.id > ?1 OR {order} > ?2) AND {condition}
             ORDER BY m.id, {order} LIMIT {page}"
        );
        self.facts(&sql, &[&after.0, &after.1, &last], 2, table.columns())
    }

    /// Some rows of another table; none: there are no more.
    pub(crate) fn others(&self, table: &OtherTable, offset: u32) -> Result<Vec<Fact>> {
        let OtherTable { name, source_order, .. } = table;
        let columns = expressions(table.columns.iter());
        let sql = format!("SELECT {columns} FROM {name} ORDER BY {source_order} LIMIT {OTHER_PAGE} OFFSET ?1");
        self.facts(&sql, &[&offset], 0, table.columns.iter())
    }

    /// The columns come after `keys` that say the place.
    fn facts<'a>(
        &self,
        sql: &str,
        parameters: &[&dyn rusqlite::ToSql],
        keys: usize,
        columns: impl Iterator<Item = &'a Column> + Clone,
    ) -> Result<Vec<Fact>> {
        let read = |row: &Row<'_>| {
            let place = if keys == 2 { (row.get(0)?, row.get(1)?) } else { (0, 0) };
            let values = columns.clone().enumerate().map(|(index, column)| value(row, keys + index, column.kind));
            Ok(Fact { place, values: values.collect::<rusqlite::Result<_>>()? })
        };
        let select = || -> rusqlite::Result<Vec<Fact>> {
            self.connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
        };
        select().map_err(|error| self.fault(&error))
    }
}

fn expressions<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| column.source).collect::<Vec<_>>().join(", ")
}

/// The server takes no NUL in text: it is replaced as in mail that comes in there.
fn value(row: &Row<'_>, index: usize, kind: Kind) -> rusqlite::Result<Value> {
    let value = row.get_ref(index)?;
    Ok(match (kind, value) {
        (_, ValueRef::Null) => Value::Null,
        (Kind::Small | Kind::Medium | Kind::Large, ValueRef::Integer(number)) => Value::Number(number),
        (Kind::Flag, ValueRef::Integer(number)) => Value::Flag(number != 0),
        (Kind::Text, ValueRef::Text(_)) => Value::Text(without_nul(value.as_str()?)),
        (Kind::Domain, ValueRef::Text(_)) => {
            let text = value.as_str()?;
            Value::Text(without_nul(&domain_key(text.rsplit_once('@').map_or(text, |(_, domain)| domain))))
        }
        (Kind::Id, ValueRef::Blob(bytes)) => {
            let id = Uuid::from_slice(bytes);
            Value::Id(id.map_err(|_| rusqlite::Error::InvalidColumnType(index, "id".to_owned(), value.data_type()))?)
        }
        (Kind::Bytes, ValueRef::Blob(bytes)) => Value::Bytes(bytes.to_vec()),
        _ => return Err(rusqlite::Error::InvalidColumnType(index, format!("{kind:?}"), value.data_type())),
    })
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_the_server_takes_them() {
        let connection = Connection::open_in_memory().unwrap();
        let read = |expression: &str, kind| {
            connection.query_row(&format!("SELECT {expression}"), [], |row| value(row, 0, kind))
        };
        let text = |text: &str| Value::Text(text.to_owned());
        for (expression, kind, expected) in [
            ("'a' || char(0) || 'b'", Kind::Text, text("a\u{fffd}b")),
            ("'x@Grüße.TEST'", Kind::Domain, text("xn--gre-6ka8l.test")),
            ("'x@y@Z.test'", Kind::Domain, text("z.test")),
            ("NULL", Kind::Text, Value::Null),
            ("-7", Kind::Small, Value::Number(-7)),
            ("2", Kind::Flag, Value::Flag(true)),
            ("x'00000000000000000000000000000007'", Kind::Id, Value::Id(Uuid::from_u128(7))),
            ("zeroblob(0)", Kind::Bytes, Value::Bytes(vec![])),
        ] {
            assert_eq!(read(expression, kind).unwrap(), expected, "{expression}");
        }
        for (expression, kind) in [("1", Kind::Text), ("'1'", Kind::Large), ("x'00'", Kind::Id), ("1.5", Kind::Large)] {
            assert!(read(expression, kind).is_err(), "{expression}");
        }
    }
}
