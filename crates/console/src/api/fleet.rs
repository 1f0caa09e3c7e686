//! `/api/v1/nodes`, `/api/v1/ledger`: the fleet, and what it delivered with little protection; the same JSON as `gatepost node
//! list` and `gatepost policy ledger`.

use std::sync::Arc;

use axum::{Json, extract::State};
use insight::views::{LedgerView, NodeView};
use node::Node;
use schemars::JsonSchema;
use serde::Serialize;
use store::Fleet as _;

use super::ApiError;

#[derive(Serialize, JsonSchema)]
pub(super) struct Nodes {
    /// All nodes that have ever joined, by name.
    nodes: Vec<NodeView>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Ledger {
    /// By destination, policy and result; the latest first.
    ledger: Vec<LedgerView>,
}

pub(super) async fn nodes(State(node): State<Arc<Node>>) -> Result<Json<Nodes>, ApiError> {
    Ok(Json(Nodes { nodes: insight::nodes(&node.store).await? }))
}

pub(super) async fn ledger(State(node): State<Arc<Node>>) -> Result<Json<Ledger>, ApiError> {
    let ledger = node.store.ledger().await?;
    Ok(Json(Ledger { ledger: ledger.iter().map(LedgerView::from).collect() }))
}
