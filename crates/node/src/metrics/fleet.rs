//! Figures that are the same on every node: the queue, incidents, the rollout. They come from the store.
//!
//! However many ask, the store is read at most once a second, and a long queue takes at most a tenth of the time of one
//! of the threads for searches. A scrape does not wait long: figures that come too late are there for the next one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use insight::{Connectors as _, WaitReasons, state_name};
use jiff::Timestamp;
use store::{Fleet as _, Incidents as _, Queue as _, QueueRow, Selection, State, StoredPlan};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{Node, config::Config, fleet};

/// Figures are read again after this time.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// After a slow reading, they are kept for this many times what it took.
const PAUSE_FACTOR: u32 = 10;
/// Who asks waits this long. Prometheus waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(4);
/// Older figures are not shown.
const AGE_MAX: Duration = Duration::from_secs(60);
/// There is at most one for each connector and cause.
const INCIDENTS_MAX: u32 = 100;
/// Connectors that the configuration does not have any more may have mail.
const CONNECTORS_MAX: usize = 100;

/// Why deliveries wait, without what takes a look at each of them. The first five are in JSON, too (`trace::Waiting`).
pub const REASONS: [&str; 6] = ["leased", "suspended", "no-route", "timer", "connector-backed-off", "due"];

#[derive(Clone, PartialEq, Debug, Default)]
pub struct FleetFigures {
    pub queues: BTreeMap<String, QueueFigures>,
    /// Open incidents by connector and cause.
    pub incidents: BTreeMap<(String, String), u64>,
    /// The share of the nodes that the plan moves, from 0 to 1; `None` if the plan cannot be read.
    pub rollout_share: Option<f64>,
    pub rollout_halted: Option<bool>,
}

/// What waits for one connector.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct QueueFigures {
    /// Deliveries by state, in the order of [`STATES`].
    pub states: [u64; 3],
    /// Deliveries by reason, in the order of [`REASONS`].
    pub reasons: [u64; REASONS.len()],
    /// How long ago the oldest message was received; `None`: nothing waits.
    pub oldest: Option<Duration>,
}

const STATES: [State; 3] = [State::Queued, State::Leased, State::Suspended];

impl QueueFigures {
    pub fn states(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATES.map(state_name).into_iter().zip(self.states)
    }

    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.reasons)
    }
}

/// The figures that were read last.
#[derive(Debug, Default)]
pub(super) struct LastRead {
    /// Held while they are read.
    reading: Mutex<()>,
    last: ArcSwapOption<(Instant, Duration, FleetFigures)>,
}

impl LastRead {
    fn are_fresh(&self) -> bool {
        self.last.load().as_ref().is_some_and(|last| last.0.elapsed() < last.1)
    }

    fn get(&self) -> Option<FleetFigures> {
        let last = self.last.load_full()?;
        (last.0.elapsed() < AGE_MAX.max(last.1)).then(|| last.2.clone())
    }
}

/// `None`: the store does not answer in time.
pub(super) async fn figures(node: &Arc<Node>) -> Option<FleetFigures> {
    let fleet = &node.metrics.fleet;
    if !fleet.are_fresh() {
        // A task of its own: it goes on if nobody waits for it any more.
        let _ = timeout(PATIENCE, tokio::spawn(read_again(Arc::clone(node)))).await;
    }
    fleet.get()
}

async fn read_again(node: Arc<Node>) {
    let fleet = &node.metrics.fleet;
    // Nobody waits for those who wait longer, and while the store hangs they would become more and more.
    let Ok(_reading) = timeout(PATIENCE, fleet.reading.lock()).await else { return };
    if fleet.are_fresh() {
        return;
    }
    let began = Instant::now();
    match read(&node).await {
        Ok(figures) => {
            let fresh_for = FRESH_FOR.max(began.elapsed() * PAUSE_FACTOR);
            fleet.last.store(Some(Arc::new((Instant::now(), fresh_for, figures))));
        }
        Err(error) => tracing::debug!(%error, "failed to read the store for metrics; leaving those of the fleet out"),
    }
}

async fn read(node: &Node) -> store::Result<FleetFigures> {
    let (now, store, config) = (Timestamp::now(), &node.store, node.config.load_full());
    let reasons = WaitReasons::read(store, &*config, now).await?;
    let paused = reasons.paused().keys().cloned().collect();
    let waits = Waits { now, paused, config: Arc::clone(&config), queues: BTreeMap::new() };
    let waits = store.fold_queue(Selection::default(), waits, Waits::add).await?;
    let mut queues = waits.queues;
    for connector in config.connector_names() {
        queues.entry(connector.to_owned()).or_default();
    }
    let mut incidents = BTreeMap::new();
    for incident in store.incidents(INCIDENTS_MAX).await?.into_iter().filter(|incident| incident.closed.is_none()) {
        *incidents.entry((incident.connector, incident.cause)).or_default() += 1;
    }
    let members = fleet::members(&store.reports().await?, now);
    let (rollout_share, rollout_halted) = rollout(store.plan().await?.as_ref(), &members);
    Ok(FleetFigures { queues, incidents, rollout_share, rollout_halted })
}

fn rollout(plan: Option<&StoredPlan>, members: &[String]) -> (Option<f64>, Option<bool>) {
    let Some(plan) = plan else { return (Some(0.0), Some(false)) };
    let Ok(rollout) = fleet::read(plan) else { return (None, None) };
    let moved = members.iter().filter(|node| rollout.moves(node)).count();
    let share = if members.is_empty() { 0.0 } else { moved as f64 / members.len() as f64 };
    (Some(share), Some(rollout.halted.is_some()))
}

/// The queue, as far as it was read.
struct Waits {
    now: Timestamp,
    /// Connectors that all nodes have paused.
    paused: HashSet<String>,
    config: Arc<Config>,
    queues: BTreeMap<String, QueueFigures>,
}

impl Waits {
    fn add(&mut self, row: &QueueRow<'_>) {
        let reason = self.reason(row);
        if !self.queues.contains_key(row.connector) {
            if self.queues.len() >= CONNECTORS_MAX {
                return;
            }
            self.queues.insert(row.connector.to_owned(), QueueFigures::default());
        }
        let Some(queue) = self.queues.get_mut(row.connector) else { return };
        let age = Duration::try_from(self.now.duration_since(row.received)).unwrap_or_default();
        queue.oldest = queue.oldest.max(Some(age));
        if let Some(state) = STATES.iter().position(|state| *state == row.state) {
            queue.states[state] += 1;
        }
        if let Some(reason) = REASONS.iter().position(|known| *known == reason) {
            queue.reasons[reason] += 1;
        }
    }

    /// In the order of `delivery::waiting`.
    fn reason(&self, row: &QueueRow<'_>) -> &'static str {
        match row.state {
            State::Leased => "leased",
            State::Suspended => "suspended",
            _ if !self.config.exists(row.connector) => "no-route",
            _ if row.due > self.now => "timer",
            _ if self.paused.contains(row.connector) => "connector-backed-off",
            _ => "due",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::ToSpan;
    use store::MessageKey;

    use super::*;

    #[test]
    fn the_queue_is_counted_by_connector_state_and_reason() {
        let text = "[[connector]]\nname = \"a\"\nhosts = [\"mx\"]\n[[connector]]\nname = \"b\"\nhosts = [\"mx\"]\n";
        let config = Config::parse(text, Path::new("gatepost.toml")).unwrap();
        let now = Timestamp::from_second(100_000).unwrap();
        let paused = HashSet::from(["b".to_owned()]);
        let mut waits = Waits { now, paused, config: Arc::new(config), queues: BTreeMap::new() };
        for (connector, state, due_in, age) in [
            ("a", State::Queued, -5, 10),
            ("a", State::Queued, 60, 3600),
            ("a", State::Leased, -5, 1),
            ("a", State::Suspended, -5, 1),
            ("b", State::Queued, 5, 1),
            ("b", State::Queued, -5, -7),
            ("gone", State::Queued, 60, 1),
        ] {
            waits.add(&QueueRow {
                delivery: store::DeliveryKey(1),
                message: MessageKey(1),
                network_message_id: uuid::Uuid::nil(),
                connector,
                state,
                received: now - age.seconds(),
                due: now + due_in.seconds(),
                failure: None,
            });
        }
        let queue = |connector: &str| waits.queues[connector].clone();
        assert_eq!(queue("a").states, [2, 1, 1]);
        assert_eq!(queue("a").reasons, [1, 1, 0, 1, 0, 1]);
        assert_eq!(queue("a").oldest, Some(Duration::from_secs(3600)));
        assert_eq!((queue("b").reasons, queue("b").oldest), ([0, 0, 0, 1, 1, 0], Some(Duration::from_secs(1))));
        assert_eq!(queue("gone").reasons, [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn the_rollout_is_the_share_of_the_nodes_that_it_moves() {
        let members = ["mx1", "mx2", "mx3", "mx4"].map(str::to_owned);
        let plan = |json: &str| {
            let at = Timestamp::UNIX_EPOCH;
            StoredPlan { version: 1, plan: json.to_owned(), at, by: String::new() }
        };
        let part = plan(r#"{"from":"legacy","to":"modern","percent":25,"nodes":["mx1"]}"#);
        assert_eq!(rollout(Some(&part), &members), (Some(0.25), Some(false)));
        let halted = plan(r#"{"from":"legacy","to":"modern","percent":100,"nodes":["mx1","mx2"],"halted":"why"}"#);
        assert_eq!(rollout(Some(&halted), &members), (Some(0.5), Some(true)));
        assert_eq!(rollout(Some(&plan("from a newer version")), &members), (None, None));
        assert_eq!(rollout(None, &members), (Some(0.0), Some(false)));
        assert_eq!(rollout(Some(&part), &[]), (Some(0.0), Some(false)));
    }
}
