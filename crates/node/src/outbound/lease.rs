//! The leases that this node holds: until when each is valid, and which ones the node has lost.
//!
//! All leases last for a term after the store has heard of this node. A node would send mail twice if it relied on a lease
//! that another node already holds. So it counts from the time *before* it asked the store, uses a clock that runs while the
//! machine sleeps, and leaves a margin.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use net::send::Progress;
use rustix::time::{ClockId, clock_gettime};
use store::{Backend, DeliveryKey, Holding, LeaseNumber, Queue as _};
use tokio::{sync::Notify, time::Instant};

/// How long a lease lasts without renewal, and when it is renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseTime {
    pub(crate) term: Duration,
    pub(crate) renewed_every: Duration,
}

impl LeaseTime {
    /// Several renewals may fail before a lease ends.
    pub(crate) fn on(store: &Backend) -> Self {
        let term = store.lease_term();
        Self { term, renewed_every: term / 6 }
    }
}

/// In this last part of a lease, no attempt starts and no final dot is sent.
const MARGIN: Duration = Duration::from_secs(5);

/// The end of a lease that is requested now, in milliseconds since the machine started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Term(u64);

impl Term {
    /// Call this before asking the store.
    pub(crate) fn from_now(term: Duration) -> Self {
        Self(now_ms() + term.as_millis() as u64)
    }

    pub(crate) fn is_over(self) -> bool {
        now_ms() >= self.0
    }

    /// True while an attempt may begin.
    pub(crate) fn is_valid(self) -> bool {
        now_ms() + (MARGIN.as_millis() as u64) < self.0
    }
}

/// Until when the leases last that this node holds, and those that it takes now.
#[derive(Debug)]
pub(crate) struct Heard(AtomicU64);

impl Heard {
    /// The store has heard of this node within this term.
    pub(crate) fn new(term: Term) -> Self {
        Self(AtomicU64::new(term.0))
    }

    pub(crate) fn again(&self, term: Term) {
        self.0.fetch_max(term.0, Ordering::Relaxed);
    }

    /// Other nodes may hold what this one holds.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn until(&self) -> Term {
        Term(self.0.load(Ordering::Relaxed))
    }
}

fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Why an attempt is stopped early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Another node may hold some of its leases.
    Lost,
    /// The node is stopping.
    ShutDown,
    /// The attempt has reached its maximum time.
    Deadline,
}

/// The leases of one job.
#[derive(Debug)]
pub(crate) struct Ticket {
    lease: LeaseNumber,
    term: AtomicU64,
    shut_down: AtomicBool,
    /// Deliveries whose results are being stored: the store says then which of these leases were current.
    settling: Mutex<Vec<DeliveryKey>>,
    /// Deliveries whose lease this node has lost.
    lost: Mutex<Vec<DeliveryKey>>,
    changed: Notify,
}

impl Ticket {
    pub(crate) fn new(lease: LeaseNumber, term: Term) -> Self {
        Self {
            lease,
            term: AtomicU64::new(term.0),
            shut_down: AtomicBool::new(false),
            settling: Mutex::default(),
            lost: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The number that its leases have in the store.
    pub(crate) fn lease(&self) -> LeaseNumber {
        self.lease
    }

    /// True while no other node can hold any of its leases.
    pub(crate) fn is_valid(&self) -> bool {
        Term(self.term.load(Ordering::Relaxed)).is_valid()
    }

    pub(crate) fn has_lost(&self, key: DeliveryKey) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Stops the attempt, unless it has sent the final dot.
    pub(super) fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// This delivery's result is on its way to the store.
    pub(crate) fn settle(&self, key: DeliveryKey) {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    fn is_settling(&self, key: DeliveryKey) -> bool {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn lose(&self, key: DeliveryKey) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.term.store(0, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    fn extend(&self, term: Term) {
        // A ticket that has lost a lease stays invalid.
        let extend = |before| (before != 0).then_some(term.0.max(before));
        let _ = self.term.fetch_update(Ordering::Relaxed, Ordering::Relaxed, extend);
    }

    /// Returns when the attempt must stop. Never returns once the final dot may have been sent, because stopping would
    /// then cause a duplicate.
    pub(super) async fn stopped(&self, progress: &Progress, deadline: Instant) -> Stop {
        loop {
            let changed = self.changed.notified();
            let stop = if !self.is_valid() {
                Some(Stop::Lost)
            } else if self.shut_down.load(Ordering::Relaxed) {
                Some(Stop::ShutDown)
            } else if Instant::now() >= deadline {
                Some(Stop::Deadline)
            } else {
                None
            };
            match stop {
                Some(_) if progress.is_past_content() => return std::future::pending().await,
                Some(stop) => return stop,
                None => {}
            }
            let term = Duration::from_millis(self.term.load(Ordering::Relaxed).saturating_sub(now_ms()));
            let ends = Instant::now() + term.saturating_sub(MARGIN) + Duration::from_millis(10);
            let _ = tokio::time::timeout_at(deadline.min(ends), changed).await;
        }
    }
}

/// All leases that must be renewed, with the ticket of their job.
#[derive(Default)]
pub(crate) struct Held(Mutex<HashMap<DeliveryKey, Arc<Ticket>>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<DeliveryKey, Arc<Ticket>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, keys: impl IntoIterator<Item = DeliveryKey>, ticket: &Arc<Ticket>) {
        self.lock().extend(keys.into_iter().map(|key| (key, Arc::clone(ticket))));
    }

    /// The tickets under which some deliveries are held.
    pub(crate) fn tickets(&self, keys: &[DeliveryKey]) -> Vec<(DeliveryKey, Arc<Ticket>)> {
        let held = self.lock();
        keys.iter().filter_map(|key| Some((*key, Arc::clone(held.get(key)?)))).collect()
    }

    /// Removes settled deliveries that were held under these tickets. A delivery that has been leased again stays.
    pub(crate) fn remove(&self, settled: &[(DeliveryKey, Arc<Ticket>)]) {
        let mut held = self.lock();
        for (key, ticket) in settled {
            if held.get(key).is_some_and(|now| Arc::ptr_eq(now, ticket)) {
                held.remove(key);
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Holding> {
        self.lock().iter().map(|(key, ticket)| Holding { delivery: *key, lease: ticket.lease }).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// This node holds nothing any more.
    pub(crate) fn lose_all(&self) {
        self.lock().drain().for_each(|(delivery, ticket)| ticket.lose(delivery));
    }

    /// The store has renewed `asked` until `term`, but for `lost`. Returns how many of these this node held still.
    /// What was leased again meanwhile has another number, and stays as it is. What is being settled may be settled already.
    pub(crate) fn renewed(&self, asked: &[Holding], lost: &[Holding], term: Term) -> usize {
        let mut held = self.lock();
        let is_held = |ticket: Option<&Arc<Ticket>>, lease| ticket.is_some_and(|ticket| ticket.lease == lease);
        let mut count = 0;
        for Holding { delivery, lease } in lost {
            let is_lost = |ticket: &&Arc<Ticket>| !ticket.is_settling(*delivery);
            if is_held(held.get(delivery).filter(is_lost), *lease)
                && let Some(ticket) = held.remove(delivery)
            {
                ticket.lose(*delivery);
                count += 1;
            }
        }
        for Holding { delivery, lease } in asked {
            if let Some(ticket) = held.get(delivery).filter(|ticket| is_held(Some(ticket), *lease)) {
                ticket.extend(term);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(300);

    /// With the leases 1 and 2.
    fn tickets() -> [Arc<Ticket>; 2] {
        [1, 2].map(|lease| Arc::new(Ticket::new(LeaseNumber(lease), Term::from_now(TERM))))
    }

    fn holding(delivery: i64, lease: i64) -> Holding {
        Holding { delivery: DeliveryKey(delivery), lease: LeaseNumber(lease) }
    }

    #[test]
    fn a_lost_lease_ends_its_job_and_no_other() {
        let held = Held::default();
        let tickets = tickets();
        held.add([DeliveryKey(1), DeliveryKey(2)], &tickets[0]);
        held.add([DeliveryKey(3)], &tickets[1]);
        held.renewed(&held.all(), &[holding(2, 1)], Term::from_now(TERM));
        assert!(!tickets[0].is_valid() && tickets[1].is_valid());
        assert!(tickets[0].has_lost(DeliveryKey(2)) && !tickets[0].has_lost(DeliveryKey(1)));
        let mut left: Vec<DeliveryKey> = held.all().iter().map(|holding| holding.delivery).collect();
        left.sort();
        assert_eq!(left, [DeliveryKey(1), DeliveryKey(3)]);
        // Renewing the rest does not bring the job back.
        held.renewed(&held.all(), &[], Term::from_now(TERM));
        assert!(!tickets[0].is_valid());
    }

    /// A delivery that returned to the queue may be leased again before this node learns that its result is stored.
    #[test]
    fn a_lease_that_was_taken_again_is_kept() {
        let held = Held::default();
        let tickets = tickets();
        held.add([DeliveryKey(1), DeliveryKey(2)], &tickets[0]);
        let settled = held.tickets(&[DeliveryKey(1), DeliveryKey(2), DeliveryKey(3)]);
        held.add([DeliveryKey(2)], &tickets[1]);
        held.remove(&settled);
        assert_eq!(held.all(), [holding(2, 2)]);
        // The store was asked to renew the old lease, which is lost.
        held.renewed(&[holding(2, 1)], &[holding(2, 1)], Term::from_now(TERM));
        assert_eq!(held.all(), [holding(2, 2)]);
        assert!(tickets[1].is_valid());
    }

    #[test]
    fn a_lease_that_is_being_settled_is_not_lost() {
        let held = Held::default();
        let tickets = tickets();
        held.add([DeliveryKey(1)], &tickets[0]);
        held.add([DeliveryKey(2)], &tickets[1]);
        tickets[0].settle(DeliveryKey(1));
        let lost = held.renewed(&held.all(), &[holding(1, 1), holding(2, 2), holding(3, 2)], Term::from_now(TERM));
        assert_eq!((lost, held.all()), (1, vec![holding(1, 1)]));
    }

    #[test]
    fn nothing_is_begun_in_the_last_part_of_a_lease() {
        let in_s = |seconds: u64| Ticket::new(LeaseNumber(1), Term(now_ms() + seconds * 1000)).is_valid();
        assert!(in_s(MARGIN.as_secs() + 5) && !in_s(MARGIN.as_secs() - 1) && !in_s(0));
    }

    #[tokio::test]
    async fn an_attempt_is_stopped_at_its_deadline() {
        let ticket = Ticket::new(LeaseNumber(1), Term::from_now(TERM));
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(ticket.stopped(&Progress::default(), deadline).await, Stop::Deadline);
    }
}
