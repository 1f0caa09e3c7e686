//! The data folder belongs to one serving process at a time. The kernel gives the lock back when that process dies.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::{Result, StoreError};

pub(super) struct FolderLock(#[expect(dead_code, reason = "open as long as the lock is held")] File);

impl FolderLock {
    pub(super) fn take(folder: &Path, node: &str) -> Result<Self> {
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(|error| failed("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
                return Err(StoreError::Held { folder: folder.display().to_string(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "node {node}, process {}", std::process::id())
        };
        // Only for the message that another process shows; a full disk must not keep a node from starting.
        let _ = write(&mut file);
        Ok(Self(file))
    }
}

pub(super) fn create_folder(folder: &Path) -> Result<()> {
    let create = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    create.map_err(|error| failed("create", folder, &error))
}

/// Mail is nobody else's to read.
pub(super) fn create_private_file(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("create", path, &error)),
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Other(format!("failed to {what} {}: {error}", path.display()))
}
