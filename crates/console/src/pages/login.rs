//! `/login` and `/logout`. What arrives without a session is not lost: the page that was wanted opens after log-in, and a
//! form that was sent can be sent again.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use node::Node;
use store::Access as _;
use trace::NextStep;

use super::{
    Refusal,
    document::bare,
    form::{Fields, Form, form},
    words::foreign,
};
use crate::access::{Caller, Door, Entered, LogIn, Person, cleared_cookie, local_path, session};

/// Fields of a kept form that are shown.
const SHOWN_MAX: usize = 20;

/// What somebody wants who is not logged in.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Wanted {
    /// The page to open.
    then: Option<String>,
    /// A form that was sent, and where to.
    kept: Option<(String, Fields)>,
}

impl Wanted {
    const THEN: &str = "then";
    const KEPT_FOR: &str = "kept-for";
    const KEPT: &str = "kept";

    /// Paths that lead elsewhere are ignored.
    fn of(fields: &Fields) -> Self {
        let path = |name| fields.text(name).and_then(local_path).map(str::to_owned);
        let kept = path(Self::KEPT_FOR).zip(fields.text(Self::KEPT).map(Fields::unpacked));
        Self { then: path(Self::THEN), kept }
    }

    fn hidden(&self) -> Markup {
        html! {
            @if let Some(then) = &self.then { input type="hidden" name=(Self::THEN) value=(then); }
            @if let Some((path, fields)) = &self.kept {
                input type="hidden" name=(Self::KEPT_FOR) value=(path);
                input type="hidden" name=(Self::KEPT) value=(fields.packed());
            }
        }
    }
}

/// The answer to somebody who is not logged in, at a page for people who are.
pub(super) async fn ask(request: Request) -> Response {
    let navigates = |headers: &HeaderMap| headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if !navigates(request.headers()) {
        // A script would read the log-in page as the answer to what it has asked.
        return Refusal::no_user().into_response();
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let then = form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>();
        return Redirect::to(&format!("/login?{}={then}", Wanted::THEN)).into_response();
    }
    let kept = Fields::read(request).await.ok().filter(|_| local_path(&path).is_some()).map(|fields| (path, fields));
    let remark = match kept {
        Some(_) => {
            "Your session has ended, so nothing was changed. What you sent is kept: you can send it again after you \
                    have logged in."
        }
        None => {
            "Your session has ended, so nothing was changed. What you sent could not be kept: please send it again \
                 after you have logged in."
        }
    };
    page(StatusCode::UNAUTHORIZED, &Wanted { then: None, kept }, "", Some(remark))
}

pub(super) async fn show(
    State(node): State<Arc<Node>>,
    person: Option<Extension<Person>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&Fields::unpacked(uri.query().unwrap_or_default()));
    if person.is_some() {
        return Ok(Redirect::to(wanted.then.as_deref().unwrap_or("/")).into_response());
    }
    if !node.store.has_users().await? {
        return Ok(first_user());
    }
    Ok(page(StatusCode::OK, &Wanted { kept: None, ..wanted }, "", None))
}

pub(super) async fn log_in(
    State(node): State<Arc<Node>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let before = session(request.headers(), caller);
    let fields = Fields::read(request).await?;
    let (name, password) = (fields.text("name").unwrap_or_default(), fields.text("password").unwrap_or_default());
    let wanted = Wanted::of(&fields);
    match door.log_in(&node, caller, name, password).await? {
        LogIn::Done(entered) => {
            if let Some(before) = before {
                node.store.end_session(before).await?;
            }
            Ok(welcome(&entered, caller, &wanted))
        }
        LogIn::Wrong => {
            let remark = "The name or the password is wrong.";
            Ok(page(StatusCode::FORBIDDEN, &wanted, name, Some(remark)))
        }
        LogIn::Later(wait) => Ok(later(&wanted, name, wait)),
    }
}

fn later(wanted: &Wanted, name: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let remark = format!("There were too many attempts. Try again in {seconds} s.");
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, wanted, name, Some(&remark));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Leads a person who has just come in to what was wanted.
pub(super) fn welcome(entered: &Entered, caller: Caller, wanted: &Wanted) -> Response {
    let mut response = match &wanted.kept {
        Some((path, fields)) => send_again(&entered.person, path, fields),
        None => Redirect::to(wanted.then.as_deref().unwrap_or("/")).into_response(),
    };
    response.headers_mut().insert(header::SET_COOKIE, entered.cookie(caller));
    response
}

pub(super) async fn log_out(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    person: Option<Extension<Person>>,
    request: Request,
) -> Result<Response, Refusal> {
    use axum::extract::FromRequest as _;
    let session = session(request.headers(), caller);
    if person.is_some() {
        Form::from_request(request, &()).await?;
    }
    if let Some(session) = session {
        node.store.end_session(session).await?;
    }
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cleared_cookie(caller));
    Ok(response)
}

fn page(status: StatusCode, wanted: &Wanted, name: &str, remark: Option<&str>) -> Response {
    let body = html! {
        div.narrow {
            p.brand { "Gatepost" }
            h1 { "Log in" }
            @if let Some(remark) = remark { p.remark role="alert" { (remark) } }
            form method="post" action="/login" {
                (wanted.hidden())
                p {
                    label for="name" { "Name" }
                    input #name name="name" value=(name) required autofocus autocomplete="username" autocapitalize="none"
                        spellcheck="false" maxlength="64";
                }
                p {
                    label for="password" { "Password" }
                    input #password name="password" type="password" required autocomplete="current-password"
                        maxlength="1024";
                }
                p { button.primary { "Log in" } }
            }
            p.quiet {
                "To choose a new password, ask for a new invitation. Who can run commands on a node can make one: "
                code { "gatepost user invite" }
            }
        }
    };
    (status, bare("Log in", &body)).into_response()
}

fn first_user() -> Response {
    let body = html! {
        div.narrow {
            p.brand { "Gatepost" }
            h1 { "Create the first user" }
            p { "This console has no users yet. On the machine of a node, run:" }
            pre { code { (NextStep::UserInvite) } }
            p { "The command prints a link. Open it to choose a password. The link can be used once, within an hour." }
        }
    };
    bare("Create the first user", &body)
}

fn send_again(person: &Person, path: &str, fields: &Fields) -> Response {
    let all: Vec<_> = fields.without_token().collect();
    let content = html! {
        @for (name, value) in &all { input type="hidden" name=(name) value=(value); }
        p { button.primary { "Send it again" } " " a.button href="/" { "Do not send it" } }
    };
    let body = html! {
        div.narrow {
            p.brand { "Gatepost" }
            h1 { "Send your form again?" }
            p {
                "You are logged in as " (foreign(&person.name)) ". Your session had ended before your form for "
                code { (foreign(path)) } " arrived, so nothing was changed."
            }
            @if !all.is_empty() {
                dl.sent {
                    @for (name, value) in all.iter().take(SHOWN_MAX) { div { dt { (foreign(name)) } dd { (foreign(value)) } } }
                    @if all.len() > SHOWN_MAX { div { dt { "…" } dd { (all.len() - SHOWN_MAX) " more fields" } } }
                }
            }
            (form(person, path, &content))
        }
    };
    bare("Send your form again?", &body)
}
