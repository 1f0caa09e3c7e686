//! The change log: what was done to the fleet, by whom, and what has changed about destinations ([`trace::change`]).
//!
//! A method of a store that changes something for an operator records that in its own transaction. Nodes record the
//! rest: that they start, stop and reload, and what destinations show of themselves.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::{Timestamp, ToSpan};
use trace::{
    Change, ChangeKind,
    change::{
        AppliedConfiguration, DestinationChange, DestinationFacts, IncidentChange, QueueAction, QueueCommand,
        QueueSelection, RolloutStep, withheld,
    },
};
use uuid::Uuid;

use crate::{Actor, Command, Commanded, Incident, NewConfiguration, Result, Selection};

/// What was changed. Nothing is decided by it.
pub trait ChangeLog {
    /// Records a change, with the time of the store's clock.
    fn record_change(&self, change: NewChange) -> impl Future<Output = Result<()>> + Send;

    /// Notes what a node has seen of destinations. What differs from what it had seen before is recorded as a change,
    /// unless another node has just recorded the same, or that address changes all the time.
    fn note_destinations(&self, node: &str, seen: Vec<SeenDestination>) -> impl Future<Output = Result<()>> + Send;

    /// What each node has seen last of a host, or of all hosts, by host, address and node. Gives way to mail.
    fn destinations(
        &self,
        host: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<KnownDestination>>> + Send;

    /// The newest first.
    fn changes(&self, query: ChangeQuery) -> impl Future<Output = Result<Vec<Change>>> + Send;

    /// Deletes changes that are older, and of the destinations that a node has seen all but the newest
    /// [`DESTINATIONS_MAX`]. Returns how many changes.
    fn forget_changes(&self, age: Duration) -> impl Future<Output = Result<u64>> + Send;
}

/// Addresses that are remembered for each node: MX records lead to any number.
pub(crate) const DESTINATIONS_MAX: u32 = 4000;

/// What is beyond [`DESTINATIONS_MAX`]; the same SQL for both engines.
pub(crate) fn forget_destinations() -> String {
    format!(
        "DELETE FROM destination WHERE (node, host, address) IN (
             SELECT node, host, address FROM (
                 SELECT node, host, address, row_number() OVER (PARTITION BY node ORDER BY at DESC) AS place FROM destination
             ) AS placed WHERE place > {DESTINATIONS_MAX})"
    )
}

/// A change that is to be recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct NewChange {
    /// The node that it is about, or that saw it. `None`: it is about the fleet.
    pub node: Option<String>,
    /// The operator, or what [`by_node`] says.
    pub who: String,
    /// The operator's address, if it came over HTTP.
    pub from: Option<IpAddr>,
    pub kind: ChangeKind,
}

/// Who makes a change that no operator has asked for.
pub fn by_node(node: &str) -> String {
    format!("node {node}")
}

impl NewChange {
    /// About the fleet.
    pub(crate) fn of_fleet(by: impl Into<Actor>, kind: ChangeKind) -> Self {
        let Actor { name, address } = by.into();
        Self { node: None, who: name, from: address, kind }
    }

    /// A node acts on its own.
    pub fn of_node(node: &str, kind: ChangeKind) -> Self {
        Self { node: Some(node.to_owned()), who: by_node(node), from: None, kind }
    }
}

/// What one address of a destination has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenDestination {
    pub host: String,
    pub address: SocketAddr,
    pub facts: DestinationFacts,
}

/// What a node has seen last of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownDestination {
    pub node: String,
    /// When the node has seen it so for the first time since it was otherwise.
    pub at: Timestamp,
    pub seen: SeenDestination,
}

/// Which changes to read; all given conditions must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangeQuery {
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Names of kinds; empty: any.
    pub kinds: Vec<String>,
    pub node: Option<String>,
    pub who: Option<String>,
    /// Also what only the audit has: [`AccessChange`].
    pub audit: bool,
    pub limit: u32,
    /// The rows that come after this one.
    pub after: Option<ChangeCursor>,
}

/// A change's place among all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeCursor {
    pub at: Timestamp,
    pub id: Uuid,
}

impl From<&Change> for ChangeCursor {
    fn from(change: &Change) -> Self {
        Self { at: change.at, id: change.id }
    }
}

/// `None`: it met nothing.
pub(crate) fn queue_command(command: Command, selection: &Selection, done: Commanded) -> Option<ChangeKind> {
    if done == Commanded::default() {
        return None;
    }
    let Selection { message, connector, recipient, sender, state, chosen } = selection;
    let selection = QueueSelection {
        message: *message,
        connector: connector.clone(),
        recipient: recipient.as_deref().map(withheld),
        sender: sender.as_deref().map(withheld),
        state: state.and_then(|state| serde_json::to_value(state).ok()?.as_str().map(str::to_owned)),
        chosen: chosen.as_ref().map(|chosen| chosen.by.clone()).unwrap_or_default(),
    };
    let command = match command {
        Command::Retry => QueueAction::Retry,
        Command::Suspend => QueueAction::Suspend,
        Command::Resume => QueueAction::Resume,
        Command::Remove => QueueAction::Remove,
    };
    let Commanded { changed: deliveries, leased } = done;
    Some(ChangeKind::QueueCommand(QueueCommand { command, selection, deliveries, leased }))
}

/// The plan is JSON with the keys of a [`RolloutStep`]; what has other keys is recorded with its version alone.
pub(crate) fn plan(version: u64, plan: &str) -> ChangeKind {
    let step: RolloutStep = serde_json::from_str(plan).unwrap_or_default();
    ChangeKind::RolloutSet(RolloutStep { version, ..step })
}

pub(crate) fn drain(is_drained: bool) -> ChangeKind {
    if is_drained { ChangeKind::NodeDrained } else { ChangeKind::NodeResumed }
}

pub(crate) fn configuration(version: u64, new: &NewConfiguration) -> ChangeKind {
    let NewConfiguration { comment, repeats, settings, .. } = new;
    ChangeKind::ConfigurationApplied(AppliedConfiguration {
        version,
        repeats: *repeats,
        comment: comment.clone(),
        settings: settings.clone(),
    })
}

/// What storing an incident changes. `was_open`: as it was stored before; `None`: it was not.
pub(crate) fn incident(was_open: Option<bool>, incident: &Incident) -> Vec<ChangeKind> {
    let Incident { id, connector, destination, cause, closed, .. } = incident;
    let change = || IncidentChange {
        incident: *id,
        connector: connector.clone(),
        destination: destination.clone(),
        cause: cause.clone(),
    };
    let opened = was_open.is_none().then(|| ChangeKind::IncidentOpened(change()));
    let closed = closed.filter(|_| was_open != Some(false));
    let closed =
        closed.map(|(_, because)| ChangeKind::IncidentClosed { incident: change(), because: because.to_string() });
    opened.into_iter().chain(closed).collect()
}

/// Several nodes see the same change within this time: it is recorded once.
const SAME_WITHIN_MINUTES: i64 = 10;
/// Changes of one address that are recorded in a day. Behind a load balancer, servers that differ may answer in turn.
const CHANGES_A_DAY: usize = 10;

/// From when on the changes of destinations are needed to know whether one is worth recording.
pub(crate) fn destinations_since(now: Timestamp) -> Timestamp {
    now - 24.hours()
}

/// What has changed since a node saw that address last, if it is worth recording. `recent`: the changes of destinations of
/// the past day.
pub(crate) fn destination(
    seen: &SeenDestination,
    before: &DestinationFacts,
    recent: &[(Timestamp, ChangeKind)],
    now: Timestamp,
) -> Option<ChangeKind> {
    let SeenDestination { host, address, facts } = seen;
    let differences = facts.since(before);
    if differences.is_empty() {
        return None;
    }
    let change =
        ChangeKind::DestinationChanged(DestinationChange { host: host.clone(), address: *address, differences });
    let since = now - SAME_WITHIN_MINUTES.minutes();
    let is_known = recent.iter().any(|(at, kind)| *at >= since && *kind == change);
    let is_of_address = |kind: &ChangeKind| match kind {
        ChangeKind::DestinationChanged(other) => other.host == *host && other.address == *address,
        _ => false,
    };
    let of_address = recent.iter().filter(|(_, kind)| is_of_address(kind)).count();
    (!is_known && of_address < CHANGES_A_DAY).then_some(change)
}
