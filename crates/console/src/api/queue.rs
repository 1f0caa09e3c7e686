//! `/api/v1/queue`: what waits, in groups and in numbers, as `gatepost queue list --by` shows it.

use insight::{By, Conditions, GroupView, Summary, WaitReasons, Wanted, views::CountView};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Queue as _, Right, Selection};

use super::{
    form::Form,
    operation::{Asked, Operation},
    problem::Problem,
    query::Parameter,
    reply::Reply,
};

const BY: [By; 4] = [By::Cause, By::Connector, By::Destination, By::Age];

pub(super) const OPERATIONS: &[Operation] = &[
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
];

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
