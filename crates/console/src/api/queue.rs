//! `/api/v1/queue`: what waits, in rows, in groups and in numbers, as `gatepost queue list` shows it; and commands on it.

use insight::{
    Acted, By, Choice, Conditions, GroupView, Summary, WaitReasons, Wanted, state_name,
    views::{CommandedView, CountView, DeliveryView},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Command, DeliveryKey, Queue as _, Right, Selection};

use super::{
    cursor::{self, AFTER},
    form::Form,
    listing::{self, LIMIT, limit},
    operation::{Acting, Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
};
use crate::choice::{self, STATES};

const LIST: &str = "/api/v1/queue";
const BY: [By; 4] = [By::Cause, By::Connector, By::Destination, By::Age];
/// Longest name of a connector, a cause or a destination.
const TEXT: Form = Form::Text(255);
const STATE: Form = Form::Name(|| STATES.map(state_name).to_vec());
/// Messages that one command names.
const MESSAGES_MAX: usize = 1000;

const OF_ROWS: [Parameter; 11] = [
    Parameter::new("connector", "Name of the connector", TEXT),
    Parameter::new("recipient", "Recipient's address, @domain, or a pattern with *", Form::Address),
    Parameter::new("sender", "Sender's address, @domain, <> for the null sender, or a pattern with *", Form::Address),
    Parameter::new("state", "State in the queue", STATE),
    Parameter::new("cause", "Cause of the wait, as groups by cause show it", TEXT),
    Parameter::new("destination", "Host and port of the last attempt, as groups by destination show them", TEXT),
    Parameter::new("older_than", "Received at least this long ago, such as 4h", Form::Span),
    Parameter::new("younger_than", "Received less than this long ago", Form::Span),
    Parameter::new("message", "Network message id", Form::Id),
    LIMIT,
    AFTER,
];

/// What an action is about, and how many deliveries its client has seen.
const OF_ACTION: [Parameter; 11] = [
    Parameter::new(
        "selection",
        "The deliveries that are meant: all conditions must hold; without any, all deliveries",
        Form::Object,
    )
    .required(),
    Parameter::new("selection.connector", "Name of the connector", TEXT),
    Parameter::new("selection.recipient", "Recipient's address, @domain, or a pattern with *", Form::Address),
    Parameter::new(
        "selection.sender",
        "Sender's address, @domain, <> for the null sender, or a pattern with *",
        Form::Address,
    ),
    Parameter::new("selection.state", "State in the queue", STATE),
    Parameter::new("selection.cause", "Cause of the wait, as groups by cause show it", TEXT),
    Parameter::new("selection.destination", "Host and port of the last attempt", TEXT),
    Parameter::new("selection.older_than", "Received at least this long ago, such as 4h", Form::Span),
    Parameter::new("selection.younger_than", "Received less than this long ago", Form::Span),
    Parameter::new("selection.message", "Network message ids", Form::Ids(MESSAGES_MAX)),
    Parameter::new(
        "expect",
        "How many deliveries match, as you have seen it. If more than a tenth more match now, nothing is changed",
        Form::Count { min: 0, max: 1_000_000_000 },
    )
    .required(),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(LIST, "listQueue", "List waiting deliveries by due time, one row per recipient", |asked| {
        Box::pin(list(asked))
    })
    .needs(Right::Tracer)
    .query(&OF_ROWS)
    .gives::<Rows>()
    .fails(&[Kind::NotFound])
    .commands(&["queue list"]),
    Operation::get(
        "/api/v1/queue/groups",
        "listQueueGroups",
        "List what waits, in groups that share a property",
        |asked| Box::pin(groups(asked)),
    )
    .needs(Right::Viewer)
    .query(&[Parameter::new(
        "by",
        "The property that the deliveries of a group share; cause by default",
        Form::Name(|| BY.map(By::name).to_vec()),
    )])
    .gives::<Groups>()
    .commands(&["queue list"])
    .polled(),
    Operation::get("/api/v1/queue/counts", "countQueue", "Count what waits, by connector and state", |asked| {
        Box::pin(counts(asked))
    })
    .needs(Right::Viewer)
    .gives::<Counts>()
    .commands(&["queue list"])
    .polled(),
    action("/api/v1/queue/retry", "retryDeliveries", "Make deliveries due now", |asked| {
        Box::pin(act(Command::Retry, asked))
    })
    .commands(&["queue retry"]),
    action(
        "/api/v1/queue/suspend",
        "suspendDeliveries",
        "Keep deliveries in the queue without attempts until you resume them; they still expire",
        |asked| Box::pin(act(Command::Suspend, asked)),
    )
    .commands(&["queue suspend"]),
    action("/api/v1/queue/resume", "resumeDeliveries", "End the suspension of deliveries", |asked| {
        Box::pin(act(Command::Resume, asked))
    })
    .commands(&["queue resume"]),
    action(
        "/api/v1/queue/remove",
        "removeDeliveries",
        "Remove deliveries from the queue without a notice to the sender",
        |asked| Box::pin(act(Command::Remove, asked)),
    )
    .needs(Right::Administrator)
    .commands(&["queue remove"]),
];

const fn action(path: &'static str, id: &'static str, summary: &'static str, act: fn(Asked) -> Acting) -> Operation {
    Operation::post(path, id, summary, act)
        .needs(Right::Operator)
        .takes(Takes::Json(&OF_ACTION))
        .gives::<CommandedView>()
        .fails(&[Kind::Conflict])
}

#[derive(Serialize, JsonSchema)]
struct Rows {
    /// By due time.
    deliveries: Vec<DeliveryView>,
    /// How many deliveries match, on all pages.
    total: u64,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Groups {
    /// The largest first; ages from the oldest on.
    groups: Vec<GroupView>,
    /// The property that the deliveries of a group share.
    by: &'static str,
    /// Deliveries in all groups.
    deliveries: u64,
}

#[derive(Serialize, JsonSchema)]
struct Counts {
    counts: Vec<CountView>,
}

/// The deliveries that a client means. `within`: what comes before the names of the conditions.
fn choice(query: &Query, within: &str) -> Result<Choice, Problem> {
    let conditions = query.pairs().filter_map(|(name, value)| Some((name.strip_prefix(within)?, value)));
    choice::read(conditions.filter(|(name, _)| choice::FIELDS.contains(name))).map_err(Problem::bad_request)
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let (now, config) = (Timestamp::now(), node.config.load());
    let reasons = WaitReasons::read(&node.store, &**config, now).await?;
    let (after, limit) = (cursor::read(LIST, &query, position)?, limit(&query, listing::ROWS)?);
    let page = choice(&query, "")?.page(&node.store, &reasons, limit, after, now).await?;
    let deliveries = page.records.iter().map(|record| DeliveryView::new(record, &reasons)).collect();
    let next = page.next.map(|(due, key)| cursor::write(&format!("{}-{}", due.as_millisecond(), key.0), LIST, &query));
    Reply::json(&Rows { deliveries, total: page.totals.deliveries, next })
}

async fn groups(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let by = query.named_value("by", &BY, By::name).unwrap_or(By::Cause);
    let (now, config) = (Timestamp::now(), node.config.load());
    let reasons = WaitReasons::read(&node.store, &**config, now).await?;
    let wanted = Wanted::new(&Conditions::default(), &reasons, now);
    let summary = Summary::read(&node.store, Selection::default(), wanted, Some(by), now).await?;
    let groups = summary.views(&[]);
    let deliveries = groups.iter().map(|group| group.deliveries).sum();
    Reply::json(&Groups { groups, by: by.name(), deliveries })
}

async fn counts(Asked { node, .. }: Asked) -> Result<Reply, Problem> {
    let counts = node.store.counts().await?;
    Reply::json(&Counts { counts: counts.iter().map(CountView::from).collect() })
}

fn position(text: &str) -> Option<(Timestamp, DeliveryKey)> {
    let (due, key) = text.split_once('-')?;
    Some((Timestamp::from_millisecond(due.parse().ok()?).ok()?, DeliveryKey(key.parse().ok()?)))
}

async fn act(command: Command, Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let (now, config) = (Timestamp::now(), node.config.load_full());
    let (choice, expect) = (choice(&query, "selection.")?, query.parsed("expect")?.unwrap_or(0));
    let reasons = WaitReasons::read(&node.store, &*config, now).await?;
    match choice.act(&node.store, &reasons, command, Some(expect), client.actor(), now).await? {
        Acted::Done(done) => Reply::json(&CommandedView::from(done)),
        Acted::MoreThanShown(found) => Err(Problem::conflict(format!(
            "{found} deliveries match now, and {expect} were expected; nothing was changed. Look again"
        ))),
    }
}
