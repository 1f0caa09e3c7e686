//! The HTML around each page, and the headers that forbid everything that pages do not need.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::assets;

const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types gatepost";

/// Seconds between two loads of a page that cannot use script.
const RELOAD_S: u32 = 30;

/// A page without a menu.
pub(super) fn bare(title: &str, body: &Markup) -> Response {
    document(title, &html! { main #main { (body) } })
}

pub(super) fn document(title: &str, body: &Markup) -> Response {
    with_head(title, &html! {}, body)
}

/// A page that stays up to date without script, too.
pub(super) fn reloading(title: &str, body: &Markup) -> Response {
    with_head(title, &html! { noscript { meta http-equiv="refresh" content=(RELOAD_S); } }, body)
}

fn with_head(title: &str, head: &Markup, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Gatepost" }
                link rel="stylesheet" href=(assets::style_path());
                link rel="icon" href=(assets::icon_path());
                script src=(assets::script_path()) defer {}
                (head)
            }
            body { (body) }
        }
    };
    Html(page.into_string()).into_response()
}

/// Adds the headers that each answer of the console has.
pub(super) fn guard_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A report has its own style, and its own policy for it.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(SECURITY_POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
