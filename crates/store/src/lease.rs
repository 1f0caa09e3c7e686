//! Members and leases: who may work on a delivery, and until when.
//!
//! A node joins under its name and gets an epoch that no member has had before. Each lease has a number of its own,
//! whose upper bits are the epoch. A member holds a delivery if it knows the number of the delivery's current lease.
//!
//! Leases last for a term after the store has heard of their member (`renew`, or `join`). A member counts the term from
//! before it asked, since it does not know when the store heard it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    DeliveryKey, StoreError,
    clock::{after, before},
};

/// A member that has not reported for so long is taken for dead: another one may join under its name.
pub const MEMBER_VALID: Duration = Duration::from_secs(30);

/// How long leases of the embedded store last. After a crash, nobody waits for that: the next process that takes the folder's
/// lock finds them at once.
pub(crate) const EMBEDDED_LEASE_TERM: Duration = Duration::from_secs(300);

/// True if a member that reported then counts as alive. Where the clock was set back, a report of the future is as good
/// as one of the past.
pub(crate) fn is_heard(seen: Timestamp, now: Timestamp) -> bool {
    before(now, MEMBER_VALID) < seen && seen < after(now, MEMBER_VALID)
}

/// The number of a membership, unique in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub i64);

/// The number of a lease, unique in the store: the epoch of the member that took it, and the member's own count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseNumber(pub i64);

/// Leases that one member may take; the bits that are left are enough for 8 million epochs.
pub(crate) const LEASE_COUNT_BITS: u32 = 40;

impl LeaseNumber {
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> LEASE_COUNT_BITS)
    }
}

/// A node that has joined the store.
#[derive(Clone, Debug)]
pub struct Member {
    name: Arc<str>,
    epoch: Epoch,
    /// By the store's clock. An epoch is given out again where a store is lost; both together are not.
    started: Timestamp,
    leases: Arc<AtomicI64>,
}

impl Member {
    pub(crate) fn new(name: &str, epoch: Epoch, started: Timestamp) -> Self {
        Self { name: name.into(), epoch, started, leases: Arc::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn next_lease(&self) -> LeaseNumber {
        let count = self.leases.fetch_add(1, Ordering::Relaxed);
        LeaseNumber((self.epoch.0 << LEASE_COUNT_BITS) + count)
    }
}

/// A member as the store knows it.
pub(crate) struct Known {
    pub(crate) epoch: Epoch,
    pub(crate) host: String,
    pub(crate) process: u32,
    pub(crate) started: Timestamp,
    /// When it reported last.
    pub(crate) seen: Timestamp,
    pub(crate) has_left: bool,
}

impl Known {
    /// True if it can do nothing any more: it has left, or it is one of those whose process is known to have ended.
    pub(crate) fn is_dead(&self, dead_epochs: Epoch) -> bool {
        self.has_left || self.epoch <= dead_epochs
    }

    pub(crate) fn is(&self, member: &Member) -> bool {
        (self.epoch, self.started) == (member.epoch, member.started)
    }

    pub(crate) fn lives(&self, dead_epochs: Epoch, now: Timestamp) -> bool {
        !self.is_dead(dead_epochs) && is_heard(self.seen, now)
    }

    pub(crate) fn record(
        self,
        name: String,
        drained: Option<Drained>,
        dead_epochs: Epoch,
        now: Timestamp,
    ) -> MemberRecord {
        let lives = self.lives(dead_epochs, now);
        let Self { epoch, host, process, started, seen, has_left } = self;
        MemberRecord { name, epoch, host, process, started, seen, has_left, lives, drained }
    }

    pub(crate) fn in_use(self, name: &str) -> StoreError {
        let Self { host, process, started, .. } = self;
        StoreError::NameInUse { name: name.to_owned(), host, process, started }
    }
}

pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A node as a member of the fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRecord {
    pub name: String,
    pub epoch: Epoch,
    /// The machine that it runs on.
    pub host: String,
    pub process: u32,
    /// This and the next by the store's clock.
    pub started: Timestamp,
    pub seen: Timestamp,
    /// It stopped in order.
    pub has_left: bool,
    /// It has not left, and has reported within [`MEMBER_VALID`].
    pub lives: bool,
    pub drained: Option<Drained>,
}

/// Since when, by the store's clock, and by whom a node is drained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drained {
    pub at: Timestamp,
    pub by: String,
}

/// A delivery, and the lease under which it is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Holding {
    pub delivery: DeliveryKey,
    pub lease: LeaseNumber,
}

/// Who holds a delivery, and until when, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub node: String,
    pub until: Timestamp,
}
