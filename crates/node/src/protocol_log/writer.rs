//! The thread that writes rows from memory to disk, and what happens to the rows if it fails.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use trace::protocol_log::LogType;

use super::{
    GivesWay,
    folder::{Folder, Limits},
};

/// Rows are written after this time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Rows are written sooner when the buffer has this many bytes.
const FLUSH_BYTES: usize = 256 * 1024;
/// Maximum size of the buffer. Further rows are dropped, because the disk is too slow or fails.
const BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Interval of new attempts after a write failed.
const FAULT_PAUSE: Duration = Duration::from_secs(3);

/// Rows on their way to disk.
#[derive(Default)]
pub(super) struct Buffer {
    shared: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Default)]
struct Shared {
    rows: Vec<u8>,
    dropped: u64,
    limits: Option<Limits>,
    closed: bool,
}

impl Buffer {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `write` append one row.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut shared = self.lock();
        if shared.rows.len() >= BUFFER_BYTES_MAX {
            shared.dropped += 1;
            return;
        }
        let before = shared.rows.len();
        write(&mut shared.rows);
        if before < FLUSH_BYTES && shared.rows.len() >= FLUSH_BYTES {
            self.changed.notify_one();
        }
    }
}

/// One log and its thread.
pub(super) struct Log {
    pub(super) buffer: Arc<Buffer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Rows that were not written.
    lost: Arc<AtomicU64>,
}

impl Log {
    pub(super) fn start(log_type: LogType, path: PathBuf, limits: Limits, gives_way: GivesWay) -> Self {
        let (buffer, lost) = (Arc::new(Buffer::default()), Arc::<AtomicU64>::default());
        buffer.lock().limits = Some(limits);
        let thread = {
            let buffer = Arc::clone(&buffer);
            let lost = Arc::clone(&lost);
            let writer = Writer { folder: Folder::new(path, log_type), gives_way, lost, fault: None };
            std::thread::Builder::new().name("protocol log".to_owned()).spawn(move || writer.run(&buffer))
        };
        if let Err(error) = &thread {
            tracing::error!(%error, "failed to start the thread of the protocol log; writing no protocol log");
        }
        Self { buffer, thread: Mutex::new(thread.ok()), lost }
    }

    pub(super) fn lost_rows(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self, limits: Limits) {
        self.buffer.lock().limits = Some(limits);
    }

    pub(super) fn close(&self) {
        self.buffer.lock().closed = true;
        self.buffer.changed.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    folder: Folder,
    gives_way: GivesWay,
    lost: Arc<AtomicU64>,
    fault: Option<Fault>,
}

/// A write failure that has not ended.
struct Fault {
    rows_lost: u64,
    next_try: Instant,
}

impl Writer {
    fn run(mut self, buffer: &Buffer) {
        let mut rows = Vec::new();
        loop {
            let (limits, dropped, closed) = {
                let waiting = buffer.changed.wait_timeout_while(buffer.lock(), FLUSH_INTERVAL, |shared| {
                    !shared.closed && shared.rows.len() < FLUSH_BYTES
                });
                let (mut shared, _) = waiting.unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut rows, &mut shared.rows);
                (shared.limits, std::mem::take(&mut shared.dropped), shared.closed)
            };
            if let Some(limits) = limits {
                self.write(&rows, dropped, &limits);
            }
            rows.clear();
            rows.shrink_to(FLUSH_BYTES * 2);
            if closed {
                return;
            }
        }
    }

    fn write(&mut self, rows: &[u8], dropped: u64, limits: &Limits) {
        if dropped > 0 {
            self.lost.fetch_add(dropped, Ordering::Relaxed);
            tracing::warn!(rows = dropped, folder = %self.folder.path().display(), "the disk is too slow for the protocol log; dropped rows");
        }
        if rows.is_empty() {
            return;
        }
        if let Some(fault) = self.fault.as_mut().filter(|fault| Instant::now() < fault.next_try) {
            fault.rows_lost += lost(rows, &self.lost);
            return;
        }
        let appended = match (self.gives_way)() {
            true => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the disk is nearly full, and the rest is reserved for mail",
            )),
            false => self.folder.append(rows, Timestamp::now(), limits),
        };
        match (appended, &mut self.fault) {
            (Ok(()), None) => {}
            (Ok(()), Some(fault)) => {
                tracing::info!(rows_lost = fault.rows_lost, folder = %self.folder.path().display(), "writing the protocol log works again");
                self.fault = None;
            }
            (Err(_), Some(fault)) => {
                fault.rows_lost += lost(rows, &self.lost);
                fault.next_try = Instant::now() + FAULT_PAUSE;
            }
            (Err(error), None) => {
                tracing::error!(%error, folder = %self.folder.path().display(), "failed to write the protocol log; mail continues without it. Make room, or let Gatepost write to the folder");
                self.fault = Some(Fault { rows_lost: lost(rows, &self.lost), next_try: Instant::now() + FAULT_PAUSE });
            }
        }
    }
}

/// The number of these rows, which are lost.
fn lost(rows: &[u8], all: &AtomicU64) -> u64 {
    let count = rows.iter().filter(|byte| **byte == b'\n').count() as u64;
    all.fetch_add(count, Ordering::Relaxed);
    count
}
