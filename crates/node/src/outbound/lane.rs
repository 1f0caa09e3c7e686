//! Delivers the mail of one connector: its jobs in memory, its workers, its limits and its pauses.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use delivery::backoff::BackOffPolicy;
use jiff::Timestamp;
use net::send::Progress;
use protocol::smtp::{Address, Failure};
use store::{BackOff, Claim, ConnectorReport, Demand, Leave, Queue as _, Share};
use tokio::{sync::Notify, time::Instant};
use trace::Limit;

use super::{
    Recording,
    attempts::Attempts,
    job::Job,
    jobs::{Jobs, interval, rate_limit},
    lease::Term,
    policies::Policies,
    results,
    shares::Own,
};
use crate::{
    Node,
    config::{Connector, Hosts},
    preference::LeftTo,
    review,
};

/// Average interval at which the lane claims due mail. A random wait gives every node of a fleet the same chance. With
/// a fixed wait, the same node would always be first.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// Deliveries to a domain with too many jobs in memory wait about this long.
const CROWDED_FOR: Duration = Duration::from_secs(5);

pub(crate) struct Lane {
    shared: Mutex<Shared>,
    /// Wakes a worker: there is a job.
    job: Notify,
    /// Wakes the loop that claims mail, starts workers and ends pauses.
    attention: Notify,
    /// True if the store may have more due mail.
    due_in_store: AtomicBool,
    connections: AtomicU32,
    recording: Arc<Recording>,
}

struct Shared {
    connector: Arc<Connector>,
    state: State,
    jobs: Jobs,
    /// Connections that this node may have open.
    own: Own,
    /// Workers that have not been told to end.
    workers: u32,
    idle_workers: u32,
    attempts: Attempts,
    /// Failures in a row, and since when.
    failures: u32,
    failing_since: Option<Timestamp>,
    policies: Policies,
}

enum State {
    Open,
    /// All destinations failed: no attempt starts for a while.
    BackedOff(BackOff),
    /// The connector is gone, or the node stops: no attempt starts.
    Closed,
}

/// Removes the attempt's entry when it is dropped.
pub(super) struct Attempting<'a> {
    lane: &'a Lane,
    number: u64,
    domain: Option<String>,
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        let mut shared = self.lane.shared();
        shared.attempts.ended(self.number);
        shared.jobs.ended(self.domain.as_deref());
    }
}

impl Lane {
    pub(super) fn new(connector: Connector, recording: Arc<Recording>) -> Self {
        Self {
            shared: Mutex::new(Shared {
                connector: Arc::new(connector),
                state: State::Open,
                jobs: Jobs::default(),
                own: Own::default(),
                workers: 0,
                idle_workers: 0,
                attempts: Attempts::default(),
                failures: 0,
                failing_since: None,
                policies: Policies::default(),
            }),
            job: Notify::new(),
            attention: Notify::new(),
            due_in_store: AtomicBool::new(true),
            connections: AtomicU32::new(0),
            recording,
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all workers and the loop, so that they notice new limits, due mail or a closed lane.
    pub(super) fn wake_all(&self) {
        self.due_in_store.store(true, Ordering::Relaxed);
        self.attention.notify_one();
        self.job.notify_waiters();
    }

    pub(super) fn configure(&self, connector: Connector) {
        self.shared().connector = Arc::new(connector);
        self.wake_all();
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.shared().connector)
    }

    pub(super) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.shared().state = State::Closed;
        self.wake_all();
    }

    /// Stops the attempts that have not sent their final dot.
    pub(super) fn cut(&self) {
        self.shared().attempts.cut();
    }

    fn is_closed(&self) -> bool {
        matches!(self.shared().state, State::Closed)
    }

    /// True if a message to this recipient that was just accepted could be sent at once.
    pub(super) fn has_room(&self, recipient: &Address) -> bool {
        let shared = self.shared();
        let domain = (shared.connector.hosts == Hosts::Mx).then(|| recipient.domain_key());
        matches!(shared.state, State::Open)
            && self.recording.works()
            && !shared.policies.leaves(domain.as_deref())
            && shared.connections_max() > 0
            && shared.jobs.have_room(&shared.connector, domain.as_deref())
    }

    /// Notes the result of an attempt under a TLS policy, so that the fleet can compare policies.
    pub(super) fn note_policy(&self, domain: Option<&str>, policy: &str, works: bool) {
        self.shared().policies.note(domain, policy, works);
    }

    /// Leaves due mail to nodes with these policies from now on. `watched` are domains that fail on some node.
    pub(super) fn leave_to(&self, left_to: LeftTo, watched: BTreeSet<String>) {
        let mut shared = self.shared();
        shared.policies.watch(watched);
        let connector = shared.connector.name.clone();
        if shared.policies.left_to == left_to {
            return;
        }
        if left_to == LeftTo::default() {
            tracing::info!(connector, "no longer leaving mail to other nodes");
        } else {
            tracing::warn!(connector, ?left_to, "leaving mail to nodes whose TLS policy works");
        }
        shared.policies.left_to = left_to;
    }

    /// Adds a message, with MX split by domain. Returns the jobs that must go back to the store.
    pub(super) fn push(&self, job: Job) -> Vec<Job> {
        let mut refused = Vec::new();
        let mut shared = self.shared();
        if matches!(shared.state, State::Closed) {
            return vec![job];
        }
        let jobs = if shared.connector.hosts == Hosts::Mx { job.split_by_domain() } else { vec![job] };
        for job in jobs {
            refused.extend(shared.jobs.push(job).err());
        }
        let (idle, waiting) = (shared.idle_workers as usize, shared.jobs.len());
        drop(shared);
        if idle > 0 {
            self.job.notify_one();
        }
        if waiting > idle {
            self.attention.notify_one();
        }
        refused
    }

    pub(super) fn wake(&self) {
        if !self.due_in_store.swap(true, Ordering::Relaxed) {
            self.attention.notify_one();
        }
    }

    /// What this node could use of the connector's limits.
    pub(super) fn demand(&self, is_drained: bool) -> Demand {
        let mut shared = self.shared();
        let connector = Arc::clone(&shared.connector);
        let opens = !matches!(shared.state, State::Closed) && self.recording.works();
        let busy = shared.workers.saturating_sub(shared.idle_workers);
        let startable = shared.jobs.startable(&connector, connector.concurrency as usize) as u32;
        // New mail, mail that is due in the store, and the first attempt after a pause can begin at once.
        let least = if is_drained { 0 } else { 1 };
        let wanted = if opens { (busy + startable).max(least).min(connector.concurrency) } else { 0 };
        let bound = shared.bound(self.connections());
        (shared.own.asked, shared.own.bound) = (wanted, bound);
        Demand {
            connector: connector.name.clone(),
            concurrency: connector.concurrency,
            wanted,
            bound,
            interval: connector.rate.map(interval),
            messages: if opens { shared.jobs.without_slot(&connector) } else { 0 },
        }
    }

    /// Takes the share that the store has given this node, until that time.
    pub(super) fn share(&self, share: &Share, interval: Option<Duration>, until: Term) {
        let mut shared = self.shared();
        if shared.own.is_over() {
            // Others may have had it meanwhile.
            shared.attempts.cut();
        }
        let before = shared.connections_max();
        shared.own.set(share.connections, until);
        if let Some(interval) = interval {
            shared.jobs.add_slots(share, interval);
        }
        let changed = shared.connections_max() != before || share.slots > 0;
        drop(shared);
        if changed {
            self.attention.notify_one();
            self.job.notify_waiters();
        }
    }

    /// True if it could use more than it has, or has some to give back, and the store does not know yet.
    fn wants_to_ask(&self) -> bool {
        let shared = self.shared();
        if shared.bound(self.connections()) < shared.own.bound {
            return true;
        }
        let connector = &shared.connector;
        if !matches!(shared.state, State::Open) || !self.recording.works() {
            return false;
        }
        let max = shared.connections_max();
        let could_use = shared.workers as usize + shared.jobs.startable(connector, connector.concurrency as usize);
        let more = max < connector.concurrency && could_use > max as usize && could_use > shared.own.asked as usize;
        more || shared.jobs.could_have_slots(connector)
    }

    /// Takes the next job. `None` if none may start.
    fn pop(&self, open_to: Option<&str>) -> Option<Job> {
        let mut shared = self.shared();
        if shared.has_worker_too_many() || !matches!(shared.state, State::Open) || !self.recording.works() {
            return None;
        }
        let connector = Arc::clone(&shared.connector);
        let job = shared.jobs.pop(&connector, open_to)?;
        // Claim more before the workers run out of jobs.
        if shared.jobs.len() == super::jobs::JOBS_LOW && self.due_in_store.load(Ordering::Relaxed) {
            self.attention.notify_one();
        }
        Some(job)
    }

    /// Waits for a job, at most `patience`; `None` when the worker should close its connection.
    pub(super) async fn next_job(&self, patience: Duration, open_to: Option<&str>) -> Option<Job> {
        if let Some(job) = self.pop(open_to) {
            return Some(job);
        }
        let deadline = Instant::now() + patience;
        self.shared().idle_workers += 1;
        loop {
            let changed = self.job.notified();
            if let Some(job) = self.pop(open_to) {
                self.shared().idle_workers -= 1;
                return Some(job);
            }
            if self.due_in_store.load(Ordering::Relaxed) {
                self.attention.notify_one();
            }
            let slot = {
                let mut shared = self.shared();
                let is_closed = matches!(shared.state, State::Closed);
                if is_closed || shared.has_worker_too_many() || Instant::now() >= deadline {
                    shared.idle_workers -= 1;
                    shared.workers -= 1;
                    return None;
                }
                shared.jobs.slot_waited_for(&shared.connector)
            };
            let _ = tokio::time::timeout_at(slot.map_or(deadline, |slot| slot.min(deadline)), changed).await;
        }
    }

    /// Starts an attempt for a job that was popped.
    pub(super) fn attempting(&self, job: &Job, progress: &Arc<Progress>) -> Attempting<'_> {
        let number = self.shared().attempts.begin(job, progress);
        Attempting { lane: self, number, domain: job.domain.clone() }
    }

    /// A destination answered: the pause of the connector or domain is over.
    pub(super) fn succeeded(&self, domain: Option<&str>) {
        let mut shared = self.shared();
        shared.failures = 0;
        let was_failing = shared.failing_since.take().is_some();
        let was_backed_off = matches!(shared.state, State::BackedOff(_));
        if was_backed_off {
            shared.state = State::Open;
        }
        if was_backed_off || was_failing {
            tracing::info!(connector = shared.connector.name, "connector works again");
        }
        if let Some(domain) = domain {
            shared.jobs.domain_works(domain);
        }
    }

    /// All destinations of the connector failed, or with MX those of the domain: no attempt starts for a while.
    pub(super) fn failed(&self, domain: Option<&str>, failure: &Failure, policy: &BackOffPolicy, jitter: f64) {
        let mut shared = self.shared();
        match domain {
            Some(domain) => shared.jobs.domain_failed(domain, failure, policy, jitter),
            None => shared.back_off(failure, policy, jitter),
        }
        drop(shared);
        self.attention.notify_one();
    }

    pub(super) fn report(&self) -> ConnectorReport {
        let shared = self.shared();
        let connections = self.connections.load(Ordering::Relaxed);
        let connections_max = shared.connector.concurrency;
        let limited = if shared.jobs.is_rate_limited(&shared.connector, CLAIM_INTERVAL) {
            shared.connector.rate.map(rate_limit)
        } else if connections >= shared.connections_max() && !shared.jobs.is_empty() {
            Some(Limit::Concurrency(connections_max))
        } else {
            None
        };
        let backed_off = match &shared.state {
            State::BackedOff(back_off) => Some(back_off.clone()),
            State::Open | State::Closed => None,
        };
        ConnectorReport {
            name: shared.connector.name.clone(),
            connections,
            connections_max,
            limited,
            backed_off,
            under_policy: shared.policies.all.clone(),
            domains_under_policy: shared.policies.report(),
            running: shared.attempts.report(),
        }
    }

    /// Claims what is due and starts workers, each of which does `work`, until the lane is closed and its workers are done.
    pub(super) async fn run<Work>(self: Arc<Self>, node: Arc<Node>, work: impl Fn(Arc<Self>, Arc<Node>) -> Work)
    where
        Work: Future<Output = ()> + Send + 'static,
    {
        let mut workers = tokio::task::JoinSet::new();
        let mut tick = Box::pin(tokio::time::sleep(Duration::ZERO));
        while !self.is_closed() {
            self.end_pauses();
            self.put_aside(&node).await;
            if self.due_in_store.load(Ordering::Relaxed) && !node.is_drained() {
                self.claim(&node).await;
            }
            while self.wants_worker(workers.len()) {
                self.shared().workers += 1;
                workers.spawn(work(Arc::clone(&self), Arc::clone(&node)));
                self.connections.store(workers.len() as u32, Ordering::Relaxed);
                // The new worker takes a job before the loop decides whether another worker is needed.
                tokio::task::yield_now().await;
            }
            if self.wants_to_ask() {
                node.outbound.ask_for_shares();
            }
            tokio::select! {
                () = self.attention.notified() => {}
                Some(ended) = workers.join_next(), if !workers.is_empty() => {
                    if let Err(error) = ended {
                        self.shared().workers -= 1;
                        tracing::error!(%error, "a fault in Gatepost ended a delivery; the delivery will be tried again");
                    }
                }
                // Deferred mail becomes due without any event.
                () = &mut tick => {
                    self.due_in_store.store(true, Ordering::Relaxed);
                    tick.as_mut().reset(Instant::now() + CLAIM_INTERVAL.mul_f64(0.5 + node.random()));
                    self.end_pauses_on_request(&node).await;
                    self.review(&node).await;
                }
            }
            self.connections.store(workers.len() as u32, Ordering::Relaxed);
        }
        // Return the jobs at once: other nodes or another connector need not wait for the attempts here.
        self.give_back_all(&node).await;
        while !workers.is_empty() {
            if self.shared().own.is_over() {
                self.cut();
            }
            let _ = tokio::time::timeout(CLAIM_INTERVAL, workers.join_next()).await;
            self.connections.store(workers.len() as u32, Ordering::Relaxed);
        }
    }

    fn wants_worker(&self, workers: usize) -> bool {
        let shared = self.shared();
        let idle = shared.idle_workers as usize;
        matches!(shared.state, State::Open)
            && self.recording.works()
            && workers < shared.connections_max() as usize
            && shared.jobs.startable(&shared.connector, idle + 1) > idle
    }

    /// Ends pauses of the connector and of domains when their time is over. The count of failures stays, so the next
    /// pause is longer. Due mail is claimed at the usual time, so that a failing node is not always the first.
    fn end_pauses(&self) {
        let mut shared = self.shared();
        let now = Timestamp::now();
        // A pause that begins in the future started before the clock was set back.
        if matches!(&shared.state, State::BackedOff(back_off) if back_off.until <= now || back_off.began > now) {
            shared.state = State::Open;
        }
        if shared.jobs.end_pauses(|pause| pause.until <= now || pause.began > now) {
            self.job.notify_waiters();
        }
    }

    /// Also ends pauses that are older than an operator's request for a retry.
    async fn end_pauses_on_request(&self, node: &Arc<Node>) {
        let connector = {
            let shared = self.shared();
            if matches!(shared.state, State::Open) && !shared.jobs.has_pauses() {
                return;
            }
            shared.connector.name.clone()
        };
        let Ok(Some(ago)) = node.store.retry_requested(&connector).await else { return };
        let requested = Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN);
        let mut shared = self.shared();
        if matches!(&shared.state, State::BackedOff(back_off) if back_off.began <= requested) {
            shared.state = State::Open;
        }
        shared.jobs.end_pauses(|pause| pause.began <= requested);
        drop(shared);
        self.wake_all();
    }

    async fn claim(&self, node: &Arc<Node>) {
        let wanted = {
            let shared = self.shared();
            let open = matches!(shared.state, State::Open) && self.recording.works() && shared.connections_max() > 0;
            shared.jobs.wanted(&shared.connector).filter(|_| open)
        };
        let Some((limit, messages)) = wanted else { return };
        let LeftTo { all, domains } = self.shared().policies.left_to.clone();
        // Mail that has been due for long enough is claimed anyway.
        let leave_for = *node.config.load().rollout.leave_for;
        let term = node.term();
        if !term.is_valid() {
            return;
        }
        let claim = Claim {
            connector: self.connector().name.clone(),
            due_for: if all.is_some() { leave_for } else { Duration::ZERO },
            limit,
            messages,
            leave: Leave { domains: domains.into_keys().collect(), due_for: leave_for },
            holder: node.member.clone(),
        };
        self.due_in_store.store(false, Ordering::Relaxed);
        let claimed = match node.store.claim(claim).await {
            Ok(claimed) => claimed,
            Err(error) => return tracing::warn!(%error, "failed to claim deliveries; trying again"),
        };
        let count: usize = claimed.iter().map(|claimed| claimed.deliveries.len()).sum();
        if count >= limit as usize {
            self.due_in_store.store(true, Ordering::Relaxed);
            self.attention.notify_one();
        }
        for claimed in claimed {
            let job = Job::of_claimed(claimed, term);
            node.outbound.held().add(job.keys(), &job.ticket);
            for crowded in self.push(job) {
                self.postpone_crowded(node, &crowded).await;
            }
        }
    }

    /// Postpones a job whose domain has enough jobs in memory, so that other domains get their turn.
    async fn postpone_crowded(&self, node: &Arc<Node>, job: &Job) {
        if self.is_closed() {
            return results::give_back(node, job).await;
        }
        let wait = CROWDED_FOR.mul_f64(1.0 + 2.0 * node.random());
        let due = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
        results::postpone(node, job, due, None).await;
    }

    /// Returns jobs that must not start now: jobs of a paused connector or domain, and jobs that this node may no
    /// longer hold.
    async fn put_aside(&self, node: &Arc<Node>) {
        let (postponed, returned) = {
            let mut shared = self.shared();
            if shared.own.is_over() {
                shared.attempts.cut();
            }
            let connector = Arc::clone(&shared.connector);
            let all = matches!(shared.state, State::BackedOff(_));
            // A reload may have changed between MX records and smart hosts.
            let by_domain = shared.connector.hosts == Hosts::Mx;
            let returned = |job: &Job| all || !job.ticket.is_valid() || job.domain.is_some() != by_domain;
            let mut given_back = shared.jobs.take_if(returned);
            given_back.extend(shared.jobs.take_without_slot(&connector));
            (shared.jobs.take_paused(), given_back)
        };
        for postponed in postponed {
            results::postpone(node, &postponed.job, postponed.due, postponed.failure).await;
        }
        for job in returned {
            results::give_back(node, &job).await;
        }
    }

    /// Reviews jobs that become due for a delay notice or expire while they wait here.
    async fn review(&self, node: &Arc<Node>) {
        let (schedule, now) = (node.schedule(), Timestamp::now());
        let due = self.shared().jobs.take_if(|job| job.review_at(&schedule) <= now);
        for job in due {
            review::review_leased(node, &job).await;
        }
    }

    /// Returns all jobs in memory to the store unchanged.
    async fn give_back_all(&self, node: &Arc<Node>) {
        let jobs = self.shared().jobs.take_all();
        for job in jobs {
            results::give_back(node, &job).await;
        }
    }
}

impl Shared {
    /// Connections that this node may have open now.
    fn connections_max(&self) -> u32 {
        self.own.connections().min(self.connector.concurrency)
    }

    /// The most connections that it may have open before it hears more.
    fn bound(&self, open: u32) -> u32 {
        match self.state {
            State::Closed => open,
            State::Open | State::BackedOff(_) => open.max(self.connections_max()),
        }
    }

    fn has_worker_too_many(&self) -> bool {
        self.workers > self.connections_max()
    }

    fn back_off(&mut self, failure: &Failure, policy: &BackOffPolicy, jitter: f64) {
        // Workers that fail at the same time are one failure, not many in a row.
        if !matches!(self.state, State::Open) {
            return;
        }
        self.failures += 1;
        let now = Timestamp::now();
        let delay = policy.delay(self.failures, jitter);
        let since = self.failing_since.unwrap_or(now);
        self.failing_since = Some(since);
        let until = now.checked_add(delay).unwrap_or(now);
        tracing::warn!(connector = self.connector.name, %failure, %until, "connector paused: its destinations fail");
        self.state = State::BackedOff(BackOff { since, began: now, until, failure: failure.clone() });
    }
}
