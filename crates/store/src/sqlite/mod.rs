//! The embedded store: one SQLite file, one thread that writes, a few connections that read.
//!
//! ```text
//!   accept, settle, claim, … ──> channel ──> writer thread: takes all that waits, one transaction, one fsync ──> answers
//!   list, counts, read_body  ──> reader connections (they see the last commit, and never wait for the writer)
//!   trace, events, pending   ──> the same on a few threads that give way to all others
//! ```
//!
//! Group commit needs no delay: what arrives while one transaction is synced to disk makes up the next.

mod accept;
mod access;
mod backup;
mod bodies;
mod change_log;
mod claim;
mod command;
mod finish;
mod fleet;
mod history;
mod incidents;
mod inquiry;
mod keys;
mod member;
mod moved;
mod notice;
mod place;
mod queue;
mod readers;
mod room;
mod row;
mod schema;
mod search;
mod searchers;
mod settle;
pub(crate) mod source;
mod tally;
mod tokens;
mod waiting;
mod withhold;
mod writer;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::{
    Clock, Epoch, FileError, FolderLock, Result, StoreError, StoreTimes,
    folder::{self, Left},
    shares::Shares,
    tally::Counts,
};
pub use backup::Restored;
use keys::Keys;

use place::Place;
use readers::Readers;
use room::Gauge;
use searchers::Searchers;
use writer::{Opened, Writer};

/// The store of a single node, or of a command beside it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    writer: Writer,
    readers: Readers,
    searchers: Searchers,
    keys: Keys,
    clock: Clock,
    /// Members up to this epoch were in processes that have ended.
    dead_epochs: Epoch,
    gauge: Arc<Gauge>,
    times: Arc<StoreTimes>,
    file: PathBuf,
    /// Of a command, which does not have the folder's lock.
    is_beside: bool,
    /// By connector. Nodes on this store are in one process, and what they have ends with it. A full disk ends no share.
    shares: Mutex<HashMap<String, Shares>>,
}

const FILE_NAME: &str = "gatepost.db";

impl SqliteStore {
    /// Opens a node's store: takes the data folder's lock, makes folder and file where they are missing, and brings an
    /// older schema forward. A folder that has lost its store is refused.
    pub fn open(folder: &Path, node: &str) -> Result<Self> {
        Self::open_or(folder, node, Clock::system(), Err)
    }

    /// The same by another clock than the system's, for tests.
    pub fn open_by(folder: &Path, node: &str, clock: Clock) -> Result<Self> {
        Self::open_or(folder, node, clock, Err)
    }

    /// The same where an operator has said that what was lost is to be done without.
    pub fn open_despite_loss(folder: &Path, node: &str) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        Self::open_or(folder, node, Clock::system(), |loss| {
            tracing::warn!("{loss}: going on without it");
            place::set_aside(&file).map_err(|error| folder::failed("set aside", &file, &error))
        })
    }

    fn open_or(
        folder: &Path,
        node: &str,
        clock: Clock,
        on_loss: impl FnOnce(StoreError) -> Result<()>,
    ) -> Result<Self> {
        folder::create_folder(folder)?;
        let (mut lock, left) = FolderLock::take(folder, node)?;
        let file = folder.join(FILE_NAME);
        place::lost(folder, &file, left).map_or(Ok(()), on_loss)?;
        let gauge = Arc::new(Gauge::new(folder, true));
        gauge.prepare();
        // One of no bytes was begun by an older version, and never used.
        if fs::metadata(&file).map_or(true, |metadata| metadata.len() == 0) {
            schema::create(&file)?;
        }
        let mut connection = schema::connect(&file, gauge.unit())?;
        schema::migrate(&mut connection, &file)?;
        moved::begin_to_write(&connection, &file)?;
        let prepare = || -> rusqlite::Result<Epoch> {
            gauge.count_queue(&connection)?;
            wipe_if_wanted(&connection)?;
            member::newest(&connection)
        };
        let dead_epochs = prepare().map_err(|error| row::store_error(&error, &file))?;
        let mut opened = Some(Opened { place: Place::of(&file)?, connection });
        lock.mark_open();
        let closed = || StoreError::Unavailable { detail: "it is closed".to_owned() };
        let open = move || opened.take().ok_or_else(closed);
        Self::start(open, file, gauge, clock, dead_epochs, Some(lock))
    }

    /// Opens the store of a node for commands, whether the node runs or not. Nothing is written until a command does.
    pub fn attach(folder: &Path) -> Result<Self> {
        Self::attach_by(folder, Clock::system())
    }

    /// The same by another clock than the system's, for tests.
    pub fn attach_by(folder: &Path, clock: Clock) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        find(folder, &file)?;
        let reader = schema::connect_reader(&file).map_err(|error| row::store_error(&error, &file))?;
        schema::check(&reader, &file)?;
        moved::refuse(&reader, &file)?;
        let gauge = Arc::new(Gauge::new(folder, false));
        let (unit, path) = (gauge.unit(), file.clone());
        let open = move || {
            let connection = schema::connect(&path, unit)?;
            schema::check(&connection, &path)?;
            wipe_if_wanted(&connection).map_err(|error| row::store_error(&error, &path))?;
            Ok(Opened { place: Place::of(&path)?, connection })
        };
        // Members may be in the process that has the folder's lock.
        Self::start(open, file, gauge, clock, Epoch(0), None)
    }

    /// Refuses a folder whose mail was moved to a server. Opens it for that only.
    pub fn refuse_moved(folder: &Path) -> Result<()> {
        moved::refuse_folder(folder)
    }

    /// Deliveries that wait in a folder, and were not moved to a server.
    pub fn waiting_in(folder: &Path) -> Result<u64> {
        moved::waiting_in(folder)
    }

    fn start(
        open: impl FnMut() -> Result<Opened> + Send + 'static,
        file: PathBuf,
        gauge: Arc<Gauge>,
        clock: Clock,
        dead_epochs: Epoch,
        lock: Option<FolderLock>,
    ) -> Result<Self> {
        let is_beside = lock.is_none();
        let (readers, searchers) = (Readers::new(file.clone()), Searchers::new(file.clone()));
        let times = Arc::<StoreTimes>::default();
        let writer = Writer::start(open, file.clone(), Arc::clone(&gauge), Arc::clone(&times), lock)?;
        let keys = Keys::new();
        let shares = Mutex::default();
        let inner =
            Inner { writer, readers, searchers, keys, clock, dead_epochs, gauge, times, file, is_beside, shares };
        Ok(Self(Arc::new(inner)))
    }

    /// In the next transaction, with the time when it is made. May run twice, the first time undone.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_counted(move |connection, _, now| work(connection, now)).await
    }

    /// The same for work whose deliveries are counted.
    async fn write_counted<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection, &mut Counts, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (clock, beside) = (self.0.clock.clone(), self.0.is_beside.then(|| self.0.file.clone()));
        let work = move |connection: &Connection, counts: &mut Counts| {
            beside.as_ref().map_or(Ok(()), |file| moved::write_beside(connection, file))?;
            work(connection, counts, clock.now())
        };
        self.0.writer.run_counted(work).await
    }

    /// Beside the writer.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let clock = self.0.clock.clone();
        self.0.readers.run(move |connection| work(connection, clock.now())).await
    }

    /// Behind the mail.
    async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let clock = self.0.clock.clone();
        self.0.searchers.run(move |connection| work(connection, clock.now())).await
    }

    pub(crate) fn times(&self) -> &StoreTimes {
        &self.0.times
    }

    /// The size of its files; `None` if they cannot be read.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let file = fs::metadata(&self.0.file).ok()?.len();
        let mut log = self.0.file.clone().into_os_string();
        log.push("-wal");
        Some(file + fs::metadata(log).map_or(0, |metadata| metadata.len()))
    }

    /// Waits for what was handed over, moves the log into the file, and closes it.
    pub async fn close(self) {
        self.0.writer.close().await;
    }

    /// Bounds the file's size in pages, to see what a full disk does.
    #[doc(hidden)]
    pub async fn limit_pages(&self, pages: u32) -> Result<()> {
        let limit = move |connection: &Connection| connection.pragma_update(None, "max_page_count", pages);
        self.0.writer.run(limit).await
    }
}

/// Tells why there is nothing to attach to, if so.
fn find(folder: &Path, file: &Path) -> Result<()> {
    let unreadable =
        |error: &io::Error| FileError::Unreadable { file: file.display().to_string(), detail: error.to_string() };
    match fs::metadata(file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&error).into()),
    }
    if let Some(loss) = place::lost(folder, file, Left::read(folder)) {
        return Err(loss);
    }
    if !file.exists() {
        return Err(FileError::Missing { file: file.display().to_string() }.into());
    }
    // Not by opening it: closing it again would end this process's locks on it.
    rustix::fs::access(file, rustix::fs::Access::READ_OK).map_err(|error| unreadable(&error.into()).into())
}

fn wipe_if_wanted(connection: &Connection) -> rusqlite::Result<()> {
    if withhold::is_wanted(connection)? { withhold::wipe_what_is_freed(connection) } else { Ok(()) }
}
