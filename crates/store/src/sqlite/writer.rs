//! The thread that writes: group commit, and what to do when the disk is full.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::JoinHandle,
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::row::{is_fatal_to_transaction, store_error};
use crate::{Result, StoreError};

/// Commands in one transaction at most.
const BATCH_COMMANDS_MAX: usize = 512;
/// Content in one transaction at most, in bytes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Before it commits, the writer gives way to threads that may have more for it, so often at most and only while more
/// comes. With a core to spare this costs nothing; without one, each commit serves more callers.
const YIELDS_MAX: u32 = 2;
/// Commands that wait for the writer; beyond, callers wait.
const WAITING_MAX: usize = 4096;

/// One thing to do within a transaction.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// Called once, after the transaction is durable or has failed.
    fn answer(self: Box<Self>, outcome: Result<()>);
    /// Content in bytes.
    fn weight(&self) -> usize;
}

struct Task<F, T> {
    work: F,
    weight: usize,
    result: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: Fn(&Connection) -> rusqlite::Result<T> + Send> Job for Task<F, T> {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.result = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let missing = || StoreError::Other("the store gave no result".to_owned());
        let Task { result, answer, .. } = *self;
        // Whoever asked may have given up.
        let _ = answer.send(outcome.and_then(|()| result.ok_or_else(missing)));
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

pub(super) struct Writer {
    sender: std::sync::Mutex<Option<SyncSender<Box<dyn Job>>>>,
    /// Keeps the channel from blocking an async caller.
    waiting: Semaphore,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, file: PathBuf) -> Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store writer".to_owned())
            .spawn(move || write(connection, file, receiver))
            .map_err(|error| StoreError::Other(format!("failed to start the writer thread: {error}")))?;
        Ok(Self {
            sender: std::sync::Mutex::new(Some(sender)),
            waiting: Semaphore::new(WAITING_MAX),
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// Runs `work` in the next transaction; returns once that is durable. It may run twice, the first time undone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_weighing(0, work).await
    }

    /// The same for work that carries so many bytes of content.
    pub(super) async fn run_weighing<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = || StoreError::Other("the store is closed".to_owned());
        let _permit: SemaphorePermit = self.waiting.acquire().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let task = Box::new(Task { work, weight, result: None, answer });
        {
            let sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sender.as_ref().ok_or_else(closed)?.send(task).map_err(|_| closed())?;
        }
        answered.await.map_err(|_| closed())?
    }

    pub(super) async fn close(&self) {
        self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn write(connection: Connection, file: PathBuf, receiver: Receiver<Box<dyn Job>>) {
    while let Ok(first) = receiver.recv() {
        let batch = fill_batch(first, &receiver);
        let started = Instant::now();
        let count = batch.len();
        commit(&connection, &file, batch);
        tracing::trace!(commands = count, duration_us = started.elapsed().as_micros() as u64, "committed");
    }
    if let Err(error) = connection.pragma_update(None, "wal_checkpoint", "TRUNCATE") {
        tracing::debug!(%error, "the log stays beside the file until the next start");
    }
}

fn fill_batch(first: Box<dyn Job>, receiver: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let mut bytes = first.weight();
    let mut batch = vec![first];
    let (mut yields, mut grew) = (0, true);
    while batch.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
        match receiver.try_recv() {
            Ok(job) => {
                bytes += job.weight();
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

/// Runs all jobs in one transaction. Where one of them fails by a fault of its own, all is undone and each runs in a
/// transaction of its own, so that none suffers for another.
fn commit(connection: &Connection, file: &std::path::Path, mut batch: Vec<Box<dyn Job>>) {
    match try_commit(connection, &mut batch) {
        Ok(()) => batch.into_iter().for_each(|job| job.answer(Ok(()))),
        Err(error) if batch.len() == 1 || is_fatal_to_transaction(&error) => {
            let error = store_error(&error, file);
            tracing::error!(%error, "failed to write to the store");
            batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
        }
        Err(_) => batch.into_iter().for_each(|job| commit(connection, file, vec![job])),
    }
}

fn try_commit(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let run = |batch: &mut [Box<dyn Job>]| {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for job in batch {
            job.run(connection)?;
        }
        connection.execute_batch("COMMIT")
    };
    let result = run(batch);
    if result.is_err() && !connection.is_autocommit() {
        // A failed COMMIT leaves the transaction open.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}
