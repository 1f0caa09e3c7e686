//! `/settings/…`: who may use the console and the API, and who has done what.

mod audit;
mod csv;
#[cfg(test)]
mod tests;
mod tokens;
mod user;
mod users;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    asked, pieces,
    shell::{Section, Visit},
};

pub(super) use audit::show as audit;
pub(super) use csv::download as audit_csv;
pub(super) use tokens::{create as create_token, revoke as revoke_token, show as tokens};
pub(super) use user::{remove as remove_user, set_role, show as user};
pub(super) use users::{invite, show as users};

/// Rows of a list. Even with the longest names they stay below 60 KB.
const ROWS_MAX: usize = 50;

/// The pages of settings, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tab {
    Users,
    Tokens,
    Audit,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Users, "Users", "/settings/users"),
        (Self::Tokens, "Tokens", "/settings/tokens"),
        (Self::Audit, "Audit", "/settings/audit"),
    ];
}

/// Why nothing was done, with the status of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fault(StatusCode, String);

impl Fault {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn conflict(text: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, text.into())
    }
}

/// A page with the menu of settings.
fn page(visit: &Visit, tab: Tab, title: &str, fault: Option<&Fault>, content: &Markup) -> Response {
    let body = html! {
        h1 { (title) }
        nav.tabs aria-label="Settings" {
            @for (other, name, path) in Tab::ALL {
                a href=(path) aria-current=[(other == tab).then_some("page")] { (name) }
            }
        }
        @if let Some(Fault(_, text)) = fault { p.fault role="alert" { "Nothing was changed. " (super::words::foreign(text)) } }
        (content)
    };
    let status = fault.map_or(StatusCode::OK, |Fault(status, _)| *status);
    (status, visit.page(Section::Settings, title, &body)).into_response()
}

/// The rows after the one with that name, and the name that the next page begins after. The rows are in order of their names.
fn rows_after<T>(rows: Vec<T>, after: Option<&str>, name: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let mut rows: Vec<T> = rows.into_iter().filter(|row| after.is_none_or(|after| name(row) > after)).collect();
    let is_more = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let next = rows.last().filter(|_| is_more).map(|row| name(row).to_owned());
    (rows, next)
}

/// Links to other pages of a list.
fn pages(path: &str, is_later: bool, next: Option<&str>) -> Markup {
    html! {
        @if is_later || next.is_some() {
            p.pages {
                @if is_later { a href=(path) { "First page" } }
                @if let Some(next) = next { a rel="next" href=(asked::link(path, [("after", next)])) { "Next page" } }
            }
        }
    }
}
