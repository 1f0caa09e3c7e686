//! `/invite/{token}`: a person chooses a password, and is logged in.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use maud::html;
use node::Node;
use store::{Access as _, Invitation, Secret, SecretHash};

use super::{
    Refusal,
    document::bare,
    form::Fields,
    login::{Wanted, welcome},
    words::{ago, foreign},
};
use crate::access::{Caller, Door, PASSWORD_CHARACTERS_MIN, password_fault, session};

pub(super) async fn show(State(node): State<Arc<Node>>, Path(token): Path<String>) -> Result<Response, Refusal> {
    let (_, invitation) = find(&node, &token).await?;
    Ok(page(&token, &invitation, None))
}

pub(super) async fn accept(
    State(node): State<Arc<Node>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (hash, invitation) = find(&node, &token).await?;
    let before = session(request.headers(), caller);
    let fields = Fields::read(request).await?;
    let text = |name| fields.text(name).unwrap_or_default();
    let (password, repeated) = (text("password"), text("repeated"));
    if let Some(fault) = password_fault(password, repeated, &invitation.user) {
        return Ok(page(&token, &invitation, Some(fault)));
    }
    let entered = door.accept(&node, caller, hash, password.to_owned()).await?.ok_or_else(not_valid)?;
    // The browser forgets the session that it had.
    if let Some(before) = before {
        node.store.end_session(before).await?;
    }
    Ok(welcome(&entered, caller, &Wanted::default()))
}

async fn find(node: &Node, token: &str) -> Result<(SecretHash, Invitation), Refusal> {
    let hash = Secret::read(token).ok_or_else(not_valid)?.hash();
    let invitation = node.store.invitation(hash).await?.ok_or_else(not_valid)?;
    Ok((hash, invitation))
}

fn not_valid() -> Refusal {
    Refusal::not_found(
        "This invitation is not valid any more. A link can be used once, within an hour. Ask for a new one. Anyone who \
         can run commands on a node can make one: gatepost user invite",
    )
}

fn page(token: &str, Invitation { user, right, expires, .. }: &Invitation, fault: Option<&str>) -> Response {
    let body = html! {
        div.narrow {
            p.brand { "Gatepost" }
            h1 { "Choose a password" }
            p {
                "You are invited as " strong { (foreign(user)) } " with the right " strong { (right.name()) }
                ". The link is valid for " (ago(*expires, Timestamp::now())) "."
            }
            @if let Some(fault) = fault { p.remark role="alert" { (fault) } }
            form method="post" action={ "/invite/" (token) } {
                p {
                    label for="name" { "Name" }
                    input #name name="name" value=(user) readonly autocomplete="username";
                }
                p {
                    label for="password" { "Password" }
                    input #password name="password" type="password" required autofocus autocomplete="new-password"
                        minlength=(PASSWORD_CHARACTERS_MIN) maxlength="1024" aria-describedby="rule";
                    span #rule.quiet { "At least " (PASSWORD_CHARACTERS_MIN) " characters." }
                }
                p {
                    label for="repeated" { "The password again" }
                    input #repeated name="repeated" type="password" required autocomplete="new-password" maxlength="1024";
                }
                p { button.primary { "Set the password and log in" } }
            }
        }
    };
    let status = if fault.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (status, bare("Choose a password", &body)).into_response()
}
