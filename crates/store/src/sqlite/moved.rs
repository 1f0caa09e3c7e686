//! Whether the mail of this store was moved to a server, and which copy of it was begun there.

use std::{fs, path::Path};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    FILE_NAME,
    row::{Millis, store_error},
    schema,
};
use crate::{Result, migration::fault::MigrationError};

/// What the store knows of its migration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub(super) store: Uuid,
    /// The copy that has this very content, if nobody has written since.
    pub(super) copy: Option<Uuid>,
    pub(super) server: String,
    pub(super) moved: Option<Timestamp>,
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Note>> {
    let mut select = connection.prepare_cached("SELECT store, copy, server, moved FROM migration")?;
    let note = select.query_row([], |row| {
        Ok(Note {
            store: Uuid::from_bytes(row.get(0)?),
            copy: row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
            server: row.get(2)?,
            moved: row.get::<_, Option<Millis>>(3)?.map(|millis| millis.0),
        })
    });
    note.optional()
}

pub(super) fn write(connection: &Connection, note: &Note) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO migration (id, store, copy, server, moved) VALUES (1, ?1, ?2, ?3, ?4)",
    )?;
    let (store, copy) = (note.store.as_bytes().as_slice(), note.copy.as_ref().map(|copy| copy.as_bytes().as_slice()));
    insert.execute(params![store, copy, note.server, note.moved.map(Millis)])?;
    Ok(())
}

/// Refuses a store whose mail is elsewhere.
pub(super) fn refuse(connection: &Connection, file: &Path) -> Result<()> {
    match read(connection).map_err(|error| store_error(&error, file))? {
        Some(Note { server, moved: Some(at), .. }) => Err(refusal(file, server, at)),
        Some(_) | None => Ok(()),
    }
}

/// Of a folder that nobody has opened: if a node must not use it, this says so.
pub(super) fn refuse_folder(folder: &Path) -> Result<()> {
    let file = folder.join(FILE_NAME);
    match unopened(&file)? {
        Some(connection) => refuse(&connection, &file),
        None => Ok(()),
    }
}

/// Deliveries that wait in such a folder and nowhere else. Its store may be of an older version, as the copy that a migration
/// leaves.
pub(super) fn waiting_in(folder: &Path) -> Result<u64> {
    let file = folder.join(FILE_NAME);
    let Some(connection) = unopened(&file)? else { return Ok(0) };
    let has = |table: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        connection.query_row(sql, [table], |row| row.get::<_, bool>(0))
    };
    let count = || {
        let was_moved = has("migration")? && read(&connection)?.is_some_and(|note| note.moved.is_some());
        if was_moved || !has("delivery")? {
            return Ok(0);
        }
        connection.query_row("SELECT count(*) FROM delivery WHERE state IN (0, 1, 2)", [], |row| row.get::<_, i64>(0))
    };
    count().map(|count| count as u64).map_err(|error| store_error(&error, &file))
}

/// `None`: it has no store.
fn unopened(file: &Path) -> Result<Option<Connection>> {
    if fs::metadata(file).map_or(true, |metadata| metadata.len() == 0) {
        return Ok(None);
    }
    schema::connect_reader(file).map(Some).map_err(|error| store_error(&error, file))
}

pub(super) fn refusal(file: &Path, server: String, at: Timestamp) -> crate::StoreError {
    let folder = file.parent().unwrap_or(file).display().to_string();
    MigrationError::Moved { folder, server, at }.into()
}

/// The same for a node, which writes: a copy that was begun is out of date from then on.
pub(super) fn begin_to_write(connection: &Connection, file: &Path) -> Result<()> {
    refuse(connection, file)?;
    forget_copy(connection).map_err(|error| store_error(&error, file))
}

/// The same within a transaction of a command: mail may have begun to move since it has opened the store.
pub(super) fn write_beside(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    match read(connection)? {
        Some(Note { server, moved: Some(at), .. }) => {
            Err(rusqlite::Error::ToSqlConversionFailure(refusal(file, server, at).into()))
        }
        Some(_) | None => forget_copy(connection),
    }
}

fn forget_copy(connection: &Connection) -> rusqlite::Result<()> {
    match read(connection)?.is_some_and(|note| note.copy.is_some()) {
        true => connection.execute("UPDATE migration SET copy = NULL", []).map(drop),
        false => Ok(()),
    }
}
