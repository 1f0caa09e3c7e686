//! What a node serves over HTTP: the console, which people see in a browser; the API for programs, with the same JSON as the
//! commands and also in the form of Microsoft Graph; metrics for Prometheus.
//!
//! ```text
//!   connection ──serve──> [console] pages::visitors (who looks?)  ──> pages ──┐
//!                    ├──> [api]     access::admit (who asks?)     ──> api ────┼──> insight ──> store
//!                    ├──> [metrics] access::admit_to_metrics      ──> metrics ┘
//!                    └──> health
//! ```
//!
//! Searches do not slow mail down, because the store has its own threads for them.

mod access;
mod api;
mod choice;
mod connection;
mod health;
mod metrics;
mod pages;
mod places;
mod process;
mod serve;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};
use node::Node;

pub use access::{create_token, hash, new_token};
pub use api::{OperationFacts, operations, parameters, read_filter, read_parameters};
pub use serve::Listeners;

use api::Problem;

/// For a listener of metrics alone.
fn metrics_router(node: Arc<Node>) -> Router {
    Router::new()
        .merge(beside(&node, true))
        .fallback(|| async { Problem::not_found("no such path; this address serves /metrics, /healthz and /readyz") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(node)
}

/// What each listener has: metrics, and health, for which nobody needs a token.
fn beside(node: &Arc<Node>, is_metrics_listener: bool) -> Router<Arc<Node>> {
    let admit = middleware::from_fn_with_state((Arc::clone(node), is_metrics_listener), access::admit_to_metrics);
    Router::new()
        .route("/metrics", get(metrics::serve))
        .layer(admit)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
}
