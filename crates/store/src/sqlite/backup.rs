//! A copy of the store while mail flows, and the way back.
//!
//! A restored queue is suspended: what was delivered since the backup is queued in it, and would be delivered twice.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use trace::ChangeKind;

use super::{
    FILE_NAME, SqliteStore, change_log, claim, command,
    place::{beside, log_of},
    row::{self, Millis},
    schema,
};
use crate::{
    Clock, Command, FileError, FolderLock, NewChange, Result, Selection, StoreError,
    folder::{self, failed},
    restoration::RESTORE,
    tally::Counts,
};

/// Of another name than the store: a node that is pointed at a backup by mistake must not deliver from it.
const BACKUP_NAME: &str = "gatepost-backup.db";

/// What a restore brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Deliveries that are suspended now.
    pub suspended: u64,
}

impl SqliteStore {
    /// Copies the store, as it is at one moment, into a folder, where it takes the place of an older backup once it is
    /// whole. Returns the file and its size.
    pub async fn backup(&self, folder: &Path) -> Result<(PathBuf, u64)> {
        let (store, folder) = (self.0.file.clone(), folder.to_owned());
        let backup = tokio::task::spawn_blocking(move || backup(&store, &folder)).await;
        backup.map_err(|error| StoreError::Other(error.to_string()))?
    }

    /// About how large a backup will be, and where it grows until it is whole.
    pub async fn backup_size(&self, folder: &Path) -> Result<(u64, PathBuf)> {
        let pages = |connection: &Connection| -> rusqlite::Result<u64> {
            let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map(u64::from);
            Ok((pragma("page_count")?.saturating_sub(pragma("freelist_count")?)) * pragma("page_size")?)
        };
        Ok((self.0.readers.run(pages).await?, growing(folder)))
    }

    /// Puts a backup into a data folder that has no store, with its queue suspended.
    pub fn restore(backup: &Path, folder: &Path, by: &str) -> Result<Restored> {
        folder::create_folder(folder)?;
        let (mut lock, _) = FolderLock::take(folder, "restore")?;
        let file = folder.join(FILE_NAME);
        refuse_to_overwrite(&file)?;
        let (from, new) = (backup.join(BACKUP_NAME), beside(&file, ".restored"));
        let restored = fetch(&from, &new).and_then(|()| suspend(&new, by, Clock::system().now()));
        let restored = restored.inspect_err(|_| drop(fs::remove_file(&new)))?;
        fs::rename(&new, &file).map_err(|error| failed("rename", &new, &error))?;
        folder::sync_folder(folder)?;
        lock.mark_closed();
        Ok(restored)
    }
}

fn growing(folder: &Path) -> PathBuf {
    beside(&folder.join(BACKUP_NAME), ".new")
}

fn backup(store: &Path, folder: &Path) -> Result<(PathBuf, u64)> {
    folder::create_folder(folder)?;
    if folder.join(FILE_NAME).exists() {
        let text = format!("{} is a data folder; name another folder for the backup", folder.display());
        return Err(StoreError::Other(text));
    }
    let (new, file) = (growing(folder), folder.join(BACKUP_NAME));
    let copy = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed("replace", &new, &error)),
            Ok(()) | Err(_) => {}
        }
        folder::create_private_file(&new)?;
        copy(store, &new)?;
        check(&new)?;
        sync(&new)
    };
    copy().inspect_err(|_| drop(fs::remove_file(&new)))?;
    fs::rename(&new, &file).map_err(|error| failed("rename", &new, &error))?;
    folder::sync_folder(folder)?;
    let bytes = fs::metadata(&file).map_err(|error| failed("read", &file, &error))?.len();
    Ok((file, bytes))
}

/// Reads one state of the store, however much is written meanwhile, into a file that is empty.
fn copy(store: &Path, new: &Path) -> Result<()> {
    let connection = schema::connect_snapshot(store).map_err(|error| row::store_error(&error, store))?;
    schema::check(&connection, store)?;
    let Some(to) = new.to_str() else {
        return Err(StoreError::Other(format!("{}: the folder's name must be UTF-8", new.display())));
    };
    connection.execute("VACUUM INTO ?1", [to]).map(drop).map_err(|error| row::store_error(&error, new))
}

fn check(file: &Path) -> Result<()> {
    let fault = |error: rusqlite::Error| row::store_error(&error, file);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(fault)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fault)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(FileError::Damaged { file: file.display().to_string(), detail: verdict }.into()),
    }
}

fn sync(file: &Path) -> Result<()> {
    File::open(file).and_then(|file| file.sync_all()).map_err(|error| failed("sync", file, &error))
}

fn refuse_to_overwrite(file: &Path) -> Result<()> {
    for path in [file.to_owned(), log_of(file)] {
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
            let text = format!("{} is there already; move it away first", path.display());
            return Err(StoreError::Other(text));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("replace", &path, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let _ = fs::remove_file(beside(file, "-shm"));
    Ok(())
}

/// Brings the backup beside its place, and looks whether it can be used.
fn fetch(from: &Path, new: &Path) -> Result<()> {
    let _ = fs::remove_file(new);
    folder::create_private_file(new)?;
    let open = |path: &Path| File::open(path).map_err(|error| failed("read", path, &error));
    let mut to = fs::OpenOptions::new().write(true).open(new).map_err(|error| failed("write", new, &error))?;
    std::io::copy(&mut open(from)?, &mut to).map_err(|error| failed("write", new, &error))?;
    check(new).map_err(|error| match error {
        StoreError::File(FileError::Damaged { detail, .. }) => {
            let from = from.display();
            StoreError::Other(format!("{from} is damaged ({detail}); restore another backup"))
        }
        error => error,
    })
}

/// Brings it to this version, and suspends all that is queued.
fn suspend(new: &Path, by: &str, now: Timestamp) -> Result<Restored> {
    let fault = |error: rusqlite::Error| row::store_error(&error, new);
    let mut connection = Connection::open(new).map_err(fault)?;
    schema::migrate(&mut connection, new)?;
    let transaction = connection.transaction().map_err(fault)?;
    claim::end_all_leases(&transaction, now).map_err(fault)?;
    // Of commands, only removals are counted.
    let mut counts = Counts::default();
    command::run(&transaction, &mut counts, Command::Suspend, &Selection::default(), RESTORE, now).map_err(fault)?;
    // Senders may have been told since the backup was made. A copy on a server is not of this store.
    let forget = "UPDATE delivery SET owed = NULL, owed_since = NULL; DELETE FROM migration";
    transaction.execute_batch(forget).map_err(fault)?;
    let count = "SELECT count(*) FROM delivery WHERE state = 2";
    let suspended: i64 = transaction.query_row(count, [], |row| row.get(0)).map_err(fault)?;
    note(&transaction, suspended as u64, by, now).map_err(fault)?;
    transaction.commit().map_err(fault)?;
    connection.close().map_err(|(_, error)| fault(error))?;
    sync(new)?;
    Ok(Restored { suspended: suspended as u64 })
}

/// In the change log, with when a node was heard last before the backup.
fn note(connection: &Connection, held: u64, by: &str, now: Timestamp) -> rusqlite::Result<()> {
    let last: Option<Millis> = connection.query_row("SELECT max(seen) FROM member", [], |row| row.get(0))?;
    let kind = ChangeKind::StoreRestored { held, state_of: last.map(|at| at.0) };
    change_log::put(connection, &NewChange::of_fleet(by, kind), now)
}
