//! Each request to the console goes through here: whose it is, and that no other site's page has made it.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use node::Node;

use super::{Refusal, document::guard_headers, live};
use crate::{
    access::{Caller, MadeBy, is_from_here, person, session},
    connection::Connection,
};

/// Finds the person for each request, and refuses a request that another site's page may have made.
pub(super) async fn visit(
    State(node): State<Arc<Node>>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    guard_headers(answer(&node, connection, request, next).await.unwrap_or_else(IntoResponse::into_response))
}

async fn answer(node: &Node, connection: Connection, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let config = node.config.load_full();
    let url = config.console.url.as_deref();
    let caller = Caller::of(&connection, url, request.uri(), request.headers()).ok_or_else(Refusal::foreign_host)?;
    if !is_from_here(request.method(), request.headers(), caller.is_https) {
        return Err(Refusal::foreign_origin());
    }
    let made_by = if request.uri().path() == live::PATH { MadeBy::Page } else { MadeBy::Person };
    let session = session(request.headers(), caller);
    if let Some(person) = person(node, session, caller, made_by).await? {
        request.extensions_mut().insert(person);
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
