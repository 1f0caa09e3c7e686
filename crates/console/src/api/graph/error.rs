//! Problems in the form of OData, for the paths of Graph.

use axum::{extract::Request, middleware::Next, response::Response};
use serde::Serialize;

use crate::api::problem::{Kind, Problem};

/// The paths have a version before this, or none.
const PATH: &str = "/admin/exchange/tracing";

#[derive(Serialize)]
struct ErrorView<'a> {
    error: ErrorFacts<'a>,
}

#[derive(Serialize)]
struct ErrorFacts<'a> {
    /// For programs, such as BadRequest.
    code: &'a str,
    /// For people.
    message: &'a str,
}

/// In the words of Graph.
fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::TokenRequired => "InvalidAuthenticationToken",
        Kind::NotAllowed => "Forbidden",
        Kind::NotFound => "NotFound",
        Kind::MethodNotAllowed => "MethodNotAllowed",
        Kind::Unreadable => "InternalServerError",
        Kind::TimedOut => "Timeout",
        _ => "BadRequest",
    }
}

/// Writes the problem of an answer in that form, where the path is one of Graph's.
pub(in crate::api) async fn speak_odata(request: Request, next: Next) -> Response {
    let is_graph = request.uri().path().contains(PATH);
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) if is_graph => {
            let error = ErrorFacts { code: code(problem.kind()), message: problem.detail() };
            let mut odata = problem.response("application/json", &ErrorView { error });
            let allow = response.headers().get(axum::http::header::ALLOW).cloned();
            odata.headers_mut().extend(allow.map(|allow| (axum::http::header::ALLOW, allow)));
            odata
        }
        _ => response,
    }
}
