//! From the queue to the destinations: one [`Lane`] for each connector. It gets new messages directly, and messages
//! that are due from the store.
//!
//! ```text
//!   accept ──offer──> lane's queue ──> worker (one connection) ──> results ──> settler ──> store
//!   store  ──claim──────┘
//! ```
//!
//! Invariants: this node has a lease for every delivery in a lane's memory or in a worker. [`Held`] counts it, and the
//! lease is renewed until the delivery is settled. No attempt starts under a lease that may have ended, or while
//! results cannot be stored.

mod addresses;
mod attempts;
mod connect;
mod job;
mod jobs;
mod lane;
mod lease;
mod policies;
mod results;
mod shares;
mod slots;
mod weakness;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use store::{ConnectorReport, Demand, NewMessage, Share};
use tokio::sync::{Notify, mpsc};

use super::Node;
use crate::{
    config::{Config, Connector},
    preference::LeftTo,
};

pub use addresses::addresses;
pub(crate) use job::Job;
pub(crate) use lane::Lane;
pub(crate) use lease::{Heard, Held, LeaseTime, Term, Ticket};
pub(crate) use results::{Settled, give_back, run_settler};
pub(crate) use shares::share_always;

/// Whether results reach the store. While they do not, no attempt starts, because the message would be sent again.
#[derive(Debug)]
pub(crate) struct Recording(AtomicBool);

impl Recording {
    pub(crate) fn works(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The sending side of a node.
pub(crate) struct Outbound {
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    /// Lanes whose connector is gone, as long as they have connections.
    closing: Mutex<Vec<Arc<Lane>>>,
    held: Held,
    settled: mpsc::Sender<Settled>,
    recording: Arc<Recording>,
    /// A lane could use more of its connector's limits than it has.
    wants_shares: Notify,
}

impl Outbound {
    pub(crate) fn new(settled: mpsc::Sender<Settled>) -> Self {
        let recording = Arc::new(Recording(AtomicBool::new(true)));
        Self {
            lanes: Mutex::default(),
            closing: Mutex::default(),
            held: Held::default(),
            settled,
            recording,
            wants_shares: Notify::new(),
        }
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Notes whether storing results works.
    pub(crate) fn note_recording(&self, works: bool) {
        if self.recording.0.swap(works, Ordering::Relaxed) == works {
            return;
        }
        if works {
            tracing::info!("storing results works again; sending resumes");
            self.wake_all();
        } else {
            tracing::warn!("storing results fails or takes too long; starting no delivery until it works");
        }
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts lanes for new connectors, gives existing lanes their new settings, and closes lanes whose connector is
    /// gone.
    pub(crate) fn configure(&self, node: &Arc<Node>, config: &Config) {
        let wanted = config.connectors.iter().cloned().chain([config.internet()]);
        let wanted: HashMap<String, _> = wanted.map(|connector| (connector.name.clone(), connector)).collect();
        let mut lanes = self.lanes();
        lanes.retain(|name, lane| {
            let keep = wanted.contains_key(name);
            if !keep {
                lane.close();
                self.closing().push(Arc::clone(lane));
            }
            keep
        });
        for (name, connector) in wanted {
            match lanes.get(&name) {
                Some(lane) => lane.configure(connector),
                None => {
                    let lane = Arc::new(Lane::new(connector, Arc::clone(&self.recording)));
                    lanes.insert(name, Arc::clone(&lane));
                    let node = Arc::clone(node);
                    node.tasks.spawn({
                        let node = Arc::clone(&node);
                        async move { lane.run(node, worker::run).await }
                    });
                }
            }
        }
        self.ask_for_shares();
    }

    /// True if a new message can be leased at once: all its deliveries use one lane that has room and is not paused.
    pub(crate) fn room_for(&self, message: &NewMessage) -> bool {
        let Some(first) = message.deliveries.first() else { return false };
        message.deliveries.iter().all(|delivery| delivery.connector == first.connector)
            && self.lanes().get(&first.connector).is_some_and(|lane| lane.has_room(&first.recipient))
    }

    /// Takes a message that was just accepted with a lease. Returns the jobs that must go back to the store, because
    /// the configuration has changed or there is no more room.
    #[must_use]
    pub(crate) fn offer(&self, job: Job) -> Vec<Job> {
        self.held.add(job.keys(), &job.ticket);
        let lane = job.deliveries.first().and_then(|delivery| self.lanes().get(&delivery.connector).cloned());
        match lane {
            Some(lane) => lane.push(job),
            None => vec![job],
        }
    }

    /// Wakes all lanes.
    pub(crate) fn wake_all(&self) {
        self.lanes().values().for_each(|lane| lane.wake_all());
    }

    /// Wakes the lanes of a message that was stored.
    pub(crate) fn wake(&self, message: &NewMessage) {
        let lanes = self.lanes();
        for delivery in &message.deliveries {
            if let Some(lane) = lanes.get(&delivery.connector) {
                lane.wake();
            }
        }
    }

    /// Passes a result to the settler.
    pub(crate) async fn settle(&self, settled: Settled) {
        if self.settled.send(settled).await.is_err() {
            tracing::error!(
                "failed to store a result because the store is closed; the delivery is tried again after its lease ends"
            );
        }
    }

    fn closing(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lane>>> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node could use of each connector's limits. Connections of a lane that closes count for its connector, also if
    /// that is back.
    fn demands(&self, is_drained: bool) -> Vec<Demand> {
        let mut demands: Vec<Demand> = self.lanes().values().map(|lane| lane.demand(is_drained)).collect();
        let mut closing = self.closing();
        closing.retain(|lane| lane.connections() > 0);
        for lane in closing.iter() {
            let ending = lane.demand(is_drained);
            match demands.iter_mut().find(|demand| demand.connector == ending.connector) {
                Some(demand) => demand.bound = demand.bound.saturating_add(ending.bound),
                None => demands.push(ending),
            }
        }
        demands
    }

    fn share(&self, share: &Share, interval: Option<Duration>, until: Term) {
        let mut ending = 0;
        for lane in self.closing().iter().filter(|lane| lane.connector().name == share.connector) {
            ending += lane.connections();
            lane.share(&Share { connections: 0, slots: 0, ..share.clone() }, None, until);
        }
        if let Some(lane) = self.lanes().get(&share.connector) {
            let own = Share { connections: share.connections.saturating_sub(ending), ..share.clone() };
            lane.share(&own, interval, until);
        }
    }

    pub(crate) fn ask_for_shares(&self) {
        self.wants_shares.notify_one();
    }

    async fn shares_wanted(&self) {
        self.wants_shares.notified().await;
    }

    /// Open connections by connector, with those of lanes that close.
    pub(crate) fn connections(&self) -> BTreeMap<String, u32> {
        let lanes: Vec<Arc<Lane>> = self.lanes().values().cloned().collect();
        let mut connections = BTreeMap::new();
        for lane in lanes.iter().chain(self.closing().iter()) {
            *connections.entry(lane.connector().name.clone()).or_default() += lane.connections();
        }
        connections
    }

    pub(crate) fn reports(&self) -> Vec<ConnectorReport> {
        self.lanes().values().map(|lane| lane.report()).collect()
    }

    /// Makes each lane leave due mail to nodes with the TLS policies that `better` names, and report the domains that
    /// it names.
    pub(super) fn leave_to(&self, better: impl Fn(&Connector) -> (LeftTo, BTreeSet<String>)) {
        for lane in self.lanes().values() {
            let (left_to, watched) = better(&lane.connector());
            lane.leave_to(left_to, watched);
        }
    }

    pub(crate) fn close(&self) {
        self.lanes().values().for_each(|lane| lane.close());
    }

    /// Stops the attempts that have not sent their final dot. Their deliveries return to the queue.
    pub(crate) fn cut(&self) {
        self.lanes().values().for_each(|lane| lane.cut());
    }
}
