//! A node's data folder. It belongs to one serving process at a time. The kernel gives the lock back when that process dies; the
//! lock's file keeps how it ended.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::{Disk, FileError, Result, StoreError};

const FILE_NAME: &str = "lock";
/// The second line of the file.
const OPEN: &str = "store open";
const CLOSED: &str = "store closed";
const NONE: &str = "no store";

/// How the last process that served from a folder left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// None ever did.
    Unused,
    /// It ended before it could close its store.
    Open,
    Closed,
    /// It was of a version that did not say.
    Unknown,
}

/// The right to serve from a folder, until it is dropped.
pub struct FolderLock {
    file: File,
    holder: String,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path, node: &str) -> Result<(Self, Left)> {
        let path = folder.join(FILE_NAME);
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(|error| failed("open", &path, &error))?;
        let before = read(&mut file);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = before.lines().next().unwrap_or("unknown").to_owned();
                return Err(FileError::Held { folder: folder.display().to_string(), holder }.into());
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
        }
        let holder = format!("node {node}, process {}", std::process::id());
        Ok((Self { file, holder }, Left::parse(&before)))
    }

    /// For a node whose store is elsewhere. Makes the folder if need be, and says no more of a store in it than is known.
    pub fn take_beside(folder: &Path, node: &str) -> Result<Self> {
        create_folder(folder)?;
        let (mut lock, left) = Self::take(folder, node)?;
        match left {
            Left::Unused => lock.mark(NONE),
            Left::Open => lock.mark(OPEN),
            Left::Closed => lock.mark(CLOSED),
            Left::Unknown => {}
        }
        Ok(lock)
    }

    /// From here on, the folder must have a store with its log.
    pub(crate) fn mark_open(&mut self) {
        self.mark(OPEN);
    }

    /// All of the store is in its file; the log is not needed.
    pub(crate) fn mark_closed(&mut self) {
        self.mark(CLOSED);
    }

    /// Only to tell losses and holders; a disk that takes nothing must not keep a node from its work. What is there is
    /// overwritten, which needs no room.
    fn mark(&mut self, state: &str) {
        let text = format!("{}\n{state}\n", self.holder);
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_all()
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "failed to write the lock's file");
        }
    }
}

impl Left {
    /// For those who do not take the lock.
    pub(crate) fn read(folder: &Path) -> Self {
        File::open(folder.join(FILE_NAME)).map_or(Self::Unused, |mut file| Self::parse(&read(&mut file)))
    }

    fn parse(text: &str) -> Self {
        match text.lines().nth(1) {
            _ if text.is_empty() => Self::Unused,
            Some(NONE) => Self::Unused,
            Some(OPEN) => Self::Open,
            Some(CLOSED) => Self::Closed,
            Some(_) | None => Self::Unknown,
        }
    }
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(500).read_to_string(&mut text);
    text
}

pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    let create = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    create.map_err(|error| failed("create", folder, &error))
}

/// Mail is nobody else's to read.
pub(crate) fn create_private_file(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed("create", path, &error)),
    }
}

/// Makes new and renamed files of a folder outlive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("sync", folder, &error))
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(Disk::DataFolder),
        _ => StoreError::Other(format!("failed to {what} {}: {error}", path.display())),
    }
}
