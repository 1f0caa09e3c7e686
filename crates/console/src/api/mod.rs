//! The HTTP API for programs: the same rows, filters and JSON as the commands.

mod error;
mod fleet;
mod graph;
mod incidents;
mod openapi;
mod over_time;
mod parameters;
mod query;
mod queue;
mod traces;
mod within;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware, routing::get};
use node::Node;

pub(crate) use error::ApiError;
pub use graph::read_filter;
pub use parameters::{parameters, read_parameters};
pub(crate) use within::{Found, page_within};

use super::{access, beside};

/// Maximum number of rows in one answer, the same as in Microsoft Graph.
const ROWS_MAX: u32 = 5000;
/// After this, a search answers with what it has found, and the client goes on from there.
pub(crate) const SEARCH_BUDGET: Duration = Duration::from_millis(400);

/// For a listener of the API.
pub(super) fn router(node: Arc<Node>) -> Router {
    let graph = || {
        Router::new().route("/messageTraces", get(graph::list)).route("/messageTraces/{id}/{call}", get(graph::details))
    };
    Router::new()
        .route("/api/v1/message-traces", get(traces::list))
        .route("/api/v1/message-traces/{id}/events", get(traces::events))
        .route("/api/v1/message-traces/{id}/attempts/{session}", get(traces::attempt))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::show))
        .route("/api/v1/queue/groups", get(queue::groups))
        .route("/api/v1/queue/counts", get(queue::counts))
        .route("/api/v1/nodes", get(fleet::nodes))
        .route("/api/v1/ledger", get(fleet::ledger))
        .route("/api/v1/tallies", get(over_time::tallies))
        .route("/api/v1/changes", get(over_time::list_changes))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .nest("/admin/exchange/tracing", graph())
        // The base address of scripts for Graph contains the version.
        .nest("/v1.0/admin/exchange/tracing", graph())
        .nest("/beta/admin/exchange/tracing", graph())
        .fallback(|| async { ApiError::not_found("no such path; /api/v1/openapi.json lists all paths") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&node), access::admit))
        // These come after the layer: they are not in the log.
        .merge(beside(&node, false))
        .with_state(node)
}
