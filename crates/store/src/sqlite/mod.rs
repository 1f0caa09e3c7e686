//! The embedded store: one SQLite file, one thread that writes, a few connections that read.
//!
//! ```text
//!   accept, settle, claim, … ──> channel ──> writer thread: takes all that waits, one transaction, one fsync ──> answers
//!   list, counts, read_body  ──> reader connections (they see the last commit, and never wait for the writer)
//!   trace, events, pending   ──> the same on a few threads that give way to all others
//! ```
//!
//! Group commit needs no delay: what arrives while one transaction is synced to disk makes up the next.

mod backup;
mod command;
mod fleet;
mod fold;
mod history;
mod incident;
mod inquiry;
mod lock;
mod notice;
mod place;
mod queue;
mod read;
mod room;
mod row;
mod schema;
mod search;
mod searchers;
mod settle;
mod withhold;
mod writer;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Connection;
use trace::Event;
use uuid::Uuid;

use crate::{
    Accepted, BodyKey, Claim, Claimed, Command, Commanded, DeliveryKey, DeliveryRecord, Incident, Inquiry, Lease,
    LedgerEntry, MessageKey, MessageRecord, NewMessage, NodeReport, Outcome, Pending, QueueCount, QueueQuery, QueueRow,
    Result, Room, Selection, Settlement, Store, StoreError, StoredPlan, Telling, Told, TraceQuery, Untold, WebhookCall,
};
pub use backup::Restored;
use lock::{FolderLock, Left};
use place::Place;
use read::Readers;
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
    gauge: Arc<Gauge>,
    file: PathBuf,
}

/// Keys are given out in memory: only the process that holds the folder's lock accepts messages.
struct Keys {
    message: AtomicI64,
    delivery: AtomicI64,
}

const FILE_NAME: &str = "gatepost.db";

impl SqliteStore {
    /// Opens a node's store: takes the data folder's lock, makes folder and file where they are missing, and brings an
    /// older schema forward. A folder that has lost its store is refused.
    pub fn open(folder: &Path, node: &str) -> Result<Self> {
        Self::open_or(folder, node, Err)
    }

    /// The same where an operator has said that what was lost is to be done without.
    pub fn open_despite_loss(folder: &Path, node: &str) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        Self::open_or(folder, node, |loss| {
            tracing::warn!("{loss}: going on without it");
            place::set_aside(&file).map_err(|error| lock::failed("set aside", &file, &error))
        })
    }

    fn open_or(folder: &Path, node: &str, on_loss: impl FnOnce(StoreError) -> Result<()>) -> Result<Self> {
        lock::create_folder(folder)?;
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
        let prepare = || -> rusqlite::Result<Keys> {
            schema::sweep_uploads(&connection)?;
            gauge.count_queue(&connection)?;
            wipe_if_wanted(&connection)?;
            Keys::read(&connection)
        };
        let keys = prepare().map_err(|error| row::store_error(&error, &file))?;
        let mut opened = Some(Opened { place: Place::of(&file)?, connection });
        lock.mark_open();
        let open = move || opened.take().ok_or_else(|| StoreError::Other("the store is closed".to_owned()));
        Self::start(open, file, gauge, keys, Some(lock))
    }

    /// Opens the store of a node for commands, whether the node runs or not. Nothing is written until a command does.
    pub fn attach(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        find(folder, &file)?;
        let reader = schema::connect_reader(&file).map_err(|error| row::store_error(&error, &file))?;
        schema::check(&reader, &file)?;
        let gauge = Arc::new(Gauge::new(folder, false));
        let (unit, path) = (gauge.unit(), file.clone());
        let open = move || {
            let connection = schema::connect(&path, unit)?;
            schema::check(&connection, &path)?;
            wipe_if_wanted(&connection).map_err(|error| row::store_error(&error, &path))?;
            Ok(Opened { place: Place::of(&path)?, connection })
        };
        // No command accepts mail.
        Self::start(open, file, gauge, Keys { message: AtomicI64::new(0), delivery: AtomicI64::new(0) }, None)
    }

    fn start(
        open: impl FnMut() -> Result<Opened> + Send + 'static,
        file: PathBuf,
        gauge: Arc<Gauge>,
        keys: Keys,
        lock: Option<FolderLock>,
    ) -> Result<Self> {
        let (readers, searchers) = (Readers::new(file.clone()), Searchers::new(file.clone()));
        let writer = Writer::start(open, file.clone(), Arc::clone(&gauge), lock)?;
        Ok(Self(Arc::new(Inner { writer, readers, searchers, keys, gauge, file })))
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

    /// Records results in one transaction.
    async fn settle_together(&self, node: &str, settlements: Arc<[Settlement]>) -> Result<Vec<DeliveryKey>> {
        let (node, recorded, gauge) = (node.to_owned(), Arc::clone(&settlements), Arc::clone(&self.0.gauge));
        let settle =
            move |connection: &Connection| settle::settle(connection, &node, &recorded, gauge.room() == Room::Short);
        let lost = self.0.writer.run(settle).await?;
        let has_ended = |settlement: &&Settlement| {
            matches!(settlement.outcome, Outcome::Delivered { .. } | Outcome::Failed { .. })
                && !lost.contains(&settlement.delivery)
        };
        self.0.gauge.queue_changed(-(settlements.iter().filter(has_ended).count() as i64));
        Ok(lost)
    }
}

/// Tells why there is nothing to attach to, if so.
fn find(folder: &Path, file: &Path) -> Result<()> {
    let unreadable =
        |error: &io::Error| StoreError::Unreadable { file: file.display().to_string(), detail: error.to_string() };
    match fs::metadata(file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&error)),
    }
    if let Some(loss) = place::lost(folder, file, Left::read(folder)) {
        return Err(loss);
    }
    if !file.exists() {
        return Err(StoreError::Missing { file: file.display().to_string() });
    }
    // Not by opening it: closing it again would end this process's locks on it.
    rustix::fs::access(file, rustix::fs::Access::READ_OK).map_err(|error| unreadable(&error.into()))
}

fn wipe_if_wanted(connection: &Connection) -> rusqlite::Result<()> {
    if withhold::is_wanted(connection)? { withhold::wipe_what_is_freed(connection) } else { Ok(()) }
}

impl Keys {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let next = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(AtomicI64::new);
        Ok(Self {
            message: next("SELECT coalesce(max(id), 0) + 1 FROM message")?,
            delivery: next("SELECT coalesce(max(id), 0) + 1 FROM delivery")?,
        })
    }

    fn message(&self) -> MessageKey {
        MessageKey(self.message.fetch_add(1, Ordering::Relaxed))
    }

    fn deliveries(&self, count: usize) -> Vec<DeliveryKey> {
        let count = count as i64;
        let first = self.delivery.fetch_add(count, Ordering::Relaxed);
        (first..first + count).map(DeliveryKey).collect()
    }
}

impl Store for SqliteStore {
    fn room(&self) -> Room {
        self.0.gauge.room()
    }

    fn new_body(&self) -> BodyKey {
        BodyKey(self.0.keys.message().0)
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        let weight = bytes.len();
        let append = move |connection: &Connection| queue::append_body(connection, body, sequence, &bytes);
        self.0.writer.run_new_mail(weight, append).await
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        self.0.writer.run(move |connection| queue::discard_body(connection, body)).await
    }

    async fn accept(&self, message: NewMessage, lease: Option<Lease>, events: Vec<Event>) -> Result<Accepted> {
        let accepted = queue::keys_for(&message, || self.0.keys.message(), |count| self.0.keys.deliveries(count));
        let keys = accepted.clone();
        let (weight, deliveries) = (queue::weight(&message), message.deliveries.len());
        let accept = move |connection: &Connection| {
            queue::insert_message(connection, &message, &keys, lease.as_ref())?;
            queue::insert_events(connection, keys.message, &events)
        };
        self.0.writer.run_new_mail(weight, accept).await?;
        self.0.gauge.queue_changed(deliveries as i64);
        Ok(accepted)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        self.0.writer.run(move |connection| queue::claim(connection, &claim)).await
    }

    async fn claim_for_review(&self, lease: Lease, now: Timestamp, limit: u32) -> Result<Vec<Claimed>> {
        self.0.writer.run(move |connection| queue::claim_for_review(connection, &lease, now, limit)).await
    }

    async fn renew(&self, lease: Lease, deliveries: Vec<DeliveryKey>) -> Result<Vec<DeliveryKey>> {
        self.0.writer.run(move |connection| queue::renew(connection, &lease, &deliveries)).await
    }

    async fn settle(&self, node: &str, settlements: Vec<Settlement>) -> Result<Vec<DeliveryKey>> {
        let settlements: Arc<[Settlement]> = settlements.into();
        match self.settle_together(node, Arc::clone(&settlements)).await {
            // One by one where there is no room for all at once: the first make room for the others.
            Err(StoreError::Full) if settlements.len() > 1 => {
                let mut lost = Vec::new();
                for settlement in settlements.iter() {
                    lost.extend(self.settle_together(node, Arc::new([settlement.clone()])).await?);
                }
                Ok(lost)
            }
            result => result,
        }
    }

    async fn untold(&self, now: Timestamp, waited_since: Timestamp, limit: u32) -> Result<Vec<Untold>> {
        self.0.readers.run(move |connection| notice::untold(connection, now, waited_since, limit)).await
    }

    async fn tell(&self, node: &str, telling: Telling, at: Timestamp) -> Result<Told> {
        let node = node.to_owned();
        let new_deliveries = |count| self.0.keys.deliveries(count);
        let keys = queue::keys_for(&telling.notice, || self.0.keys.message(), new_deliveries);
        let told = self.0.writer.run(move |connection| notice::tell(connection, &node, &telling, &keys, at)).await?;
        self.0.gauge.queue_changed(i64::from(told == Told::Queued));
        Ok(told)
    }

    async fn recover(&self, node: &str, now: Timestamp) -> Result<u64> {
        let node = node.to_owned();
        self.0.writer.run(move |connection| queue::recover(connection, &node, now)).await
    }

    async fn expire_leases(&self, now: Timestamp) -> Result<u64> {
        self.0.writer.run(move |connection| queue::expire_leases(connection, now)).await
    }

    async fn follow_clock(&self, now: Timestamp, waits: Vec<Duration>, lease_end: Timestamp) -> Result<u64> {
        self.0.writer.run(move |connection| queue::follow_clock(connection, now, &waits, lease_end)).await
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        self.0.readers.run(move |connection| read::body(connection, message, sequence)).await
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let forgotten = self.0.writer.run(move |connection| history::forget(connection, before, limit)).await?;
        if forgotten > 0 || self.room() != Room::Enough {
            let bytes_max = self.0.gauge.unit() / 2;
            self.0.writer.run(move |connection| history::vacuum(connection, bytes_max)).await?;
            // The file becomes shorter only when the log is moved into it.
            self.0.readers.run(history::move_log).await?;
        }
        Ok(forgotten)
    }

    async fn report(&self, report: NodeReport) -> Result<()> {
        self.0.writer.run(move |connection| queue::report(connection, &report)).await
    }

    async fn reports(&self) -> Result<Vec<NodeReport>> {
        self.0.readers.run(read::reports).await
    }

    async fn plan(&self) -> Result<Option<StoredPlan>> {
        self.0.readers.run(fleet::plan).await
    }

    async fn replace_plan(&self, before: Option<u64>, plan: String, by: &str, at: Timestamp) -> Result<Option<u64>> {
        let by = by.to_owned();
        self.0.writer.run(move |connection| fleet::replace_plan(connection, before, &plan, &by, at)).await
    }

    async fn plans(&self) -> Result<Vec<StoredPlan>> {
        self.0.readers.run(fleet::plans).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        self.0.readers.run(fleet::ledger).await
    }

    async fn retry_requested(&self, connector: &str) -> Result<Option<Timestamp>> {
        let connector = connector.to_owned();
        self.0.readers.run(move |connection| read::retry_requested(connection, &connector)).await
    }

    async fn list(&self, query: QueueQuery) -> Result<Vec<DeliveryRecord>> {
        self.0.readers.run(move |connection| read::list(connection, &query)).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>> {
        self.0.readers.run(read::counts).await
    }

    async fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> Result<T> {
        self.0.searchers.run(move |connection| fold::fold(connection, &selection, start, step)).await
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<Uuid>> {
        self.0.readers.run(move |connection| fold::ids_between(connection, first, last, limit)).await
    }

    async fn message(&self, id: Uuid) -> Result<Option<MessageRecord>> {
        self.0.readers.run(move |connection| read::message(connection, id)).await
    }

    async fn trace(&self, query: TraceQuery) -> Result<Vec<DeliveryRecord>> {
        self.0.searchers.run(move |connection| search::trace(connection, &query)).await
    }

    async fn histories(&self, messages: Vec<MessageKey>) -> Result<Vec<Vec<Event>>> {
        self.0.searchers.run(move |connection| read::histories(connection, &messages)).await
    }

    async fn events(&self, message: Uuid) -> Result<Vec<Event>> {
        self.0.searchers.run(move |connection| read::events(connection, message)).await
    }

    async fn pending(&self, untried_before: Timestamp) -> Result<Vec<Pending>> {
        self.0.searchers.run(move |connection| incident::pending(connection, untried_before)).await
    }

    async fn deferred(&self, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
        let connector = connector.to_owned();
        self.0.searchers.run(move |connection| incident::deferred(connection, &connector, limit)).await
    }

    async fn take_watch(&self, node: &str, now: Timestamp, interval: Duration) -> Result<Option<u64>> {
        let node = node.to_owned();
        self.0.writer.run(move |connection| incident::take_watch(connection, &node, now, interval)).await
    }

    async fn note_incidents(&self, turn: u64, incidents: Vec<Incident>, calls: Vec<WebhookCall>) -> Result<bool> {
        self.0.writer.run(move |connection| incident::note(connection, turn, &incidents, &calls)).await
    }

    async fn incidents(&self, limit: u32) -> Result<Vec<Incident>> {
        self.0.readers.run(move |connection| incident::list(connection, limit)).await
    }

    async fn incident(&self, id: Uuid) -> Result<Option<Incident>> {
        self.0.readers.run(move |connection| incident::find(connection, id)).await
    }

    async fn claim_calls(&self, now: Timestamp, again: Timestamp, limit: u32) -> Result<Vec<WebhookCall>> {
        let claim = move |connection: &Connection| incident::claim_calls(connection, now, again, limit);
        // Most of the time there is none, and the writer is not asked for nothing.
        match self.0.readers.run(move |connection| incident::has_due_call(connection, now)).await? {
            true => self.0.writer.run(claim).await,
            false => Ok(Vec::new()),
        }
    }

    async fn ask(&self, inquiries: Vec<Inquiry>, now: Timestamp) -> Result<()> {
        self.0.writer.run(move |connection| inquiry::ask(connection, &inquiries, now)).await
    }

    async fn take_inquiries(&self, node: &str, since: Timestamp, limit: u32) -> Result<Vec<Inquiry>> {
        let (node, asked) = (node.to_owned(), node.to_owned());
        // Most of the time there is none, and the writer is not asked for nothing.
        match self.0.readers.run(move |connection| inquiry::has_new(connection, &asked, since)).await? {
            true => self.0.writer.run(move |connection| inquiry::take(connection, &node, since, limit)).await,
            false => Ok(Vec::new()),
        }
    }

    async fn answer(&self, id: Uuid, answer: String) -> Result<()> {
        self.0.writer.run(move |connection| inquiry::answer(connection, id, &answer)).await
    }

    async fn answers(&self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, String)>> {
        self.0.readers.run(move |connection| inquiry::answers(connection, &ids)).await
    }

    async fn settle_call(&self, id: Uuid, due: Option<Timestamp>) -> Result<()> {
        self.0.writer.run(move |connection| incident::settle_call(connection, id, due)).await
    }

    async fn command(&self, command: Command, selection: Selection, by: &str, now: Timestamp) -> Result<Commanded> {
        let by = by.to_owned();
        self.0.writer.run(move |connection| command::run(connection, command, &selection, &by, now)).await
    }
}
