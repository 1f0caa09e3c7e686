//! The console's pages: HTML that the server renders, which needs no script.
//!
//! ```text
//!   request ──visitors──> Site (path, right; login.rs) ──> a page's own file ──> Visit::page ──> shell.rs (menu), document.rs (head, headers)
//!                                                        └── words.rs (times, numbers, foreign text), picture/ (SVG)
//! ```
//!
//! A GET changes nothing. A POST answers 303 and leads to the page that shows the result.

mod asked;
mod assets;
mod connectors;
mod destinations;
mod document;
#[cfg(test)]
mod fleet_tests;
mod form;
mod fragment;
mod incident;
mod incidents;
mod invite;
mod jobs;
mod live;
mod login;
mod message;
mod nodes;
mod outcome_table;
mod overview;
mod paths;
mod pictures;
mod pieces;
mod policies;
mod queue;
mod refusal;
#[cfg(test)]
mod rights_tests;
mod rollout;
mod settings;
mod shell;
mod site;
mod status;
mod trace;
mod visitors;
mod why;
mod words;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
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
    use Right::{Administrator, Operator, Tracer, Viewer};
    let pages: [(&'static str, Right, MethodRouter<Arc<Node>>); 43] = [
        ("/", Viewer, get(overview::show)),
        (live::PATH, Viewer, get(live::stream)),
        ("/incidents", Viewer, get(incidents::show)),
        ("/incidents/{id}", Viewer, get(incident::show)),
        ("/incidents/{id}/report.html", Viewer, get(incident::report)),
        ("/incidents/{id}/bundle.zip", Viewer, get(incident::bundle)),
        ("/incidents/{id}/notes", Operator, post(incident::add_note)),
        ("/why", Viewer, get(why::show)),
        ("/search", Viewer, get(trace::lead)),
        ("/queue", Viewer, get(queue::groups)),
        ("/queue/list", Tracer, get(queue::rows)),
        ("/queue/retry", Operator, post(queue::retry)),
        ("/queue/suspend", Operator, post(queue::suspend)),
        ("/queue/resume", Operator, post(queue::resume)),
        ("/queue/remove", Administrator, post(queue::remove)),
        ("/trace", Tracer, get(trace::show)),
        ("/trace.csv", Tracer, get(trace::download)),
        ("/messages/{id}", Tracer, get(message::show)),
        ("/messages/{id}/attempts/{session}", Tracer, get(message::attempt)),
        ("/messages/{id}/message.eml", Administrator, get(message::download)),
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
        ("/settings/users", Administrator, get(settings::users).post(settings::invite)),
        ("/settings/user", Administrator, get(settings::user)),
        ("/settings/users/role", Administrator, post(settings::set_role)),
        ("/settings/users/remove", Administrator, post(settings::remove_user)),
        ("/settings/tokens", Administrator, get(settings::tokens).post(settings::create_token)),
        ("/settings/tokens/revoke", Administrator, post(settings::revoke_token)),
        ("/settings/audit", Administrator, get(settings::audit)),
        ("/settings/audit.csv", Administrator, get(settings::audit_csv)),
    ];
    let site = Site::new()
        .open("/assets/{hash}/{name}", get(assets::serve))
        .open("/login", get(login::show).post(login::log_in))
        .open("/logout", post(login::log_out))
        .open("/invite/{token}", get(invite::show).post(invite::accept));
    pages.into_iter().fold(site, |site, (path, right, methods)| site.guarded(path, right, methods))
}

/// The parts of pages that change while people look.
static FRAGMENTS: &[Fragment] = &[
    shell::INCIDENTS_OPEN,
    overview::SENTENCE,
    overview::INCIDENTS,
    overview::TRAFFIC,
    overview::WAITING,
    overview::TLS,
    incidents::LIST,
    rollout::STATE,
    rollout::EFFECT,
    overview::NODES,
    incident::INCIDENT,
    incident::PICTURE,
    queue::GROUPS,
    queue::ROWS,
    nodes::OF_TODAY,
];

pub(super) fn live(node: &Arc<Node>) -> Arc<Live> {
    Arc::new(Live::new(Arc::clone(node), FRAGMENTS))
}
