//! The mail of one connector on its way out: a queue in memory, its workers, its limits, and its back-off.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use delivery::backoff::BackOffPolicy;
use jiff::Timestamp;
use protocol::smtp::Failure;
use store::{BackOff, Claim, ConnectorReport, Lease, PolicyResults, Store};
use tokio::{sync::Notify, time::Instant};

use super::{LANE_BYTES_MAX, LANE_JOBS_MAX, job::Job, worker};
use crate::{
    config::Connector,
    node::{Node, preference},
};

/// The store is asked for what has become due this often, more or less: a wait that is drawn anew each time gives every
/// node of a fleet the same chance, whereas with a fixed one the same node would always come first.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// Deliveries claimed at a time.
const CLAIM_MAX: u32 = 400;
/// With no more jobs than this in the queue, more are claimed.
const JOBS_LOW: usize = 100;

pub(crate) struct Lane {
    shared: Mutex<Shared>,
    /// Wakes a worker: there is a job.
    job: Notify,
    /// Wakes the loop that claims, starts workers and ends back-offs.
    attention: Notify,
    /// The store may have more that is due.
    due_in_store: AtomicBool,
    connections: AtomicU32,
    closed: AtomicBool,
}

struct Shared {
    connector: Arc<Connector>,
    jobs: VecDeque<Job>,
    bytes: usize,
    idle_workers: u32,
    /// The earliest moment at which the next message may be sent, under a rate limit.
    next_slot: Instant,
    back_off: Option<BackOff>,
    /// In a row, and since when.
    failures: u32,
    failing_since: Option<Timestamp>,
    under_policy: Option<PolicyResults>,
    /// The TLS policy of those nodes that what is due is left to for a while.
    left_to: Option<String>,
}

impl Lane {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            shared: Mutex::new(Shared {
                connector: Arc::new(connector),
                jobs: VecDeque::new(),
                bytes: 0,
                idle_workers: 0,
                next_slot: Instant::now(),
                back_off: None,
                failures: 0,
                failing_since: None,
                under_policy: None,
                left_to: None,
            }),
            job: Notify::new(),
            attention: Notify::new(),
            due_in_store: AtomicBool::new(true),
            connections: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn configure(&self, connector: Connector) {
        self.shared().connector = Arc::new(connector);
        self.attention.notify_one();
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.shared().connector)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.attention.notify_one();
        self.job.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self) -> bool {
        let shared = self.shared();
        !self.is_closed()
            && shared.jobs.len() < LANE_JOBS_MAX
            && shared.bytes < LANE_BYTES_MAX
            && shared.back_off.is_none()
            && shared.left_to.is_none()
    }

    /// Keeps what an attempt under a TLS policy came to, for the fleet to compare.
    pub(super) fn note_policy(&self, policy: &str, works: bool) {
        preference::note(&mut self.shared().under_policy, policy, works, Timestamp::now());
    }

    /// From now on what is due is left to nodes under that policy, or to none.
    pub(super) fn leave_to(&self, policy: Option<String>) {
        let mut shared = self.shared();
        if shared.left_to == policy {
            return;
        }
        let connector = &shared.connector.name;
        match &policy {
            Some(policy) => tracing::warn!(connector, policy, "mail is left to nodes whose TLS policy works"),
            None => tracing::info!(connector, "mail is no longer left to other nodes"),
        }
        shared.left_to = policy;
    }

    pub(super) fn push(&self, job: Job) {
        let mut shared = self.shared();
        shared.bytes += job.bytes();
        shared.jobs.push_back(job);
        let idle = shared.jobs.len() <= shared.idle_workers as usize;
        drop(shared);
        if idle {
            self.job.notify_one();
        } else {
            self.attention.notify_one();
        }
    }

    pub(super) fn wake(&self) {
        if !self.due_in_store.swap(true, Ordering::Relaxed) {
            self.attention.notify_one();
        }
    }

    /// Takes the next job; `None` where there is none, or the lane is backed off.
    fn pop(&self) -> Option<Job> {
        let mut shared = self.shared();
        if shared.back_off.is_some() {
            return None;
        }
        let job = shared.jobs.pop_front()?;
        shared.bytes -= job.bytes();
        // Claimed anew before the workers run dry.
        if shared.jobs.len() == JOBS_LOW && self.due_in_store.load(Ordering::Relaxed) {
            self.attention.notify_one();
        }
        Some(job)
    }

    /// Waits for a job, at most `patience`; `None` when the worker should close its connection.
    pub(super) async fn next_job(&self, patience: Duration) -> Option<Job> {
        if let Some(job) = self.pop() {
            return Some(job);
        }
        let deadline = Instant::now() + patience;
        self.shared().idle_workers += 1;
        let job = loop {
            let changed = self.job.notified();
            if let Some(job) = self.pop() {
                break Some(job);
            }
            if self.is_closed() || tokio::time::timeout_at(deadline, changed).await.is_err() {
                break self.pop();
            }
        };
        self.shared().idle_workers -= 1;
        job
    }

    /// Waits until the rate limit lets one more message go.
    pub(super) async fn wait_for_slot(&self) {
        let slot = {
            let mut shared = self.shared();
            let Some(rate) = shared.connector.rate else { return };
            let slot = shared.next_slot.max(Instant::now());
            shared.next_slot = slot + rate.per.duration() / rate.messages.max(1);
            slot
        };
        tokio::time::sleep_until(slot).await;
    }

    /// A destination answered: whatever held the connector up is over.
    pub(super) fn succeeded(&self) {
        let mut shared = self.shared();
        shared.failures = 0;
        let was_failing = shared.failing_since.take().is_some();
        if shared.back_off.take().is_some() || was_failing {
            tracing::info!(connector = shared.connector.name, "connector works again");
        }
    }

    /// All destinations failed as a whole: nothing is tried for a while.
    pub(super) fn failed(&self, failure: &Failure, policy: &BackOffPolicy, jitter: f64) {
        let mut shared = self.shared();
        // Workers that fail side by side tell of one failure, not of many in a row.
        if shared.back_off.is_some() {
            return;
        }
        shared.failures += 1;
        let now = Timestamp::now();
        let delay = policy.delay(shared.failures, jitter);
        let since = shared.failing_since.unwrap_or(now);
        shared.failing_since = Some(since);
        let until = now.checked_add(delay).unwrap_or(now);
        tracing::warn!(connector = shared.connector.name, %failure, %until, "connector backed off");
        shared.back_off = Some(BackOff { since, began: now, until, failure: failure.clone() });
        self.attention.notify_one();
    }

    pub(super) fn report(&self) -> ConnectorReport {
        let shared = self.shared();
        let connections = self.connections.load(Ordering::Relaxed);
        let connections_max = shared.connector.concurrency;
        let limited = if shared.next_slot > Instant::now() + CLAIM_INTERVAL {
            shared.connector.rate.map(|rate| format!("rate {rate}"))
        } else if connections >= connections_max && !shared.jobs.is_empty() {
            Some(format!("concurrency {connections_max}"))
        } else {
            None
        };
        ConnectorReport {
            name: shared.connector.name.clone(),
            connections,
            connections_max,
            limited,
            backed_off: shared.back_off.clone(),
            under_policy: shared.under_policy.clone(),
        }
    }

    /// Claims what is due and starts workers, until the lane is closed and its workers are done.
    pub(super) async fn run<S: Store>(self: Arc<Self>, node: Arc<Node<S>>) {
        let mut workers = tokio::task::JoinSet::new();
        let mut tick = Box::pin(tokio::time::sleep(Duration::ZERO));
        while !self.is_closed() {
            self.end_back_off(&node).await;
            self.give_back_if_backed_off(&node).await;
            if self.wants_more() && self.due_in_store.load(Ordering::Relaxed) {
                self.claim(&node).await;
            }
            while self.wants_worker(workers.len()) {
                workers.spawn(worker::run(Arc::clone(&self), Arc::clone(&node)));
                self.connections.store(workers.len() as u32, Ordering::Relaxed);
                // The new worker takes a job before another one is judged necessary.
                tokio::task::yield_now().await;
            }
            tokio::select! {
                () = self.attention.notified() => {}
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
                // Retries become due with time alone.
                () = &mut tick => {
                    self.due_in_store.store(true, Ordering::Relaxed);
                    tick.as_mut().reset(Instant::now() + CLAIM_INTERVAL.mul_f64(0.5 + node.random()));
                }
            }
            self.connections.store(workers.len() as u32, Ordering::Relaxed);
        }
        while workers.join_next().await.is_some() {}
        self.give_back(&node).await;
    }

    fn wants_more(&self) -> bool {
        let shared = self.shared();
        shared.back_off.is_none() && shared.jobs.len() <= JOBS_LOW && shared.bytes < LANE_BYTES_MAX
    }

    fn wants_worker(&self, workers: usize) -> bool {
        let shared = self.shared();
        shared.back_off.is_none()
            && shared.jobs.len() > shared.idle_workers as usize
            && workers < shared.connector.concurrency as usize
    }

    /// A back-off ends with its time, or when an operator asks for a retry.
    async fn end_back_off<S: Store>(&self, node: &Arc<Node<S>>) {
        let Some(BackOff { began, until, .. }) = self.shared().back_off.clone() else { return };
        if until > Timestamp::now() {
            let requested = node.store.retry_requested(&self.connector().name).await;
            if !requested.is_ok_and(|at| at.is_some_and(|at| at >= began)) {
                return;
            }
            self.due_in_store.store(true, Ordering::Relaxed);
        }
        // The count stays: the next failure waits longer. What is due is claimed in its turn, so that a node that fails
        // is not the first at everything.
        self.shared().back_off = None;
    }

    async fn claim<S: Store>(&self, node: &Arc<Node<S>>) {
        // What has been due for long enough is taken all the same.
        let left_for = self.shared().left_to.as_ref().map_or(Duration::ZERO, |_| *node.config.load().rollout.leave_for);
        let claim = Claim {
            connector: self.connector().name.clone(),
            due_by: Timestamp::now().checked_sub(left_for).unwrap_or(Timestamp::MIN),
            limit: CLAIM_MAX,
            lease: Lease { node: node.name.clone(), until: node.lease_end() },
        };
        self.due_in_store.store(false, Ordering::Relaxed);
        match node.store.claim(claim).await {
            Ok(claimed) => {
                let count: usize = claimed.iter().map(|claimed| claimed.deliveries.len()).sum();
                if count >= CLAIM_MAX as usize {
                    self.due_in_store.store(true, Ordering::Relaxed);
                }
                for claimed in claimed {
                    let job = Job::of_claimed(claimed);
                    node.outbound.held().add(job.keys());
                    self.push(job);
                }
            }
            Err(error) => tracing::warn!(%error, "failed to claim deliveries; trying again"),
        }
    }

    async fn give_back_if_backed_off<S: Store>(&self, node: &Arc<Node<S>>) {
        if self.shared().back_off.is_some() {
            self.give_back(node).await;
        }
    }

    /// Returns everything in the queue to the store as it was.
    async fn give_back<S: Store>(&self, node: &Arc<Node<S>>) {
        let jobs = {
            let mut shared = self.shared();
            shared.bytes = 0;
            std::mem::take(&mut shared.jobs)
        };
        for job in jobs {
            super::results::give_back(node, &job).await;
        }
    }
}
