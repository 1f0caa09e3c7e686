//! The console's pages: HTML that the server renders, which needs no script.
//!
//! ```text
//!   request ──visitors──> Site (path, right) ──> a page's own file ──> Visit::page ──> shell.rs (menu), document.rs (head, headers)
//!                                                        └── words.rs (times, numbers, foreign text), picture/ (SVG)
//! ```
//!
//! A GET changes nothing. A POST answers 303 and leads to the page that shows the result.

#![allow(dead_code, reason = "the skeleton of pages that are being built")]

mod asked;
mod assets;
mod connectors;
mod destinations;
mod document;
#[cfg(test)]
mod fleet_tests;
mod form;
mod jobs;
mod nodes;
mod outcome_table;
mod overview;
mod paths;
mod policies;
mod refusal;
mod rollout;
mod shell;
mod site;
mod visitors;
mod words;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
};
use node::Node;
use store::Right;

use refusal::Refusal;
use site::Site;

use super::beside;

/// For a listener of the console.
pub(super) fn router(node: Arc<Node>) -> Router {
    site()
        .router()
        .fallback(|| async { Refusal::not_found("There is no such page.") })
        .layer(middleware::from_fn_with_state(Arc::clone(&node), visitors::visit))
        .merge(beside(&node, false))
        .with_state(node)
}

/// Each page and each action, with the right that it needs.
fn site() -> Site {
    use Right::{Operator, Viewer};
    let pages: [(&'static str, Right, MethodRouter<Arc<Node>>); 16] = [
        ("/", Viewer, get(overview::show)),
        ("/rollout", Viewer, get(rollout::show)),
        ("/rollout", Operator, post(rollout::change)),
        ("/policies", Viewer, get(policies::list)),
        ("/policies/{name}/impact", Viewer, get(policies::impact)),
        ("/nodes", Viewer, get(nodes::list)),
        ("/nodes/{name}", Viewer, get(nodes::show)),
        ("/nodes/{name}/drain", Operator, post(nodes::drain)),
        ("/nodes/{name}/resume", Operator, post(nodes::resume)),
        ("/destinations", Viewer, get(destinations::list)),
        ("/destinations/{name}", Viewer, get(destinations::show)),
        ("/connectors/{name}", Viewer, get(connectors::show)),
        ("/probes", Operator, post(jobs::probe)),
        ("/validations", Operator, post(jobs::validate)),
        ("/jobs/{id}", Operator, get(jobs::show)),
        ("/jobs/{id}/cancel", Operator, post(jobs::cancel)),
    ];
    let site = Site::new().open("/assets/{hash}/{name}", get(assets::serve));
    pages.into_iter().fold(site, |site, (path, right, methods)| site.guarded(path, right, methods))
}
