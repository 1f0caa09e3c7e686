//! Why deliveries wait now, from the queue, the reports of the nodes and the configuration.

use std::collections::{HashMap, HashSet};

use delivery::waiting;
use jiff::Timestamp;
use protocol::smtp::Failure;
use store::{ConnectorReport, DeliveryRecord, NodeReport, State, Store};
use trace::{Doing, Waiting};

use crate::Connectors;

/// The last reports of all nodes, and the configuration.
pub struct WaitReasons<'a> {
    reports: Vec<NodeReport>,
    connectors: &'a dyn Connectors,
    now: Timestamp,
    /// By connector.
    paused: HashMap<String, Failure>,
    /// When the same pauses began.
    began: HashMap<String, Timestamp>,
}

/// Older reports are ignored.
const REPORT_AGE_SECONDS_MAX: i64 = 60;

impl<'a> WaitReasons<'a> {
    pub async fn read<S: Store>(store: &S, connectors: &'a dyn Connectors, now: Timestamp) -> store::Result<Self> {
        let mut reasons =
            Self { reports: store.reports().await?, connectors, now, paused: HashMap::new(), began: HashMap::new() };
        reasons.note_pauses();
        Ok(reasons)
    }

    /// `None`: the delivery is no longer in the queue.
    pub fn waiting(&self, record: &DeliveryRecord) -> Option<Waiting> {
        let state = match record.state {
            State::Queued => waiting::QueueState::Queued,
            State::Leased => waiting::QueueState::Leased,
            State::Suspended => waiting::QueueState::Suspended,
            State::Delivered | State::Failed | State::Removed => return None,
        };
        let connector = record.delivery.connector.as_str();
        let facts = waiting::Facts {
            state,
            due: record.due,
            lease: record.lease.as_ref().map(|lease| (lease.node.as_str(), lease.until)),
            doing: self.doing(record),
            suspended_by: record.suspended_by.as_deref(),
            is_held: record.is_held,
            connector,
            connector_exists: self.connectors.exists(connector),
            backed_off_until: self.backed_off_until(connector),
            limited: self.reports_on(connector).find_map(|report| report.limited.as_ref()),
            node_last_seen: self.reports.iter().map(|report| report.at).max(),
        };
        Some(waiting::waiting(&facts, self.now))
    }

    /// The original cause: the failure of the last attempt, otherwise of the paused connector.
    pub fn cause<'b>(&'b self, record: &'b DeliveryRecord) -> Option<&'b Failure> {
        let paused = || self.paused.get(&record.delivery.connector).filter(|_| record.state == State::Queued);
        record.delivery.failure.as_ref().or_else(paused)
    }

    /// The last failure of each connector that all nodes have paused.
    pub fn paused(&self) -> &HashMap<String, Failure> {
        &self.paused
    }

    /// When the pause of a connector began.
    pub(crate) fn paused_since(&self, connector: &str) -> Option<Timestamp> {
        self.began.get(connector).copied()
    }

    /// The current step of the attempt, if it has lasted for some time.
    fn doing(&self, record: &DeliveryRecord) -> Option<&Doing> {
        let node = &record.lease.as_ref()?.node;
        let report = self.reports.iter().find(|report| report.node == *node)?;
        let connector = report.connectors.iter().find(|report| report.name == record.delivery.connector)?;
        let running = connector.running.iter().find(|running| running.message == record.message.network_message_id)?;
        Some(&running.doing)
    }

    fn note_pauses(&mut self) {
        let names: HashSet<String> =
            self.reports.iter().flat_map(|report| &report.connectors).map(|report| report.name.clone()).collect();
        for name in names.into_iter().filter(|name| self.backed_off_until(name).is_some()).collect::<Vec<_>>() {
            let pauses = self.reports_on(&name).filter_map(|report| report.backed_off.as_ref());
            let last = pauses.max_by_key(|pause| pause.began).map(|pause| (pause.failure.clone(), pause.began));
            if let Some((failure, began)) = last {
                self.began.insert(name.clone(), began);
                self.paused.insert(name, failure);
            }
        }
    }

    /// Time of the first next attempt; `None` if any node has not paused the connector.
    fn backed_off_until(&self, connector: &str) -> Option<Timestamp> {
        let until = |report: &ConnectorReport| report.backed_off.as_ref().map(|back_off| back_off.until);
        let all: Option<Vec<Timestamp>> = self.reports_on(connector).map(until).collect();
        all?.into_iter().min().filter(|until| *until > self.now)
    }

    /// The last reports of the running nodes on this connector.
    fn reports_on(&self, name: &str) -> impl Iterator<Item = &ConnectorReport> {
        let is_fresh = |report: &&NodeReport| self.now.duration_since(report.at).as_secs() <= REPORT_AGE_SECONDS_MAX;
        let fresh = self.reports.iter().filter(is_fresh);
        fresh.flat_map(|report| &report.connectors).filter(move |report| report.name == name)
    }
}
