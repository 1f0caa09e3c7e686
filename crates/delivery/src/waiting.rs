//! Why a delivery is still in the queue: one reason of a closed set, derived from the facts in the store.

use std::time::Duration;

use jiff::Timestamp;
use trace::{Doing, Limit, Waiting};

/// The state of a waiting delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueState {
    Queued,
    Leased,
    Suspended,
}

/// The facts that decide why a delivery waits.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub state: QueueState,
    pub due: Timestamp,
    /// Node and end of the lease.
    pub lease: Option<(&'a str, Timestamp)>,
    /// The current phase of its attempt, as the node reports it.
    pub doing: Option<&'a Doing>,
    pub suspended_by: Option<&'a str>,
    /// Suspended since the store was restored, until an operator answers.
    pub is_held: bool,
    pub connector: &'a str,
    pub connector_exists: bool,
    pub backed_off_until: Option<Timestamp>,
    /// The limit that its connector runs into, where it does.
    pub limited: Option<&'a Limit>,
    /// The newest report of any node.
    pub node_last_seen: Option<Timestamp>,
}

/// A node that has not reported for this long counts as stopped.
const NODE_SILENT: Duration = Duration::from_secs(30);

/// The first of these that applies: held since a restore, suspended, leased, no route, not due yet, no node, connector paused, connector at a
/// limit, about to start.
pub fn waiting(facts: &Facts, now: Timestamp) -> Waiting {
    let timer = Waiting::Timer { until: facts.due };
    if facts.is_held {
        return Waiting::Restored;
    }
    if facts.state == QueueState::Suspended {
        return Waiting::Suspended { by: facts.suspended_by.unwrap_or("unknown").to_owned() };
    }
    if let (QueueState::Leased, Some((node, until))) = (facts.state, facts.lease)
        && until > now
    {
        // A node at its limit holds more deliveries than it is sending.
        return match (facts.doing, facts.limited) {
            (None, Some(limit)) => Waiting::ConnectorLimit { limit: limit.clone() },
            (doing, _) => Waiting::Leased { node: node.to_owned(), until, doing: doing.cloned() },
        };
    }
    if !facts.connector_exists {
        return Waiting::NoRoute { connector: facts.connector.to_owned() };
    }
    if facts.due > now {
        return timer;
    }
    if facts.node_last_seen.is_none_or(|seen| seen < now.checked_sub(NODE_SILENT).unwrap_or(now)) {
        return Waiting::NoNode { last_seen: facts.node_last_seen };
    }
    if let Some(until) = facts.backed_off_until {
        return Waiting::ConnectorBackedOff { until };
    }
    match facts.limited {
        Some(limit) => Waiting::ConnectorLimit { limit: limit.clone() },
        None => timer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason() {
        let now = Timestamp::from_second(1000).unwrap();
        let t = |seconds| Timestamp::from_second(seconds).unwrap();
        let base = Facts {
            state: QueueState::Queued,
            due: t(900),
            lease: None,
            doing: None,
            suspended_by: None,
            is_held: false,
            connector: "c",
            connector_exists: true,
            backed_off_until: None,
            limited: None,
            node_last_seen: Some(t(999)),
        };
        let limit = &Limit::Concurrency(20);
        let table = [
            (Facts { due: t(2000), ..base }, "timer"),
            (base, "timer"),
            (Facts { limited: Some(limit), ..base }, "connector-limit"),
            (Facts { backed_off_until: Some(t(1100)), limited: Some(limit), ..base }, "connector-backed-off"),
            (Facts { due: t(2000), backed_off_until: Some(t(1100)), ..base }, "timer"),
            (Facts { state: QueueState::Suspended, suspended_by: Some("eve"), ..base }, "suspended"),
            (Facts { state: QueueState::Suspended, is_held: true, ..base }, "restored"),
            (Facts { state: QueueState::Leased, lease: Some(("n", t(1100))), ..base }, "leased"),
            (
                Facts { state: QueueState::Leased, lease: Some(("n", t(1100))), limited: Some(limit), ..base },
                "connector-limit",
            ),
            (Facts { state: QueueState::Leased, lease: Some(("n", t(900))), ..base }, "timer"),
            (Facts { connector_exists: false, due: t(2000), ..base }, "no-route"),
            (Facts { node_last_seen: Some(t(969)), backed_off_until: Some(t(1100)), ..base }, "no-node"),
            (Facts { node_last_seen: None, ..base }, "no-node"),
        ];
        for (facts, expected) in table {
            assert_eq!(waiting(&facts, now).name(), expected, "{facts:?}");
        }
    }
}
