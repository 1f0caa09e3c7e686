//! The HTTP API: message traces and incidents for programs, as the commands tell them; traces also in the shape of
//! Microsoft Graph.
//!
//! ```text
//!   connection ──serve──> admit (who asks?) ──> traces │ incidents │ graph │ openapi ──> store
//! ```
//!
//! Only what reads is here. A search shares nothing with the mail path: the store has threads for searches.

mod access;
mod error;
mod graph;
mod incidents;
mod openapi;
mod parameters;
mod places;
mod serve;
mod traces;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};

pub use access::hash;
use error::ApiError;
pub use graph::read_filter;
use node::Node;
pub use parameters::{parameters, read_parameters};
pub use serve::Listeners;

/// Most rows of one answer, as Microsoft Graph has it.
const ROWS_MAX: u32 = 5000;

fn router(node: Arc<Node>) -> Router {
    let graph = || {
        Router::new().route("/messageTraces", get(graph::list)).route("/messageTraces/{id}/{call}", get(graph::details))
    };
    Router::new()
        .route("/api/v1/message-traces", get(traces::list))
        .route("/api/v1/message-traces/{id}/events", get(traces::events))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::show))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .nest("/admin/exchange/tracing", graph())
        // Scripts for Graph have the version in their base address.
        .nest("/v1.0/admin/exchange/tracing", graph())
        .nest("/beta/admin/exchange/tracing", graph())
        .fallback(|| async { ApiError::not_found("there is nothing here; see /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&node), access::admit))
        .with_state(node)
}
