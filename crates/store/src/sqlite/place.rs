//! Whether the store is where it was: files that were moved or removed under a process go on taking what it writes, and
//! nobody finds it again.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{FileError, Result, StoreError, folder::Left};

/// Device and inode of a file.
type Identity = (u64, u64);

/// The files that a connection has open, at their paths.
pub(super) struct Place([(PathBuf, Identity); 2]);

impl Place {
    /// For a connection that has just opened both.
    pub(super) fn of(file: &Path) -> Result<Self> {
        let found = |path: PathBuf| match identity(&path) {
            Ok(identity) => Ok((path, identity)),
            Err(error) => Err(gone(&path, &error)),
        };
        Ok(Self([found(file.to_owned())?, found(log_of(file))?]))
    }

    /// Two calls of stat(2), some microseconds.
    pub(super) fn check(&self) -> Result<()> {
        for (path, opened) in &self.0 {
            match identity(path) {
                Ok(found) if found == *opened => {}
                Ok(_) => return Err(gone(path, &io::Error::other("another file has its place"))),
                Err(error) => return Err(gone(path, &error)),
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn gone(path: &Path, error: &io::Error) -> StoreError {
    FileError::Gone { file: path.display().to_string(), detail: error.to_string() }.into()
}

/// SQLite's write-ahead log: what is not in the file yet.
pub(super) fn log_of(file: &Path) -> PathBuf {
    beside(file, "-wal")
}

pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What only a folder has from which a node has served.
const TRACES_OF_USE: [&str; 3] = ["reserve", "self-signed.pem", "protocol-log"];

/// What a folder that was used has lost of its store, if anything. `left` is how the last node left it.
pub(super) fn lost(folder: &Path, file: &Path, left: Left) -> Option<StoreError> {
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
    let log = log_of(file);
    let is_used = || {
        left != Left::Unused
            || size(&log).is_ok_and(|bytes| bytes > 0)
            || TRACES_OF_USE.iter().any(|name| folder.join(name).exists())
    };
    let what = match size(file) {
        Ok(0) if is_used() => format!("{} is empty, though a node has used its folder", file.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_used() => {
            format!("{} is missing, though a node has used its folder", file.display())
        }
        // The log may have what was accepted last. Gatepost never deletes it; other programs do, once it is in the file.
        Ok(bytes) if bytes > 0 && left == Left::Open && !log.exists() => {
            format!("{} is missing, though the node was not stopped in order", log.display())
        }
        Ok(_) | Err(_) => return None,
    };
    Some(FileError::Lost { what }.into())
}

/// Takes out of the way what would spoil a new store in the place of a lost one.
pub(super) fn set_aside(file: &Path) -> io::Result<()> {
    let is_empty = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
    if file.exists() && !is_empty(file) {
        return Ok(());
    }
    let log = log_of(file);
    for (path, keep) in [(file.to_owned(), false), (log.clone(), !is_empty(&log)), (beside(file, "-shm"), false)] {
        let done = if keep { fs::rename(&path, beside(&path, ".lost")) } else { fs::remove_file(&path) };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
