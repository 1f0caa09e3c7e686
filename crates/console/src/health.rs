//! Answers for load balancers, which need no token and tell nothing about mail.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use node::Node;

/// The process runs.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The node takes mail; if it does not, 503 and why.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> (StatusCode, String) {
    match node.not_ready() {
        None => (StatusCode::OK, format!("ready\n{}", node.remark().map(|remark| remark + "\n").unwrap_or_default())),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
