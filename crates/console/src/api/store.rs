//! `/api/v1/store`: the fleet's PostgreSQL server, as `gatepost store check` shows it, and what is to become of mail that a
//! restored database holds.

use insight::{
    Moment,
    views::{AnsweredView, StoreCheckView},
};
use jiff::Timestamp;
use node::Node;
use store::{Backend, Fleet as _, PostgresStore, RestorationDecision, Right};

use super::{
    form::Form,
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        "/api/v1/store",
        "checkStore",
        "Show how the fleet's PostgreSQL server does, and warn of what becomes trouble",
        |asked| Box::pin(check(asked)),
    )
    .needs(Right::Viewer)
    .gives::<StoreCheckView>()
    .fails(&[Kind::Conflict])
    .commands(&["store check"]),
    Operation::post(
        "/api/v1/store/restored",
        "answerRestore",
        "Say what is to become of the mail that is held since the database was restored. The first answer counts",
        |asked| Box::pin(restored(asked)),
    )
    .needs(Right::Administrator)
    .takes(Takes::Json(&[Parameter::new(
        "deliver_since",
        "Deliver what was received at this time or later; without it, all of it stays suspended",
        Form::Moment,
    )]))
    .gives::<AnsweredView>()
    .fails(&[Kind::Conflict])
    .commands(&["store restored"]),
];

fn server(node: &Node) -> Result<&PostgresStore, Problem> {
    match &node.store {
        Backend::Postgres(server) => Ok(server),
        Backend::Sqlite(_) => {
            Err(Problem::conflict("the store is the node's data folder; only a fleet's server has this"))
        }
    }
}

async fn check(Asked { node, .. }: Asked) -> Result<Reply, Problem> {
    let health = server(&node)?.health().await?;
    let restoration = node.store.restoration().await?;
    let nodes = insight::nodes(&node.store).await?;
    Reply::json(&StoreCheckView::new(&health, &nodes, restoration.as_ref()))
}

async fn restored(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    server(&node)?;
    let since = query.parsed::<Moment>("deliver_since")?.map(|since| since.timestamp(Timestamp::now()));
    let decision = since.map_or(RestorationDecision::Hold, RestorationDecision::DeliverSince);
    match node.store.answer_restoration(decision, &client.name).await? {
        Some(answered) => Reply::json(&AnsweredView::from(&answered)),
        None => {
            Err(Problem::conflict("no node has noticed that the database was restored, and nothing is held for it"))
        }
    }
}
