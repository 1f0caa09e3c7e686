//! Waiting deliveries in groups, read in one pass. The same pass counts the deliveries that match the conditions of a list.

use std::collections::HashMap;

use jiff::Timestamp;
use protocol::{
    host_port,
    smtp::{Destination, Failure},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{MessageKey, QueueCount, QueueRow, Selection, State, Store};
use trace::NextStep;
use uuid::Uuid;

use crate::{
    WaitReasons,
    queue_cause::{Cause, UNTRIED},
    units::Duration,
    views::schema,
};

/// The property that the deliveries of a group share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Failure of the last attempt.
    Cause,
    Connector,
    /// Host and port of the last attempt.
    Destination,
    /// Time since the message was received.
    Age,
}

impl By {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Connector => "connector",
            Self::Destination => "destination",
            Self::Age => "age",
        }
    }

    /// The options of `gatepost queue list` that select one group.
    fn options(self, group: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Connector => vec![("--connector", group.to_owned())],
            Self::Destination => vec![("--destination", group.to_owned())],
            Self::Age => Age::named(group).conditions(),
            Self::Cause => vec![("--cause", group.to_owned())],
        }
    }

    /// Sets the conditions that select one group.
    pub(crate) fn narrow(self, group: &str, selection: &mut Selection, conditions: &mut Conditions) {
        let group = group.to_owned();
        match self {
            Self::Connector => selection.connector = Some(group),
            Self::Destination => conditions.destination = Some(group),
            Self::Cause => conditions.cause = Some(group),
            Self::Age => {
                let Age { over, under, .. } = Age::named(&group);
                let bound = |bound: Option<(&str, i64)>| bound.and_then(|(text, _)| text.parse().ok());
                (conditions.older_than, conditions.younger_than) = (bound(over), bound(under));
            }
        }
    }
}

/// Conditions that the store cannot check. All that are set must match.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Conditions {
    /// Id of a cause, as in groups by cause.
    pub cause: Option<String>,
    /// Host and port.
    pub destination: Option<String>,
    pub older_than: Option<Duration>,
    pub younger_than: Option<Duration>,
}

/// The same conditions, ready to be checked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    cause: Option<String>,
    destination: Option<String>,
    received_until: Option<Timestamp>,
    received_after: Option<Timestamp>,
    /// The last failure of each paused connector. Its mail without an attempt waits because of it.
    paused: HashMap<String, Failure>,
}

impl Wanted {
    pub fn new(conditions: &Conditions, reasons: &WaitReasons<'_>, now: Timestamp) -> Self {
        let ago = |age: Duration| now.checked_sub(*age).unwrap_or(Timestamp::MIN);
        Self {
            cause: conditions.cause.clone(),
            destination: conditions.destination.clone(),
            received_until: conditions.older_than.map(ago),
            received_after: conditions.younger_than.map(ago),
            paused: reasons.paused().clone(),
        }
    }

    /// The same without conditions.
    pub fn of_any(&self) -> Self {
        Self { paused: self.paused.clone(), ..Self::default() }
    }

    pub fn includes(&self, connector: &str, received: Timestamp, failure: Option<&Failure>) -> bool {
        let failure = self.failure(connector, failure);
        self.received_until.is_none_or(|until| received <= until)
            && self.received_after.is_none_or(|after| received > after)
            && self.cause.as_ref().is_none_or(|cause| Cause::of(failure).id == *cause)
            && self.destination.as_ref().is_none_or(|wanted| destination(failure).eq_ignore_ascii_case(wanted))
    }

    /// The last failure of the delivery itself, otherwise of its connector while that is paused.
    pub fn failure<'a>(&'a self, connector: &str, own: Option<&'a Failure>) -> Option<&'a Failure> {
        own.or_else(|| self.paused.get(connector))
    }
}

fn with_port(to: &Destination) -> String {
    host_port::join(&to.host, Some(to.port))
}

fn note(names: &mut Vec<String>, name: Option<&str>) {
    let Some(name) = name.filter(|name| names.len() < NAMES_MAX && !names.iter().any(|known| known == name)) else {
        return;
    };
    names.push(name.to_owned());
}

fn destination(failure: Option<&Failure>) -> String {
    match failure {
        None => UNTRIED.to_owned(),
        Some(failure) => failure.destination.as_ref().map_or_else(|| "none".to_owned(), with_port),
    }
}

/// Deliveries that share a property.
#[derive(Clone, Debug)]
struct Group {
    /// The shared property in words.
    what: String,
    messages: u64,
    deliveries: u64,
    /// The last message that was counted: its deliveries follow each other.
    last: MessageKey,
    oldest: Timestamp,
    /// Time of the first next attempt; `None`: all deliveries are leased or suspended.
    due: Option<Timestamp>,
    example: Uuid,
    connectors: Vec<String>,
    destinations: Vec<String>,
}

/// Names that are kept of the connectors of a group, and of its destinations.
const NAMES_MAX: usize = 10;

/// One group. Every key is always present; a value that does not apply is null.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// Value of the option that selects this group, such as `--cause`.
    pub group: String,
    /// The shared property in words.
    pub what: String,
    pub messages: u64,
    pub deliveries: u64,
    /// Time when the oldest message was received.
    #[schemars(schema_with = "schema::time")]
    pub oldest: Timestamp,
    /// Time of the first next attempt; null: all deliveries are leased or suspended.
    #[schemars(schema_with = "schema::time_or_null")]
    pub due: Option<Timestamp>,
    /// Network message id of one of the messages.
    pub example: Uuid,
    /// The first connectors of the deliveries, at most 10.
    pub connectors: Vec<String>,
    /// Host and port of the first destinations of their last attempts, at most 10.
    pub destinations: Vec<String>,
    /// Command that lists the deliveries of this group.
    pub command: String,
}

/// The result of one pass over the queue.
#[derive(Debug)]
pub struct Summary {
    wanted: Wanted,
    by: Option<By>,
    now: Timestamp,
    groups: HashMap<String, Group>,
    /// The cause of the delivery before, because neighbours often failed in the same way.
    last_cause: Option<(Failure, Cause)>,
    pub counts: Vec<QueueCount>,
}

impl Summary {
    pub async fn read<S: Store>(
        store: &S,
        selection: Selection,
        wanted: Wanted,
        by: Option<By>,
        now: Timestamp,
    ) -> store::Result<Self> {
        let empty = Self { wanted, by, now, groups: HashMap::new(), last_cause: None, counts: Vec::new() };
        let mut summary = store.fold_queue(selection, empty, Self::add).await?;
        summary.counts.sort_by(|a, b| (&a.connector, a.state as u8).cmp(&(&b.connector, b.state as u8)));
        Ok(summary)
    }

    fn add(&mut self, row: &QueueRow<'_>) {
        if !self.wanted.includes(row.connector, row.received, row.failure) {
            return;
        }
        self.count(row);
        let Some(by) = self.by else { return };
        let failure = self.wanted.failure(row.connector, row.failure).cloned();
        let to = failure.as_ref().and_then(|failure| failure.destination.as_ref()).map(with_port);
        let (key, what) = match by {
            By::Cause => {
                let cause = self.cause(failure);
                (cause.id, cause.words)
            }
            By::Connector => (row.connector.to_owned(), row.connector.to_owned()),
            By::Destination => (destination(failure.as_ref()), destination(failure.as_ref())),
            By::Age => {
                let age = Age::of(row.received, self.now);
                (age.what.to_owned(), age.what.to_owned())
            }
        };
        let due = (row.state == State::Queued).then_some(row.due);
        let new = || Group {
            what,
            messages: 1,
            deliveries: 0,
            last: row.message,
            oldest: row.received,
            due,
            example: row.network_message_id,
            connectors: Vec::new(),
            destinations: Vec::new(),
        };
        let group = self.groups.entry(key).or_insert_with(new);
        group.deliveries += 1;
        group.messages += u64::from(group.last != row.message);
        group.last = row.message;
        group.oldest = group.oldest.min(row.received);
        group.due = [group.due, due].into_iter().flatten().min();
        note(&mut group.connectors, Some(row.connector));
        note(&mut group.destinations, to.as_deref());
    }

    fn count(&mut self, row: &QueueRow<'_>) {
        let is_same = |count: &&mut QueueCount| count.connector == row.connector && count.state == row.state;
        match self.counts.iter_mut().find(is_same) {
            Some(count) => {
                count.deliveries += 1;
                count.due = count.due.min(Some(row.due));
            }
            None => self.counts.push(QueueCount {
                connector: row.connector.to_owned(),
                state: row.state,
                deliveries: 1,
                due: Some(row.due),
            }),
        }
    }

    fn cause(&mut self, failure: Option<Failure>) -> Cause {
        match (&self.last_cause, failure) {
            (_, None) => Cause::of(None),
            (Some((known, cause)), Some(failure)) if *known == failure => cause.clone(),
            (_, Some(failure)) => {
                let cause = Cause::of(Some(&failure));
                self.last_cause = Some((failure, cause.clone()));
                cause
            }
        }
    }

    /// Sorted by size, the largest first; ages from the oldest on. `conditions` are the options that selected all of them.
    pub fn views(&self, conditions: &[(&'static str, String)]) -> Vec<GroupView> {
        let view = |(key, group): (&str, &Group)| GroupView {
            group: key.to_owned(),
            what: group.what.clone(),
            messages: group.messages,
            deliveries: group.deliveries,
            oldest: group.oldest,
            due: group.due,
            example: group.example,
            connectors: group.connectors.clone(),
            destinations: group.destinations.clone(),
            command: self.command(key, conditions).to_string(),
        };
        self.sorted().into_iter().map(view).collect()
    }

    /// The command that lists the deliveries of a group.
    fn command(&self, key: &str, conditions: &[(&'static str, String)]) -> NextStep {
        let own = self.by.unwrap_or(By::Cause).options(key);
        let others = conditions.iter().filter(|(option, _)| own.iter().all(|(own, _)| own != option));
        NextStep::QueueList(others.cloned().chain(own.clone()).collect())
    }

    /// Sorted by size, the largest first; ages from the oldest on.
    fn sorted(&self) -> Vec<(&str, &Group)> {
        let mut groups: Vec<(&str, &Group)> = self.groups.iter().map(|(key, group)| (key.as_str(), group)).collect();
        match self.by {
            Some(By::Age) => groups.sort_by_key(|(_, group)| group.oldest),
            _ => groups.sort_by(|(a_key, a), (b_key, b)| b.messages.cmp(&a.messages).then(a_key.cmp(b_key))),
        }
        groups
    }
}

/// A range of ages: at least `over` and less than `under`.
#[derive(Clone, Copy)]
pub(crate) struct Age {
    pub(crate) what: &'static str,
    over: Option<(&'static str, i64)>,
    under: Option<(&'static str, i64)>,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

pub(crate) const AGES: [Age; 5] = [
    Age { what: "under 5 minutes", over: None, under: Some(("5m", 5 * MINUTE)) },
    Age { what: "5 minutes to 1 hour", over: Some(("5m", 5 * MINUTE)), under: Some(("1h", HOUR)) },
    Age { what: "1 to 4 hours", over: Some(("1h", HOUR)), under: Some(("4h", 4 * HOUR)) },
    Age { what: "4 to 24 hours", over: Some(("4h", 4 * HOUR)), under: Some(("24h", DAY)) },
    Age { what: "1 day or more", over: Some(("24h", DAY)), under: None },
];

impl Age {
    fn of(received: Timestamp, now: Timestamp) -> Self {
        let age = now.duration_since(received).as_secs();
        let [.., last] = AGES;
        AGES.into_iter().find(|span| span.is_under(age)).unwrap_or(last)
    }

    /// An age in seconds is less than its upper end.
    pub(crate) fn is_under(&self, age: i64) -> bool {
        self.under.is_some_and(|(_, under)| age < under)
    }

    fn named(what: &str) -> Self {
        let [.., last] = AGES;
        AGES.into_iter().find(|span| span.what == what).unwrap_or(last)
    }

    fn conditions(self) -> Vec<(&'static str, String)> {
        let option =
            |option: &'static str, bound: Option<(&str, i64)>| bound.map(|(text, _)| (option, text.to_owned()));
        [option("--older-than", self.over), option("--younger-than", self.under)].into_iter().flatten().collect()
    }
}
