//! The embedded store: one SQLite file, one thread that writes, a few connections that read.
//!
//! ```text
//!   accept, settle, claim, … ──> channel ──> writer thread: takes all that waits, one transaction, one fsync ──> answers
//!   list, counts, read_body  ──> reader connections (they see the last commit, and never wait for the writer)
//!   trace, events, pending   ──> the same on a few threads that give way to all others
//! ```
//!
//! Group commit needs no delay: what arrives while one transaction is synced to disk makes up the next.

mod command;
mod fleet;
mod fold;
mod history;
mod incident;
mod inquiry;
mod lock;
mod queue;
mod read;
mod row;
mod schema;
mod search;
mod searchers;
mod settle;
mod withhold;
mod writer;

use std::{
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
    LedgerEntry, MessageKey, MessageRecord, NewMessage, NodeReport, Pending, QueueCount, QueueQuery, QueueRow, Result,
    Selection, Settlement, Store, StoreError, StoredPlan, TraceQuery, WebhookCall,
};
use lock::FolderLock;
use read::Readers;
use searchers::Searchers;
use writer::Writer;

/// The store of a single node, or of a command beside it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    writer: Writer,
    readers: Readers,
    searchers: Searchers,
    keys: Keys,
    /// Held by the process that serves from the folder.
    _lock: Option<FolderLock>,
}

/// Keys are given out in memory: only the process that holds the folder's lock accepts messages.
struct Keys {
    message: AtomicI64,
    delivery: AtomicI64,
}

const FILE_NAME: &str = "gatepost.db";

impl SqliteStore {
    /// Opens a node's store: takes the data folder's lock, makes folder and file where they are missing, and brings an
    /// older schema forward.
    pub fn open(folder: &Path, node: &str) -> Result<Self> {
        lock::create_folder(folder)?;
        let lock = FolderLock::take(folder, node)?;
        let file = folder.join(FILE_NAME);
        lock::create_private_file(&file)?;
        let mut connection = schema::connect(&file)?;
        schema::migrate(&mut connection, &file)?;
        schema::sweep_uploads(&connection).map_err(|error| row::store_error(&error, &file))?;
        Self::start(connection, file, Some(lock))
    }

    /// Opens the store of a node for commands, whether the node runs or not.
    pub fn attach(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE_NAME);
        if !file.exists() {
            return Err(StoreError::Missing { file: file.display().to_string() });
        }
        let connection = schema::connect(&file)?;
        schema::check(&connection, &file)?;
        Self::start(connection, file, None)
    }

    fn start(connection: Connection, file: PathBuf, lock: Option<FolderLock>) -> Result<Self> {
        let prepare = || -> rusqlite::Result<Keys> {
            if withhold::is_wanted(&connection)? {
                withhold::wipe_what_is_freed(&connection)?;
            }
            Keys::read(&connection)
        };
        let keys = prepare().map_err(|error| row::store_error(&error, &file))?;
        let (readers, searchers) = (Readers::new(file.clone()), Searchers::new(file.clone()));
        let writer = Writer::start(connection, file)?;
        Ok(Self(Arc::new(Inner { writer, readers, searchers, keys, _lock: lock })))
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
    fn new_body(&self) -> BodyKey {
        BodyKey(self.0.keys.message().0)
    }

    async fn append_body(&self, body: BodyKey, sequence: u32, bytes: Bytes) -> Result<()> {
        let weight = bytes.len();
        let append = move |connection: &Connection| queue::append_body(connection, body, sequence, &bytes);
        self.0.writer.run_weighing(weight, append).await
    }

    async fn discard_body(&self, body: BodyKey) -> Result<()> {
        self.0.writer.run(move |connection| queue::discard_body(connection, body)).await
    }

    async fn accept(&self, message: NewMessage, lease: Option<Lease>, events: Vec<Event>) -> Result<Accepted> {
        let accepted = queue::keys_for(&message, || self.0.keys.message(), |count| self.0.keys.deliveries(count));
        let keys = accepted.clone();
        let weight = queue::weight(&message);
        let accept = move |connection: &Connection| {
            queue::insert_message(connection, &message, &keys, lease.as_ref())?;
            queue::insert_events(connection, keys.message, &events)
        };
        self.0.writer.run_weighing(weight, accept).await?;
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
        let node = node.to_owned();
        let accepted: Vec<Vec<Accepted>> = settlements
            .iter()
            .map(|settlement| {
                let keys = |notice: &NewMessage| {
                    queue::keys_for(notice, || self.0.keys.message(), |count| self.0.keys.deliveries(count))
                };
                settlement.notices.iter().map(keys).collect()
            })
            .collect();
        self.0.writer.run(move |connection| settle::settle(connection, &node, &settlements, &accepted)).await
    }

    async fn recover(&self, node: &str, now: Timestamp) -> Result<u64> {
        let node = node.to_owned();
        self.0.writer.run(move |connection| queue::recover(connection, &node, now)).await
    }

    async fn expire_leases(&self, now: Timestamp) -> Result<u64> {
        self.0.writer.run(move |connection| queue::expire_leases(connection, now)).await
    }

    async fn read_body(&self, message: MessageKey, sequence: u32) -> Result<Option<Bytes>> {
        self.0.readers.run(move |connection| read::body(connection, message, sequence)).await
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let forgotten = self.0.writer.run(move |connection| history::forget(connection, before, limit)).await?;
        if forgotten > 0 {
            self.0.writer.run(history::vacuum).await?;
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
