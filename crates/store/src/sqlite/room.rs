//! Room on the disk. New mail is refused while there is still enough to settle all that is queued: a queue that has
//! filled its disk could not be emptied.
//!
//! ```text
//!   free on the disk + free in the file:   … logs stop ………… new mail is refused ………… the reserve is given up …
//!   unit = 1/32 of the disk, at most 32 MiB      └ + 2 units ┘      └ 2 units + 8 KiB for each delivery ┘
//! ```
//!
//! The reserve is a file that only takes room. Where others have filled the disk, it is given up, so that deliveries can
//! still be recorded and deleted; it is taken again when there is room.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::schema::PAGE_BYTES;
use crate::Room;

const RESERVE: &str = "reserve";
const UNIT_BYTES_MAX: u64 = 32 * 1024 * 1024;
const UNIT_BYTES_MIN: u64 = 256 * 1024;
/// What a delivery in the queue may yet write: an attempt with its event, and a notice that is queued itself.
const DELIVERY_BYTES: u64 = 8 * 1024;
/// Other processes change the queue, too: while it matters, it is counted this often.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Gauge {
    folder: PathBuf,
    /// The most that the log grows to before it is moved into the file, more or less.
    unit: u64,
    /// Only the node that serves takes the reserve; all give it up.
    serves: bool,
    queued: AtomicI64,
    /// The reserve's size, as it was last seen.
    reserve: AtomicU64,
    counted: Mutex<Instant>,
    room: AtomicU8,
}

impl Gauge {
    /// For a node if it `serves`, or for a command.
    pub(super) fn new(folder: &Path, serves: bool) -> Self {
        let total = disk(folder).map_or(u64::MAX, |disk| disk.total);
        Self {
            folder: folder.to_owned(),
            unit: (total / 32).clamp(UNIT_BYTES_MIN, UNIT_BYTES_MAX),
            serves,
            queued: AtomicI64::new(0),
            reserve: AtomicU64::new(fs::metadata(folder.join(RESERVE)).map_or(0, |metadata| metadata.len())),
            counted: Mutex::new(Instant::now()),
            room: AtomicU8::new(number(Room::Enough)),
        }
    }

    /// In bytes.
    pub(super) fn unit(&self) -> u32 {
        self.unit as u32
    }

    pub(super) fn room(&self) -> Room {
        [Room::Enough, Room::Tight, Room::Short][usize::from(self.room.load(Ordering::Relaxed)).min(2)]
    }

    /// Deliveries came into the queue, or left it.
    pub(super) fn queue_changed(&self, by: i64) {
        self.queued.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn count_queue(&self, connection: &Connection) -> rusqlite::Result<()> {
        // Each state has an index of its own.
        let mut count = connection.prepare_cached(
            "SELECT (SELECT count(*) FROM delivery WHERE state = 0) + (SELECT count(*) FROM delivery WHERE state = 1)
                 + (SELECT count(*) FROM delivery WHERE state = 2)",
        )?;
        self.queued.store(count.query_row([], |row| row.get(0))?, Ordering::Relaxed);
        Ok(())
    }

    /// What is free on the disk, if that is known; gives the reserve up where others have left too little. To be called
    /// before the store is opened: its index needs room.
    pub(super) fn prepare(&self) -> Option<u64> {
        let free = disk(&self.folder)?.free;
        if free >= self.unit {
            return Some(free);
        }
        if self.give_up_reserve() { disk(&self.folder).map(|disk| disk.free) } else { Some(free) }
    }

    /// Looks at the disk, a microsecond's work where it has much room.
    pub(super) fn measure(&self, connection: &Connection) -> Room {
        let before = self.room();
        let Some(free) = self.prepare() else { return before };
        let (now, spare, needed) = self.judge(before, free, connection);
        if before != now {
            self.room.store(number(now), Ordering::Relaxed);
            self.tell(before, now, spare, needed);
        }
        now
    }

    /// The room, what is spare of it, and what the queue needs of that.
    fn judge(&self, before: Room, free: u64, connection: &Connection) -> (Room, u64, u64) {
        let unit = self.unit;
        let owed = (2 * unit).saturating_sub(self.reserve.load(Ordering::Relaxed));
        let spare_on_disk = free.saturating_sub(owed);
        let queued = self.queued.load(Ordering::Relaxed).max(0) as u64;
        let needed = 2 * unit + queued * DELIVERY_BYTES;
        if self.serves && owed > 0 && spare_on_disk >= needed {
            self.take_reserve();
        }
        // Not to and fro with every message.
        let slack = |worse: bool| if worse { unit / 2 } else { 0 };
        let tight_slack = slack(before != Room::Enough);
        if spare_on_disk >= needed + 4 * unit + tight_slack {
            return (Room::Enough, spare_on_disk, needed);
        }
        let free_pages: u32 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap_or(0);
        let spare = spare_on_disk + u64::from(free_pages) * u64::from(PAGE_BYTES);
        self.look_again(connection);
        let room = if spare < needed + slack(before == Room::Short) {
            Room::Short
        } else if spare < needed + 2 * unit + tight_slack || spare_on_disk < 4 * unit + tight_slack {
            Room::Tight
        } else {
            Room::Enough
        };
        (room, spare, needed)
    }

    /// What other processes may have changed.
    fn look_again(&self, connection: &Connection) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.elapsed() >= COUNT_INTERVAL {
            *counted = Instant::now();
            self.reserve.store(self.reserve_bytes(), Ordering::Relaxed);
            if let Err(error) = self.count_queue(connection) {
                tracing::debug!(%error, "failed to count the queue");
            }
        }
    }

    fn tell(&self, before: Room, now: Room, free: u64, needed: u64) {
        let folder = self.folder.display();
        match (before, now) {
            (_, Room::Short) => tracing::error!(%folder, free, needed,
                "the disk is nearly full: new mail gets 452 until there is room; the queue is still delivered"),
            (Room::Short, _) => tracing::info!(%folder, free, "the disk has room again: new mail is accepted"),
            (_, Room::Tight) => tracing::warn!(%folder, free, needed,
                "the disk fills up: protocol logs are not written until there is more room"),
            (_, Room::Enough) => tracing::info!(%folder, free, "the disk has room again"),
        }
    }

    fn reserve_bytes(&self) -> u64 {
        fs::metadata(self.folder.join(RESERVE)).map_or(0, |metadata| metadata.len())
    }

    /// True if there was one.
    pub(super) fn give_up_reserve(&self) -> bool {
        let path = self.folder.join(RESERVE);
        let given = self.reserve_bytes() > 0
            && OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0)).is_ok();
        if given {
            self.reserve.store(0, Ordering::Relaxed);
            tracing::warn!(file = %path.display(), "the disk is full: the reserve was given up");
        }
        given
    }

    fn take_reserve(&self) {
        let path = self.folder.join(RESERVE);
        let bytes = 2 * self.unit;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match file.and_then(|file| allocate(&file, bytes)) {
            Ok(()) => self.reserve.store(bytes, Ordering::Relaxed),
            Err(error) => {
                let _ = fs::remove_file(&path);
                // A file system that cannot do it is not asked again.
                if error.kind() == io::ErrorKind::Unsupported {
                    self.reserve.store(bytes, Ordering::Relaxed);
                }
                tracing::debug!(%error, "there is no reserve on this disk");
            }
        }
    }
}

/// Room that is really taken. Where the file system cannot do that, there is no reserve.
#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

struct Disk {
    total: u64,
    free: u64,
}

/// `None` where the file system does not say.
fn disk(folder: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(folder).ok()?;
    (found.f_blocks > 0).then(|| Disk { total: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
}

fn number(room: Room) -> u8 {
    match room {
        Room::Enough => 0,
        Room::Tight => 1,
        Room::Short => 2,
    }
}
