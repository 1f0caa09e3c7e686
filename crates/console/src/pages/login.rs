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
                    input #name name="name" value=(name) required autofocus[name.is_empty()] autocomplete="username" autocapitalize="none"
                        spellcheck="false" maxlength="64";
                }
                p {
                    label for="password" { "Password" }
                    input #password name="password" type="password" required autofocus[!name.is_empty()] autocomplete="current-password"
                        maxlength="1024";
                }
                p { button.primary { "Log in" } }
            }
            p.quiet {
                "If you have forgotten your password, ask for a new invitation. Anyone who can run commands on a node can make \
                 one: "
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use store::Right;

    use super::*;

    async fn asked(method: &str, path: &str, headers: &[(&str, &str)], body: String) -> (u16, String, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(ask(request.body(Body::from(body)).unwrap()).await).await
    }

    /// Status, where it leads, and the page.
    async fn read(response: Response) -> (u16, String, String) {
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, location.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// The value of a hidden field.
    fn hidden(page: &str, name: &str) -> String {
        let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        rest.split_once('"').unwrap().0.replace("&amp;", "&")
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[tokio::test]
    async fn a_form_that_comes_without_a_session_is_sent_again() {
        let sent = "csrf=old&row=1&row=2&note=%22%3E%3Cscript%3E&csrf=old";
        let (status, _, page) = asked("POST", "/queue/retry?x=%221", &[FORM], sent.to_owned()).await;
        assert_eq!(status, 401);
        assert!(page.contains("nothing was changed. What you sent is kept") && !page.contains("<script>"), "{page}");
        let fields = [(Wanted::KEPT_FOR, hidden(&page, Wanted::KEPT_FOR)), (Wanted::KEPT, hidden(&page, Wanted::KEPT))];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let wanted = Wanted::of(&Fields::unpacked(&body));
        let (path, kept) = wanted.kept.unwrap();
        assert_eq!(path, "/queue/retry?x=%221");
        let person = Person {
            name: "ana".to_owned(),
            right: Right::Operator,
            csrf: "new".to_owned(),
            from: [127, 0, 0, 1].into(),
        };
        let (_, _, page) = read(send_again(&person, &path, &kept)).await;
        assert!(page.contains("action=\"/queue/retry?x=%221\"") && page.matches("name=\"row\"").count() == 2, "{page}");
        assert!(hidden(&page, "csrf") == "new" && !page.contains("old") && !page.contains("<script>"), "{page}");
        assert_eq!(hidden(&page, "note"), "&quot;&gt;&lt;script&gt;");
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_said() {
        let large = format!("x={}", "x".repeat(600 * 1024));
        for (kind, body) in [(FORM, large), (("content-type", "multipart/form-data; boundary=x"), "--x--".to_owned())] {
            let (status, _, page) = asked("POST", "/files", &[kind], body).await;
            assert!(status == 401 && page.contains("could not be kept") && page.len() < 5000, "{page}");
        }
    }

    #[tokio::test]
    async fn a_page_opens_after_log_in() {
        let (status, to, _) =
            asked("GET", "/queue?by=cause&x=%22", &[("sec-fetch-mode", "navigate")], String::new()).await;
        assert_eq!((status, &*to), (303, "/login?then=%2Fqueue%3Fby%3Dcause%26x%3D%2522"));
        let wanted = Wanted::of(&Fields::unpacked(to.split_once('?').unwrap().1));
        assert_eq!(wanted.then.as_deref(), Some("/queue?by=cause&x=%22"));
        let (status, ..) = asked("GET", "/live", &[("sec-fetch-mode", "cors")], String::new()).await;
        assert_eq!(status, 401);
    }
}
