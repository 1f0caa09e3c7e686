//! Pieces as files in a folder that all nodes share. A piece that was written is on the disk, and so is its name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Fault, Found};

/// A folder on another machine may hang, and each operation that hangs holds a thread.
const THREADS_MAX: usize = 32;

pub(super) struct Folder {
    path: PathBuf,
    threads: Arc<Semaphore>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), threads: Arc::new(Semaphore::new(THREADS_MAX)) }
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let gone = || Fault::Unavailable("its thread has ended".to_owned());
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| gone())?;
        let path = self.path.join(name);
        let work = move || {
            let _thread = thread;
            work(&path)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| gone())?.map_err(fault)
    }

    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        self.run(name, move |path| write(path, &bytes)).await.map_err(|fault| match fault {
            Fault::Missing => Fault::Refused("a folder is missing there".to_owned()),
            fault => fault,
        })
    }

    /// Whole or not at all.
    pub(super) async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        self.run(name, move |path| {
            let new = path.with_extension("new");
            write(&new, &bytes)?;
            fs::rename(new, path)?;
            sync_parent(path)
        })
        .await
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, Fault> {
        self.run(name, |path| fs::read(path).map(Bytes::from)).await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        match self.run(name, |path| fs::remove_file(path)).await {
            Ok(()) | Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Found>, Fault> {
        match self.run(folder, list).await {
            Err(Fault::Missing) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Makes a folder, and folders in it, unless they are there.
    pub(super) async fn make(
        &self,
        folder: &str,
        inner: impl Iterator<Item = String> + Send + 'static,
    ) -> Result<(), Fault> {
        let made = self.run(folder, move |path| make(path, inner)).await;
        made.map_err(|fault| match fault {
            Fault::Missing => Fault::Refused("there is no such folder".to_owned()),
            fault => fault,
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn make(path: &Path, inner: impl Iterator<Item = String>) -> io::Result<()> {
    let make = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    make(path)?;
    sync_parent(path)?;
    for name in inner {
        make(&path.join(name))?;
    }
    File::open(path)?.sync_all()
}

fn list(path: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // It may be deleted meanwhile.
        let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        let modified_ms = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64);
        found.push(Found { name: entry.file_name().to_string_lossy().into_owned(), modified_ms });
    }
    Ok(found)
}

fn fault(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
            Fault::Refused(error.to_string())
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full,
        _ => Fault::Unavailable(error.to_string()),
    }
}
