//! Why deliveries wait just now: the queue's word, the nodes' reports and the configuration, taken together.

use std::collections::{HashMap, HashSet};

use delivery::waiting;
use jiff::Timestamp;
use protocol::smtp::Failure;
use store::{ConnectorReport, DeliveryRecord, NodeReport, State, Store};
use trace::{Doing, Waiting, message_trace};

use super::{
    arguments::Status,
    screen::{Colour, Screen},
};
use crate::config::Config;

/// What all nodes last said, and what is configured.
pub(crate) struct Standing<'a> {
    reports: Vec<NodeReport>,
    config: &'a Config,
    now: Timestamp,
    /// By connector.
    paused: HashMap<String, Failure>,
}

/// What an older report says of connectors is no longer believed.
const REPORT_AGE_SECONDS_MAX: i64 = 60;

impl<'a> Standing<'a> {
    pub(crate) async fn read<S: Store>(store: &S, config: &'a Config, now: Timestamp) -> store::Result<Self> {
        let mut standing = Self { reports: store.reports().await?, config, now, paused: HashMap::new() };
        standing.paused = standing.failures_of_paused();
        Ok(standing)
    }

    /// `None`: it is no longer in the queue.
    pub(crate) fn waiting(&self, record: &DeliveryRecord) -> Option<Waiting> {
        let standing = match record.state {
            State::Queued => waiting::Standing::Queued,
            State::Leased => waiting::Standing::Leased,
            State::Suspended => waiting::Standing::Suspended,
            State::Delivered | State::Failed | State::Removed => return None,
        };
        let connector = record.delivery.connector.as_str();
        let facts = waiting::Facts {
            standing,
            due: record.due,
            lease: record.lease.as_ref().map(|lease| (lease.node.as_str(), lease.until)),
            doing: self.doing(record),
            suspended_by: record.suspended_by.as_deref(),
            connector,
            connector_exists: self.config.connector(connector).is_some(),
            backed_off_until: self.backed_off_until(connector),
            limited: self.reports_on(connector).find_map(|report| report.limited.as_ref()),
            node_last_seen: self.reports.iter().map(|report| report.at).max(),
        };
        Some(waiting::waiting(&facts, self.now))
    }

    /// The original cause: how the last attempt failed, or the failure of the paused connector that it waits for.
    pub(crate) fn cause<'b>(&'b self, record: &'b DeliveryRecord) -> Option<&'b Failure> {
        let paused = || self.paused.get(&record.delivery.connector).filter(|_| record.state == State::Queued);
        record.delivery.failure.as_ref().or_else(paused)
    }

    /// The last failure of each connector that all nodes hold back.
    pub(crate) fn paused(&self) -> &HashMap<String, Failure> {
        &self.paused
    }

    /// What its attempt is doing, where that has lasted for a while.
    fn doing(&self, record: &DeliveryRecord) -> Option<&Doing> {
        let node = &record.lease.as_ref()?.node;
        let report = self.reports.iter().find(|report| report.node == *node)?;
        let connector = report.connectors.iter().find(|report| report.name == record.delivery.connector)?;
        let running = connector.running.iter().find(|running| running.message == record.message.network_message_id)?;
        Some(&running.doing)
    }

    fn failures_of_paused(&self) -> HashMap<String, Failure> {
        let names: HashSet<&str> =
            self.reports.iter().flat_map(|report| &report.connectors).map(|report| report.name.as_str()).collect();
        let held_back = names.into_iter().filter(|name| self.backed_off_until(name).is_some());
        let last = |name: &str| {
            let rests = self.reports_on(name).filter_map(|report| report.backed_off.as_ref());
            rests.max_by_key(|rest| rest.began).map(|rest| (name.to_owned(), rest.failure.clone()))
        };
        held_back.filter_map(last).collect()
    }

    /// When the first node tries it again; `None` if any node does not hold it back.
    fn backed_off_until(&self, connector: &str) -> Option<Timestamp> {
        let until = |report: &ConnectorReport| report.backed_off.as_ref().map(|back_off| back_off.until);
        let all: Option<Vec<Timestamp>> = self.reports_on(connector).map(until).collect();
        all?.into_iter().min().filter(|until| *until > self.now)
    }

    /// What the running nodes last said of that connector.
    fn reports_on(&self, name: &str) -> impl Iterator<Item = &ConnectorReport> {
        let is_fresh = |report: &&NodeReport| self.now.duration_since(report.at).as_secs() <= REPORT_AGE_SECONDS_MAX;
        let fresh = self.reports.iter().filter(is_fresh);
        fresh.flat_map(|report| &report.connectors).filter(move |report| report.name == name)
    }
}

/// In a few words, for a table.
pub(crate) fn short(waiting: &Waiting, screen: &Screen) -> String {
    match waiting {
        Waiting::Timer { until } => match screen.until(*until).as_str() {
            "now" => "due now".to_owned(),
            then => format!("next attempt {then}"),
        },
        Waiting::ConnectorLimit { .. } => "connector at its limit".to_owned(),
        Waiting::ConnectorBackedOff { until } => {
            format!("connector paused, next attempt {}", screen.until(*until))
        }
        Waiting::Suspended { by } => format!("suspended by {by}"),
        Waiting::Leased { doing: Some(doing), .. } => format!("{}: {}", screen.age(doing.since), doing),
        Waiting::Leased { node, .. } => format!("being delivered by {node}"),
        Waiting::NoRoute { connector } => format!("no connector \"{connector}\""),
        Waiting::PolicyForbids { policy } => format!("TLS policy \"{policy}\" forbids it"),
        Waiting::NoNode { .. } => "no node running".to_owned(),
    }
}

/// The time that its texts name, if any.
pub(crate) fn time_named(waiting: &Waiting) -> Option<Timestamp> {
    match waiting {
        Waiting::Leased { doing: Some(doing), .. } => Some(doing.since),
        Waiting::Timer { until } | Waiting::ConnectorBackedOff { until } | Waiting::Leased { until, .. } => {
            Some(*until)
        }
        Waiting::NoNode { last_seen } => *last_seen,
        Waiting::ConnectorLimit { .. }
        | Waiting::Suspended { .. }
        | Waiting::NoRoute { .. }
        | Waiting::PolicyForbids { .. } => None,
    }
}

impl From<State> for Status {
    fn from(state: State) -> Self {
        match state {
            State::Queued | State::Leased | State::Suspended => Self::Pending,
            State::Delivered => Self::Delivered,
            State::Failed => Self::Failed,
            State::Removed => Self::Removed,
        }
    }
}

impl From<message_trace::Status> for Status {
    fn from(status: message_trace::Status) -> Self {
        match status {
            message_trace::Status::Delivered => Self::Delivered,
            message_trace::Status::Pending => Self::Pending,
            message_trace::Status::Failed => Self::Failed,
            message_trace::Status::Quarantined => Self::Quarantined,
            message_trace::Status::FilteredAsSpam => Self::FilteredAsSpam,
            message_trace::Status::Expanded => Self::Expanded,
            message_trace::Status::GettingStatus => Self::GettingStatus,
        }
    }
}

impl Status {
    /// All states that have this status; none where only other systems have it.
    pub(crate) fn states(self) -> &'static [State] {
        match self {
            Self::Pending => &[State::Queued, State::Leased, State::Suspended],
            Self::Delivered => &[State::Delivered],
            Self::Failed => &[State::Failed],
            Self::Removed => &[State::Removed],
            Self::Expanded | Self::Quarantined | Self::FilteredAsSpam | Self::GettingStatus => &[],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
            Self::Removed => "Removed",
            Self::Expanded => "Expanded",
            Self::Quarantined => "Quarantined",
            Self::FilteredAsSpam => "FilteredAsSpam",
            Self::GettingStatus => "GettingStatus",
        }
    }

    pub(crate) fn colour(self) -> Colour {
        match self {
            Self::Delivered | Self::Expanded => Colour::Green,
            Self::Pending | Self::GettingStatus => Colour::Yellow,
            Self::Failed | Self::Removed | Self::Quarantined | Self::FilteredAsSpam => Colour::Red,
        }
    }
}

/// The state's name, as in JSON.
pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Leased => "leased",
        State::Suspended => "suspended",
        State::Delivered => "delivered",
        State::Failed => "failed",
        State::Removed => "removed",
    }
}
