//! The writer thread: group commit, and the reaction to a full disk or a store that is gone.
//!
//! ```text
//!   batch ──> is the store where it was? ──> is there room? no: new mail is refused ──> one transaction
//!     still full: the reserve is given up, the log is moved into the file, and all but new mail is written again
//! ```

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::{
    history,
    place::Place,
    room::Gauge,
    row::{is_fatal_to_transaction, store_error},
    tally,
};
use crate::{Disk, FolderLock, Result, Room, StoreError, StoreTimes, TallyStep, fault_log::FaultLog, tally::Counts};

/// Maximum number of commands in one transaction.
const BATCH_COMMANDS_MAX: usize = 512;
/// Maximum content in one transaction, in bytes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Maximum number of times that the writer yields before a commit, so that other threads can hand over more commands.
/// It yields only while more arrive. With a spare core this costs nothing; without one, a commit serves more callers.
const YIELDS_MAX: u32 = 2;
/// Maximum number of commands that wait for the writer. If there are more, their callers wait.
const WAITING_MAX: usize = 4096;

/// One thing to do within a transaction.
trait Job: Send {
    /// What it counts is written before the transaction is committed.
    fn run(&mut self, connection: &Connection, counts: &mut Counts) -> rusqlite::Result<()>;
    /// Called once, after the transaction is durable or has failed.
    fn answer(self: Box<Self>, outcome: Result<()>);
    /// Content of new mail in bytes; `None`: it is not new mail.
    fn new_mail(&self) -> Option<usize>;
}

struct Task<F, T> {
    work: F,
    new_mail: Option<usize>,
    result: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: Fn(&Connection, &mut Counts) -> rusqlite::Result<T> + Send> Job for Task<F, T> {
    fn run(&mut self, connection: &Connection, counts: &mut Counts) -> rusqlite::Result<()> {
        self.result = Some((self.work)(connection, counts)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let missing = || StoreError::Other("the store gave no result".to_owned());
        let Task { result, answer, .. } = *self;
        // The caller may no longer wait.
        let _ = answer.send(outcome.and_then(|()| result.ok_or_else(missing)));
    }

    fn new_mail(&self) -> Option<usize> {
        self.new_mail
    }
}

pub(super) struct Writer {
    sender: std::sync::Mutex<Option<SyncSender<Box<dyn Job>>>>,
    /// Keeps the channel from blocking an async caller.
    waiting: Semaphore,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What the thread needs to write.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) place: Place,
}

impl Writer {
    /// `open` is called when there is something to write, until it has succeeded. The lock is held until the thread ends.
    pub(super) fn start(
        open: impl FnMut() -> Result<Opened> + Send + 'static,
        file: PathBuf,
        gauge: Arc<Gauge>,
        times: Arc<StoreTimes>,
        lock: Option<FolderLock>,
    ) -> Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store writer".to_owned())
            .spawn(move || WriterThread { file, gauge, times, faults: FaultLog::default() }.run(open, &receiver, lock))
            .map_err(|error| StoreError::Other(format!("failed to start the writer thread: {error}")))?;
        Ok(Self {
            sender: std::sync::Mutex::new(Some(sender)),
            waiting: Semaphore::new(WAITING_MAX),
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// Runs `work` in the next transaction, and returns once that is durable. `work` may run again after a rollback.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(None, move |connection: &Connection, _: &mut Counts| work(connection)).await
    }

    /// The same for work whose deliveries are counted.
    pub(super) async fn run_counted<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection, &mut Counts) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(None, work).await
    }

    /// The same for new mail with this many bytes of content. It is refused while the disk is short of room.
    pub(super) async fn run_new_mail<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl Fn(&Connection, &mut Counts) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(Some(bytes), work).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        new_mail: Option<usize>,
        work: impl Fn(&Connection, &mut Counts) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = || StoreError::Unavailable { detail: "it is closed".to_owned() };
        // The transaction may have been committed before the thread ended.
        let ended = || StoreError::Unknown { detail: "its writer has ended".to_owned() };
        let _permit: SemaphorePermit = self.waiting.acquire().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let task = Box::new(Task { work, new_mail, result: None, answer });
        {
            let sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sender.as_ref().ok_or_else(closed)?.send(task).map_err(|_| closed())?;
        }
        answered.await.map_err(|_| ended())?
    }

    pub(super) async fn close(&self) {
        self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

type Batch = Vec<Box<dyn Job>>;

struct WriterThread {
    file: PathBuf,
    gauge: Arc<Gauge>,
    times: Arc<StoreTimes>,
    faults: FaultLog,
}

impl WriterThread {
    fn run(
        mut self,
        mut open: impl FnMut() -> Result<Opened>,
        receiver: &Receiver<Box<dyn Job>>,
        lock: Option<FolderLock>,
    ) {
        let mut opened: Option<Opened> = None;
        while let Ok(first) = receiver.recv() {
            let batch = self.fill_batch(first, receiver);
            let opened = match &mut opened {
                Some(opened) => opened,
                None => match open() {
                    Ok(new) => opened.insert(new),
                    Err(error) => {
                        self.fail(batch, &error);
                        continue;
                    }
                },
            };
            let (started, count) = (Instant::now(), batch.len());
            self.write(opened, batch);
            let took = started.elapsed();
            self.times.commits.note(took);
            tracing::trace!(commands = count, duration_us = took.as_micros() as u64, "committed");
        }
        let Some(mut lock) = lock else {
            if let Some(opened) = opened {
                empty_log(&opened.connection);
            }
            return;
        };
        let opened = opened.map_or_else(open, Ok);
        if opened.is_ok_and(|opened| opened.place.check().is_ok() && empty_log(&opened.connection)) {
            lock.mark_closed();
        }
    }

    fn fill_batch(&self, first: Box<dyn Job>, receiver: &Receiver<Box<dyn Job>>) -> Batch {
        // On a small disk, the log has no room for a large batch.
        let bytes_max = BATCH_BYTES_MAX.min(self.gauge.unit() as usize / 2);
        let mut bytes = first.new_mail().unwrap_or(0);
        let mut batch = vec![first];
        let (mut yields, mut grew) = (0, true);
        while batch.len() < BATCH_COMMANDS_MAX && bytes < bytes_max {
            match receiver.try_recv() {
                Ok(job) => {
                    bytes += job.new_mail().unwrap_or(0);
                    batch.push(job);
                    grew = true;
                }
                Err(TryRecvError::Empty) if grew && yields < YIELDS_MAX => {
                    (yields, grew) = (yields + 1, false);
                    std::thread::yield_now();
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batch
    }

    fn write(&mut self, opened: &Opened, mut batch: Batch) {
        if let Err(error) = opened.place.check() {
            return self.fail(batch, &error);
        }
        if self.gauge.measure(&opened.connection) == Room::Short {
            batch = refuse_new_mail(batch);
        }
        self.commit(opened, batch, true);
    }

    /// Retries on a full disk would add a row each minute; the room is for results.
    fn tally_step(&self) -> TallyStep {
        if self.gauge.room() == Room::Short { TallyStep::Hour } else { TallyStep::Minute }
    }

    /// Runs all jobs in one transaction. If a job fails by its own fault, the transaction is rolled back, and each job
    /// runs in a transaction of its own, so that no job fails because of another.
    fn commit(&mut self, opened: &Opened, mut batch: Batch, may_make_room: bool) {
        if batch.is_empty() {
            return;
        }
        let Err(Failed { error, at_commit }) = try_commit(&opened.connection, self.tally_step(), &mut batch) else {
            // If the store was moved away in the meantime, it has the data, but nobody will find it there.
            return match opened.place.check() {
                Ok(()) => batch.into_iter().for_each(|job| job.answer(Ok(()))),
                Err(error) => self.fail(batch, &error),
            };
        };
        let stored = match store_error(&error, &self.file) {
            StoreError::Full(disk) => StoreError::Full(disk),
            // After a crash, the log may still have what a failed sync left in it.
            error if at_commit => StoreError::Unknown { detail: error.to_string() },
            error => error,
        };
        if matches!(stored, StoreError::Full(_)) && may_make_room {
            self.gauge.give_up_reserve();
            // The log then starts from its beginning again and needs no more room.
            if let Err(error) = history::move_log(&opened.connection) {
                tracing::debug!(%error, "failed to move the log into the file");
            }
            self.commit(opened, refuse_new_mail(batch), false);
        } else if batch.len() == 1 || is_fatal_to_transaction(&error) {
            self.fail(batch, &stored);
        } else {
            batch.into_iter().for_each(|job| self.commit(opened, vec![job], may_make_room));
        }
    }

    fn fail(&mut self, batch: Batch, error: &StoreError) {
        self.faults.tell(error, Instant::now());
        batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
    }
}

/// Refuses new mail because there is no room. Returns the other jobs.
fn refuse_new_mail(batch: Batch) -> Batch {
    let (refused, rest): (Batch, Batch) = batch.into_iter().partition(|job| job.new_mail().is_some());
    refused.into_iter().for_each(|job| job.answer(Err(StoreError::Full(Disk::DataFolder))));
    rest
}

/// Moves all of the log into the file. True if nothing is left in the log.
pub(super) fn empty_log(connection: &Connection) -> bool {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if let Err(error) = &busy {
        tracing::debug!(%error, "the log stays beside the file until the next start");
    }
    busy.is_ok_and(|busy| busy == 0)
}

/// Why a batch was not committed.
struct Failed {
    error: rusqlite::Error,
    /// All jobs succeeded, and COMMIT failed.
    at_commit: bool,
}

/// `step`: what a tally covers.
fn try_commit(connection: &Connection, step: TallyStep, batch: &mut [Box<dyn Job>]) -> Result<(), Failed> {
    let jobs = |batch: &mut [Box<dyn Job>]| {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut counts = Counts::default();
        batch.iter_mut().try_for_each(|job| job.run(connection, &mut counts))?;
        tally::write(connection, step, &counts)
    };
    let done = jobs(batch).map_err(|error| Failed { error, at_commit: false });
    let commit = || connection.execute_batch("COMMIT").map_err(|error| Failed { error, at_commit: true });
    let result = done.and_then(|()| commit());
    if result.is_err() && !connection.is_autocommit() {
        // A failed COMMIT leaves the transaction open.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}
