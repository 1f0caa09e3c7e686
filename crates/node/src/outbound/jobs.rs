//! The jobs of one lane in memory, and which of them may start next. This depends on the connector's rate, and with MX
//! on the limits and pauses of each recipient domain.
//!
//! A job that waits for a limit does not count as running. It stays here, and jobs beyond the bounds stay in the store,
//! where other nodes, `queue retry` and a new configuration find them.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use delivery::backoff::BackOffPolicy;
use jiff::Timestamp;
use protocol::smtp::Failure;
use store::Share;
use tokio::time::Instant;
use trace::Limit;

use super::{job::Job, slots::Slots};
use crate::config::{Connector, Hosts, Rate};

/// Maximum number of messages in memory for one lane. Further messages wait in the store.
const JOBS_MAX: usize = 1000;
/// The same with MX, for all domains together. Most of these come from the store, without their content.
const MX_JOBS_MAX: usize = 5000;
/// The same with MX, for one domain, so that a slow domain leaves room for the others.
const DOMAIN_JOBS_MAX: usize = 300;
/// Maximum content in memory for one lane, in bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// If at most this many jobs could start, the lane claims more.
pub(super) const JOBS_LOW: usize = 100;
/// Deliveries claimed at once. With MX, one claim fits into the limit of one domain.
const CLAIM_MAX: u32 = 400;
const MX_CLAIM_MAX: u32 = (DOMAIN_JOBS_MAX - JOBS_LOW) as u32;
/// Maximum number of domains with state. Beyond that, the longest unused ones are dropped.
const DOMAINS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    bytes: usize,
    domains: HashMap<String, Domain>,
    /// With a rate limit, when messages may be sent.
    slots: Slots,
}

/// State of one recipient domain.
#[derive(Default)]
struct Domain {
    waiting: usize,
    running: u32,
    /// Failures in a row.
    failures: u32,
    pause: Option<Pause>,
}

/// All hosts of the domain failed: no attempt starts before `until`.
#[derive(Clone)]
pub(super) struct Pause {
    pub began: Timestamp,
    pub until: Timestamp,
    failure: Failure,
}

/// A job whose next attempt is at `due`, and the failure that it waits for.
pub(super) struct Postponed {
    pub job: Job,
    pub due: Timestamp,
    pub failure: Option<Failure>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When to look for the next slot of the rate limit, if jobs wait for it.
    pub(super) fn slot_waited_for(&self, connector: &Connector) -> Option<Instant> {
        let waits = connector.rate.is_some() && !self.waiting.is_empty();
        if waits { self.slots.next(Instant::now()) } else { None }
    }

    pub(super) fn is_rate_limited(&self, connector: &Connector, within: Duration) -> bool {
        connector.rate.is_some() && self.slots.limit(Instant::now(), within)
    }

    /// Messages that have no slot of the rate limit.
    pub(super) fn without_slot(&self, connector: &Connector) -> u32 {
        let missing = connector.rate.map_or(0, |_| self.slots.missing(self.waiting.len()));
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    /// True if the store would give slots to jobs that have none.
    pub(super) fn could_have_slots(&self, connector: &Connector) -> bool {
        self.without_slot(connector) > 0 && self.slots.are_to_be_had(Instant::now())
    }

    pub(super) fn add_slots(&mut self, share: &Share, interval: Duration) {
        self.slots.add(share, interval, Instant::now());
    }

    /// Removes the jobs whose slot is too far away to keep them.
    pub(super) fn take_without_slot(&mut self, connector: &Connector) -> Vec<Job> {
        if connector.rate.is_none() || !self.slots.are_far(Instant::now()) || self.waiting.len() <= self.slots.count() {
            return Vec::new();
        }
        let taken = self.waiting.split_off(self.slots.count());
        self.took(taken)
    }

    /// True if a message that was just accepted could be sent at once.
    pub(super) fn have_room(&self, connector: &Connector, domain: Option<&str>) -> bool {
        let max = if connector.hosts == Hosts::Mx { MX_JOBS_MAX } else { JOBS_MAX };
        let has_room = |domain: &Domain| domain.waiting < DOMAIN_JOBS_MAX && domain.failures == 0;
        self.waiting.len() < max
            && self.bytes < BYTES_MAX
            && self.waiting.len() < self.slots(connector.rate)
            && domain.and_then(|domain| self.domains.get(domain)).is_none_or(has_room)
    }

    /// How many deliveries of how many messages to claim now. `None`: there are enough jobs.
    pub(super) fn wanted(&self, connector: &Connector) -> Option<(u32, u32)> {
        let messages = self.slots(connector.rate).saturating_sub(self.waiting.len());
        if messages == 0 || self.bytes >= BYTES_MAX {
            return None;
        }
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        match connector.hosts {
            Hosts::SmartHosts(_) => (self.waiting.len() <= JOBS_LOW).then_some((CLAIM_MAX, messages)),
            Hosts::Mx => (self.waiting.len() < MX_JOBS_MAX && self.startable(connector, JOBS_LOW + 1) <= JOBS_LOW)
                .then_some((MX_CLAIM_MAX, messages)),
        }
    }

    /// How many messages to hold under the rate limit.
    fn slots(&self, rate: Option<Rate>) -> usize {
        rate.map_or(usize::MAX, |_| self.slots.room(Instant::now()))
    }

    /// Jobs that could start if there were workers, counted up to `enough`.
    pub(super) fn startable(&self, connector: &Connector, enough: usize) -> usize {
        match connector.hosts {
            Hosts::SmartHosts(_) => self.waiting.len(),
            Hosts::Mx => self.waiting.iter().filter(|job| self.may_start(job, connector)).take(enough).count(),
        }
    }

    fn may_start(&self, job: &Job, connector: &Connector) -> bool {
        let Some(domain) = job.domain.as_deref().and_then(|domain| self.domains.get(domain)) else { return true };
        // While the domain fails, a single attempt tests whether it works again.
        let running_max = if domain.failures > 0 { 1 } else { connector.domain_concurrency };
        domain.pause.is_none() && domain.running < running_max
    }

    /// Adds a job, or returns it if its domain has too many.
    pub(super) fn push(&mut self, job: Job) -> Result<(), Job> {
        if let Some(name) = &job.domain {
            if !self.domains.contains_key(name) {
                self.forget_domains();
            }
            let domain = self.domains.entry(name.clone()).or_default();
            if domain.waiting >= DOMAIN_JOBS_MAX {
                return Err(job);
            }
            domain.waiting += 1;
        }
        self.bytes += job.bytes();
        self.waiting.push_back(job);
        Ok(())
    }

    /// Takes the next job that may start: one for the domain of the open connection, or the first.
    pub(super) fn pop(&mut self, connector: &Connector, open_to: Option<&str>) -> Option<Job> {
        let for_open = |job: &Job| open_to.is_some() && job.domain.as_deref() == open_to;
        let position = match connector.hosts {
            Hosts::SmartHosts(_) => (!self.waiting.is_empty()).then_some(0),
            Hosts::Mx => {
                let mut startable = self.waiting.iter().enumerate().filter(|(_, job)| self.may_start(job, connector));
                let first = startable.next();
                let fits = first.into_iter().chain(startable).find(|(_, job)| for_open(job));
                fits.or(first).map(|(position, _)| position)
            }
        }?;
        if connector.rate.is_some() && !self.slots.take(Instant::now()) {
            return None;
        }
        let job = self.waiting.remove(position)?;
        self.bytes -= job.bytes();
        if let Some(domain) = self.domain(&job) {
            domain.waiting -= 1;
            domain.running += 1;
        }
        Some(job)
    }

    fn domain(&mut self, job: &Job) -> Option<&mut Domain> {
        job.domain.as_ref().and_then(|name| self.domains.get_mut(name))
    }

    /// Notes the end of an attempt for a job that was popped.
    pub(super) fn ended(&mut self, domain: Option<&str>) {
        let Some(name) = domain else { return };
        if let Some(domain) = self.domains.get_mut(name) {
            domain.running -= 1;
            if domain.running == 0 && domain.waiting == 0 && domain.failures == 0 {
                self.domains.remove(name);
            }
        }
    }

    pub(super) fn domain_works(&mut self, name: &str) {
        if let Some(domain) = self.domains.get_mut(name) {
            domain.failures = 0;
            domain.pause = None;
        }
    }

    /// Notes that all hosts of a domain failed. Simultaneous attempts count as one failure.
    pub(super) fn domain_failed(&mut self, name: &str, failure: &Failure, policy: &BackOffPolicy, jitter: f64) {
        let domain = self.domains.entry(name.to_owned()).or_default();
        if domain.pause.is_some() {
            return;
        }
        domain.failures += 1;
        let now = Timestamp::now();
        let until = now.checked_add(policy.delay(domain.failures, jitter)).unwrap_or(now);
        domain.pause = Some(Pause { began: now, until, failure: failure.clone() });
    }

    /// Ends the pauses that match a condition. True if one has ended.
    pub(super) fn end_pauses(&mut self, is_over: impl Fn(&Pause) -> bool) -> bool {
        let ended = self.domains.values_mut().filter(|domain| domain.pause.as_ref().is_some_and(&is_over));
        ended.map(|domain| domain.pause = None).count() > 0
    }

    pub(super) fn has_pauses(&self) -> bool {
        self.domains.values().any(|domain| domain.pause.is_some())
    }

    /// Removes the jobs of paused domains.
    pub(super) fn take_paused(&mut self) -> Vec<Postponed> {
        if !self.has_pauses() {
            return Vec::new();
        }
        let pauses: HashMap<String, Pause> =
            self.domains.iter().filter_map(|(name, domain)| Some((name.clone(), domain.pause.clone()?))).collect();
        let taken = self.take_if(|job| job.domain.as_ref().is_some_and(|domain| pauses.contains_key(domain)));
        let postponed = taken.into_iter().filter_map(|job| {
            let pause = pauses.get(job.domain.as_ref()?)?.clone();
            Some(Postponed { job, due: pause.until, failure: Some(pause.failure) })
        });
        postponed.collect()
    }

    /// Removes the jobs that match a condition.
    pub(super) fn take_if(&mut self, mut wanted: impl FnMut(&Job) -> bool) -> Vec<Job> {
        if !self.waiting.iter().any(&mut wanted) {
            return Vec::new();
        }
        let (taken, kept): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut self.waiting).into_iter().partition(wanted);
        self.waiting = kept;
        self.took(taken)
    }

    fn took(&mut self, taken: VecDeque<Job>) -> Vec<Job> {
        for job in &taken {
            self.bytes -= job.bytes();
            if let Some(domain) = self.domain(job) {
                domain.waiting -= 1;
            }
        }
        taken.into()
    }

    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.take_if(|_| true)
    }

    /// Keeps the number of domains with state bounded.
    fn forget_domains(&mut self) {
        if self.domains.len() < DOMAINS_MAX {
            return;
        }
        self.domains.retain(|_, domain| domain.running > 0 || domain.waiting > 0 || domain.pause.is_some());
        if self.domains.len() >= DOMAINS_MAX {
            self.domains.retain(|_, domain| domain.running > 0 || domain.waiting > 0);
        }
    }
}

/// Between two messages of the whole fleet.
pub(super) fn interval(rate: Rate) -> Duration {
    rate.per.duration() / rate.messages.max(1)
}

pub(super) fn rate_limit(rate: Rate) -> Limit {
    Limit::Rate { messages: rate.messages, per_s: rate.per.duration().as_secs() }
}
