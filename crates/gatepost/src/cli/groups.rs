//! `queue list --by`: what waits, in groups, read in one pass. The same pass counts what a list's conditions select.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use insight::{WaitReasons, json};
use jiff::Timestamp;
use protocol::smtp::{Destination, Failure};
use serde_json::json;
use store::{MessageKey, QueueCount, QueueRow, Selection, State, Store};
use trace::NextStep;
use uuid::Uuid;

use super::{
    arguments::{By, Filter, ListFilter},
    cause::{Cause, UNTRIED},
    screen::{Screen, counted, grouped},
    table::{Cell, Column, Table},
};

/// Conditions beyond what the store selects by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    cause: Option<String>,
    destination: Option<String>,
    received_until: Option<Timestamp>,
    received_after: Option<Timestamp>,
    /// The last failure of each paused connector: what its untried mail waits for.
    paused: HashMap<String, Failure>,
}

impl Wanted {
    pub(crate) fn new(filter: &ListFilter, reasons: &WaitReasons<'_>, now: Timestamp) -> Self {
        let ago = |duration: node::config::Duration| now.checked_sub(*duration).unwrap_or(Timestamp::MIN);
        Self {
            cause: filter.cause.clone(),
            destination: filter.destination.clone(),
            received_until: filter.older_than.map(ago),
            received_after: filter.younger_than.map(ago),
            paused: reasons.paused().clone(),
        }
    }

    pub(crate) fn includes(&self, connector: &str, received: Timestamp, failure: Option<&Failure>) -> bool {
        let failure = self.failure(connector, failure);
        self.received_until.is_none_or(|until| received <= until)
            && self.received_after.is_none_or(|after| received > after)
            && self.cause.as_ref().is_none_or(|cause| Cause::of(failure).id == *cause)
            && self.destination.as_ref().is_none_or(|wanted| destination(failure).eq_ignore_ascii_case(wanted))
    }

    /// The delivery's own last failure, or else that of its connector while it is paused.
    pub(crate) fn failure<'a>(&'a self, connector: &str, own: Option<&'a Failure>) -> Option<&'a Failure> {
        own.or_else(|| self.paused.get(connector))
    }
}

fn destination(failure: Option<&Failure>) -> String {
    let with_port = |to: &Destination| format!("{}:{}", to.host, to.port);
    match failure {
        None => UNTRIED.to_owned(),
        Some(failure) => failure.destination.as_ref().map_or_else(|| "none".to_owned(), with_port),
    }
}

/// Deliveries that have something in common.
#[derive(Clone, Debug)]
struct Group {
    /// In words.
    what: String,
    messages: u64,
    deliveries: u64,
    /// The deliveries of a message follow each other.
    last: MessageKey,
    oldest: Timestamp,
    /// When the first of them is tried next; `None`: all are leased or suspended.
    due: Option<Timestamp>,
    example: Uuid,
}

/// What a pass over the queue found.
#[derive(Debug)]
pub(crate) struct Summary {
    wanted: Wanted,
    by: Option<By>,
    now: Timestamp,
    groups: HashMap<String, Group>,
    /// Deliveries that follow each other often failed alike.
    last_cause: Option<(Failure, Cause)>,
    pub counts: Vec<QueueCount>,
}

impl Summary {
    pub(crate) async fn read<S: Store>(
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
        };
        let group = self.groups.entry(key).or_insert_with(new);
        group.deliveries += 1;
        group.messages += u64::from(group.last != row.message);
        group.last = row.message;
        group.oldest = group.oldest.min(row.received);
        group.due = [group.due, due].into_iter().flatten().min();
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

    /// The largest first; ages from the oldest on.
    fn sorted(&self) -> Vec<(&str, &Group)> {
        let mut groups: Vec<(&str, &Group)> = self.groups.iter().map(|(key, group)| (key.as_str(), group)).collect();
        match self.by {
            Some(By::Age) => groups.sort_by_key(|(_, group)| group.oldest),
            _ => groups.sort_by(|(a_key, a), (b_key, b)| b.messages.cmp(&a.messages).then(a_key.cmp(b_key))),
        }
        groups
    }

    /// The command that lists the deliveries of a group.
    fn command(&self, key: &str, conditions: &[(&'static str, String)]) -> NextStep {
        let own = match self.by {
            Some(By::Connector) => vec![("--connector", key.to_owned())],
            Some(By::Destination) => vec![("--destination", key.to_owned())],
            Some(By::Age) => Age::named(key).conditions(),
            Some(By::Cause) | None => vec![("--cause", key.to_owned())],
        };
        let others = conditions.iter().filter(|(option, _)| own.iter().all(|(own, _)| own != option));
        NextStep::QueueList(others.cloned().chain(own.clone()).collect())
    }

    pub(crate) fn write(
        &self,
        conditions: &[(&'static str, String)],
        screen: &Screen,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let title = match self.by {
            Some(By::Connector) => "CONNECTOR",
            Some(By::Destination) => "DESTINATION",
            Some(By::Age) => "AGE",
            Some(By::Cause) | None => "CAUSE",
        };
        let columns = [
            Column::number("MESSAGES"),
            Column::number("DELIVERIES").spare(2),
            Column::number("OLDEST"),
            Column::whole("NEXT"),
            Column::whole("EXAMPLE").spare(1),
            Column::wrapped(title, 28),
        ];
        let groups = self.sorted();
        let row = |(_, group): &(&str, &Group)| {
            vec![
                Cell::new(grouped(group.messages)),
                Cell::new(grouped(group.deliveries)),
                Cell::new(screen.age(group.oldest)),
                Cell::new(group.due.map(|due| screen.until(due)).unwrap_or_default()),
                Cell::id(group.example),
                Cell::new(&group.what),
            ]
        };
        let rows: Vec<_> = groups.iter().map(row).collect();
        let notes: Vec<String> = groups.iter().map(|(key, _)| self.command(key, conditions).to_string()).collect();
        Table::new(&columns, screen).write_with_notes(&rows, &notes, out)?;
        let deliveries = groups.iter().map(|(_, group)| group.deliveries).sum();
        let several = counted(groups.len() as u64, "group", "groups");
        writeln!(out, "\n{} in {several}.", counted(deliveries, "delivery", "deliveries"))
    }

    pub(crate) fn write_json(&self, conditions: &[(&'static str, String)], out: &mut dyn Write) -> io::Result<()> {
        let groups = self.sorted();
        let by = match self.by {
            Some(By::Connector) => "connector",
            Some(By::Destination) => "destination",
            Some(By::Age) => "age",
            Some(By::Cause) | None => "cause",
        };
        let mut list = json::List::open("groups", out)?;
        for (key, group) in &groups {
            list.push(&json!({
                "group": key,
                "what": group.what,
                "messages": group.messages,
                "deliveries": group.deliveries,
                "oldest": group.oldest,
                "due": group.due,
                "example": group.example,
                "command": self.command(key, conditions).to_string(),
            }))?;
        }
        let deliveries: u64 = groups.iter().map(|(_, group)| group.deliveries).sum();
        list.close(&format!(",\n\"by\": \"{by}\", \"deliveries\": {deliveries}"))
    }
}

/// A span of ages, from `over` on and below `under`.
#[derive(Clone, Copy)]
struct Age {
    what: &'static str,
    over: Option<(&'static str, i64)>,
    under: Option<(&'static str, i64)>,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

const AGES: [Age; 5] = [
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
        AGES.into_iter().find(|span| span.under.is_some_and(|(_, under)| age < under)).unwrap_or(last)
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

/// The options that were given, for a command that selects within them.
pub(crate) fn conditions(filter: &Filter, more: &ListFilter) -> Vec<(&'static str, String)> {
    let state = filter.state.and_then(|state| clap::ValueEnum::to_possible_value(&state));
    [
        ("--message", filter.message.map(|id| id.to_string())),
        ("--connector", filter.connector.clone()),
        ("--recipient", filter.recipient.clone()),
        ("--sender", filter.sender.clone()),
        ("--state", state.map(|state| state.get_name().to_owned())),
        ("--cause", more.cause.clone()),
        ("--destination", more.destination.clone()),
        ("--older-than", more.older_than.map(|duration| duration.to_string())),
        ("--younger-than", more.younger_than.map(|duration| duration.to_string())),
    ]
    .into_iter()
    .filter_map(|(option, value)| Some((option, value?)))
    .collect()
}
