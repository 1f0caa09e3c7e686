//! From the queue to the destinations: one [`Lane`] for each place where mail goes, fed by what was just accepted and
//! by what the store says is due.
//!
//! ```text
//!   accept ──offer──> lane's queue ──> worker (one connection) ──> results ──> settler ──> store
//!   store  ──claim──────┘
//! ```
//!
//! Invariant: everything in a lane's queue or in a worker's hands is leased by this node, counted in [`Held`], and its
//! lease is renewed until it is settled.

mod job;
mod lane;
mod reach;
mod results;
mod weakness;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use store::{ConnectorReport, DeliveryKey, NewMessage, Store};
use tokio::sync::mpsc;

use super::Node;
use crate::config::{Config, Connector};

pub(crate) use job::Job;
pub(crate) use lane::Lane;
pub(crate) use results::{Settled, run_settler};

/// Messages kept in memory for one lane; what comes beyond waits in the store.
const LANE_JOBS_MAX: usize = 1000;
/// Content kept in memory for one lane.
const LANE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The sending side of a node.
pub(crate) struct Outbound {
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    held: Held,
    settled: mpsc::Sender<Settled>,
}

/// The deliveries whose leases this node must renew.
#[derive(Default)]
pub(crate) struct Held(Mutex<std::collections::HashSet<DeliveryKey>>);

impl Held {
    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<DeliveryKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, keys: impl IntoIterator<Item = DeliveryKey>) {
        self.lock().extend(keys);
    }

    pub(crate) fn remove(&self, key: DeliveryKey) {
        self.lock().remove(&key);
    }

    pub(crate) fn all(&self) -> Vec<DeliveryKey> {
        self.lock().iter().copied().collect()
    }
}

impl Outbound {
    pub(crate) fn new(settled: mpsc::Sender<Settled>) -> Self {
        Self { lanes: Mutex::default(), held: Held::default(), settled }
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts lanes for new connectors, gives the others their new settings, and closes those that are gone.
    pub(crate) fn configure<S: Store>(&self, node: &Arc<Node<S>>, config: &Config) {
        let wanted = config.connectors.iter().cloned().chain([config.internet()]);
        let wanted: HashMap<String, _> = wanted.map(|connector| (connector.name.clone(), connector)).collect();
        let mut lanes = self.lanes();
        lanes.retain(|name, lane| {
            let keep = wanted.contains_key(name);
            if !keep {
                lane.close();
            }
            keep
        });
        for (name, connector) in wanted {
            match lanes.get(&name) {
                Some(lane) => lane.configure(connector),
                None => {
                    let lane = Arc::new(Lane::new(connector));
                    lanes.insert(name, Arc::clone(&lane));
                    let node = Arc::clone(node);
                    node.tasks.spawn({
                        let node = Arc::clone(&node);
                        async move { lane.run(node).await }
                    });
                }
            }
        }
    }

    /// True if a message may be born leased: all its deliveries leave by one lane that has room and is not blocked.
    pub(crate) fn room_for(&self, message: &NewMessage) -> bool {
        let Some(first) = message.deliveries.first() else { return false };
        message.deliveries.iter().all(|delivery| delivery.connector == first.connector)
            && self.lanes().get(&first.connector).is_some_and(|lane| lane.has_room())
    }

    /// Hands over what was just accepted with a lease.
    pub(crate) fn offer(&self, job: Job) {
        self.held.add(job.keys());
        let lane = job.deliveries.first().and_then(|delivery| self.lanes().get(&delivery.connector).cloned());
        match lane {
            Some(lane) => lane.push(job),
            // The configuration changed in between; the lease ends by itself.
            None => job.keys().for_each(|key| self.held.remove(key)),
        }
    }

    /// Something for these connectors was put into the store.
    pub(crate) fn wake(&self, message: &NewMessage) {
        let lanes = self.lanes();
        for delivery in &message.deliveries {
            if let Some(lane) = lanes.get(&delivery.connector) {
                lane.wake();
            }
        }
    }

    /// Hands a result over to be recorded.
    pub(crate) async fn settle(&self, settled: Settled) {
        if self.settled.send(settled).await.is_err() {
            tracing::error!("a result came after the store was closed; its lease will end and it is tried again");
        }
    }

    pub(crate) fn reports(&self) -> Vec<ConnectorReport> {
        self.lanes().values().map(|lane| lane.report()).collect()
    }

    /// Has each lane leave what is due to nodes under the TLS policy that `better` names, if any.
    pub(super) fn leave_to(&self, better: impl Fn(&Connector) -> Option<String>) {
        self.lanes().values().for_each(|lane| lane.leave_to(better(&lane.connector())));
    }

    pub(crate) fn close(&self) {
        self.lanes().values().for_each(|lane| lane.close());
    }
}
