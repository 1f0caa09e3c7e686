//! The HTTP API for programs: the same rows, filters and JSON as the commands.
//!
//! ```text
//!   request ──access::admit (who?)──> Operation (needs, takes, gives) ──query.rs, form.rs──> a resource's own file
//!                                        ├──> openapi.rs                                          │
//!                                        └──> the test that compares commands with operations     └──> reply.rs, problem.rs
//! ```
//!
//! A resource's file has a table of operations with their handlers. Nothing is read from a request but by those tables.

mod body;
mod configuration;
mod cursor;
mod destinations;
mod events;
mod examples;
mod findings;
mod fleet;
mod form;
mod graph;
mod incident_files;
mod incidents;
mod jobs;
mod listing;
mod openapi;
mod operation;
mod operations;
mod over_time;
mod parameters;
mod people;
mod pieces;
mod problem;
mod query;
mod queue;
mod reply;
mod rollout;
mod store;
mod time;
mod tokens;
mod traces;
mod within;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    middleware,
    routing::{get, on},
};
use node::Node;
use serde_json::Value;

pub use graph::read_filter;
pub(crate) use parameters::SEARCH;
pub use parameters::{parameters, read_parameters};
pub(crate) use people::AuditSearch;
pub(super) use problem::Problem;
pub(crate) use within::{Found, page_within};

use super::{
    access::{self, Client},
    beside,
};
use operation::Operation;

/// Maximum number of rows in one answer, the same as in Microsoft Graph.
const ROWS_MAX: u32 = 5000;
/// After this, a search answers with what it has found, and the client goes on from there.
pub(crate) const SEARCH_BUDGET: Duration = Duration::from_millis(400);

const OPENAPI: &str = "/api/v1/openapi.json";

/// The document never changes while the program runs.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let about = "Message traces, queue, incidents, fleet and rollouts of an inbound mail gateway. Message traces are also \
                 served in the form of Microsoft Graph, below /v1.0/admin/exchange/tracing; Microsoft describes that form.";
    openapi::document("Gatepost", about, operations::all())
});

/// For a listener of the API.
pub(super) fn router(node: Arc<Node>) -> Router {
    let graph = || {
        Router::new().route("/messageTraces", get(graph::list)).route("/messageTraces/{id}/{call}", get(graph::details))
    };
    operations::all()
        .fold(Router::new(), serve)
        .nest("/admin/exchange/tracing", graph())
        // The base address of scripts for Graph contains the version.
        .nest("/v1.0/admin/exchange/tracing", graph())
        .nest("/beta/admin/exchange/tracing", graph())
        .fallback(|| async { Problem::not_found(format!("no such path; {OPENAPI} lists all paths")) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&node), access::admit))
        .layer(middleware::from_fn(graph::speak_odata))
        // These come after the layers: nobody needs a token for them, and they are not in the log.
        .route(OPENAPI, get(|| async { Json(&*DOCUMENT) }))
        .merge(beside(&node, false))
        .with_state(node)
}

fn serve(router: Router<Arc<Node>>, operation: &'static Operation) -> Router<Arc<Node>> {
    let answer = move |State(node): State<Arc<Node>>,
                       Extension(client): Extension<Client>,
                       path: Result<RawPathParams, RawPathParamsRejection>,
                       request: Request| operation.answer(node, client, path, request);
    router.route(operation.path, on(operation.method.filter(), answer))
}

/// An operation as tests see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperationFacts {
    /// Such as `GET /api/v1/nodes`.
    pub name: String,
    /// The commands that do the same.
    pub commands: &'static [&'static str],
}

/// Every operation of the API.
pub fn operations() -> Vec<OperationFacts> {
    let facts = |operation: &Operation| OperationFacts {
        name: format!("{} {}", operation.method.name().to_ascii_uppercase(), operation.path),
        commands: operation.commands,
    };
    operations::all().map(facts).collect()
}
