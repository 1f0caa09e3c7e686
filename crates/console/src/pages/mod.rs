//! The console's pages: HTML that the server renders, which needs no script.
//!
//! ```text
//!   request ──visitors──> Site (path, right) ──> a page's own file ──> Visit::page ──> shell.rs (menu), document.rs (head, headers)
//!                                                        └── words.rs (times, numbers, foreign text), picture/ (SVG)
//! ```
//!
//! A GET changes nothing. A POST answers 303 and leads to the page that shows the result.

#![allow(dead_code, reason = "the skeleton of pages that are being built")]

mod assets;
mod document;
mod form;
mod fragment;
mod live;
mod overview;
mod refusal;
mod shell;
mod site;
mod visitors;
mod words;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, get},
};
use node::Node;
use store::Right;

pub(crate) use live::Live;

use fragment::Fragment;
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
    use Right::Viewer;
    let pages: [(&'static str, Right, MethodRouter<Arc<Node>>); 2] =
        [("/", Viewer, get(overview::show)), ("/live", Viewer, get(live::stream))];
    let site = Site::new().open("/assets/{hash}/{name}", get(assets::serve));
    pages.into_iter().fold(site, |site, (path, right, methods)| site.guarded(path, right, methods))
}

/// The parts of pages that change while people look.
static FRAGMENTS: &[Fragment] = &[shell::INCIDENTS_OPEN, overview::SENTENCE];

pub(super) fn live(node: &Arc<Node>) -> Arc<Live> {
    Arc::new(Live::new(Arc::clone(node), FRAGMENTS))
}
