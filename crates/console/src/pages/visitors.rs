//! Each request to the console goes through here: whose it is, and that no other site's page has made it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use node::Node;

use super::{Refusal, document::guard_headers};
use crate::access::person;

/// Finds the person for each request, and refuses a request to act that another site's page may have made.
pub(super) async fn visit(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let answer = match person(&node, request.headers()).await {
        _ if is_open_to_all(request.uri().path()) => next.run(request).await,
        _ if !is_from_here(&request) => Refusal::foreign_origin().into_response(),
        None => Refusal::no_user().into_response(),
        Some(person) => {
            request.extensions_mut().insert(person);
            next.run(request).await
        }
    };
    guard_headers(answer)
}

fn is_open_to_all(path: &str) -> bool {
    path.starts_with("/assets/")
}

/// Browsers say which site's page has made a request. A GET changes nothing, so it may come from anywhere.
fn is_from_here(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (text(header::HOST), origin, text(header::HeaderName::from_static("sec-fetch-site"))) {
        (_, _, Some(site)) if site != "same-origin" => false,
        (Some(host), Some(origin), _) => host.eq_ignore_ascii_case(origin),
        (_, None, Some(_)) => true,
        _ => false,
    }
}
