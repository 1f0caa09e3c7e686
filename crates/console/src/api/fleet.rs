//! `/api/v1/nodes`, `/api/v1/ledger`: the fleet, and what it delivered with little protection; the same JSON as `gatepost node
//! list` and `gatepost policy ledger`.

use insight::views::{LedgerView, NodeView};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Fleet as _, Right};

use super::{
    form::Form,
    listing::{self, PAGE},
    operation::{Asked, Operation},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

const NODES: &str = "/api/v1/nodes";
const LEDGER: &str = "/api/v1/ledger";
const NAME: Parameter = Parameter::new("name", "Name of the node", Form::Text(255));

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        NODES,
        "listNodes",
        "List the nodes of the fleet: who runs, what each does, and who is drained",
        |asked| Box::pin(nodes(asked)),
    )
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Nodes>()
    .fails(&[Kind::NotFound])
    .commands(&["node list"])
    .polled(),
    Operation::post(
        "/api/v1/nodes/{name}/drain",
        "drainNode",
        "Let a node take no new mail, and finish what it holds",
        |asked| Box::pin(drain(asked, true)),
    )
    .needs(Right::Operator)
    .in_path(&[NAME])
    .gives::<NodeView>()
    .fails(&[Kind::NotFound])
    .commands(&["node drain"]),
    Operation::post("/api/v1/nodes/{name}/resume", "resumeNode", "Let a drained node take mail again", |asked| {
        Box::pin(drain(asked, false))
    })
    .needs(Right::Operator)
    .in_path(&[NAME])
    .gives::<NodeView>()
    .fails(&[Kind::NotFound])
    .commands(&["node resume"]),
    Operation::get(
        LEDGER,
        "listLedger",
        "List deliveries in plaintext or below the TLS policy modern, by destination",
        |asked| Box::pin(ledger(asked)),
    )
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Ledger>()
    .fails(&[Kind::NotFound])
    .commands(&["policy ledger"]),
];

#[derive(Serialize, JsonSchema)]
struct Nodes {
    /// All nodes that have ever joined, by name.
    nodes: Vec<NodeView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Ledger {
    /// By destination, policy and result; the latest first.
    ledger: Vec<LedgerView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

async fn nodes(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let nodes = insight::nodes(&node.store).await?;
    let (nodes, next) = listing::page(NODES, &query, nodes, |node| node.node.clone())?;
    Reply::json(&Nodes { nodes, next })
}

async fn drain(Asked { node, query, client, .. }: Asked, is_drained: bool) -> Result<Reply, Problem> {
    let name = query.given("name");
    let no_node = || Problem::not_found(format!("no node is named \"{}\"", protocol::text::clean(name)));
    if !node.store.drain(name, is_drained, &client.name).await? {
        return Err(no_node());
    }
    let nodes = insight::nodes(&node.store).await?;
    Reply::json(nodes.iter().find(|node| node.node == name).ok_or_else(no_node)?)
}

async fn ledger(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let ledger = node.store.ledger().await?;
    let ledger: Vec<LedgerView> = ledger.iter().map(LedgerView::from).collect();
    let name =
        |row: &LedgerView| format!("{:?}", (&row.host, row.port, &row.connector, &row.tls_policy, &row.tls, &row.why));
    let (ledger, next) = listing::page(LEDGER, &query, ledger, name)?;
    Reply::json(&Ledger { ledger, next })
}
