//! Pages that say why a page cannot be shown.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::html;
use store::Right;

use super::document::bare;

/// Why there is no page.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    title: &'static str,
    /// What to do, as a sentence.
    advice: String,
}

impl Refusal {
    fn new(status: StatusCode, title: &'static str, advice: impl Into<String>) -> Self {
        Self { status, title, advice: advice.into() }
    }

    pub(super) fn bad_request(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That request cannot be understood", advice)
    }

    pub(super) fn not_found(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", advice)
    }

    pub(super) fn forbidden(right: Right) -> Self {
        let advice = format!("This needs the right {}. An administrator can give it to you.", right.name());
        Self::new(StatusCode::FORBIDDEN, "You may not open this", advice)
    }

    pub(super) fn foreign_origin() -> Self {
        let advice = "The request came from a page of another site. Open this console in a new tab, and try again.";
        Self::new(StatusCode::FORBIDDEN, "Refused", advice)
    }

    /// The console answers to its own names only.
    pub(super) fn foreign_host() -> Self {
        let advice = "This console is not known by the name in the address. Open it as http://127.0.0.1 with its port, or set \
                      [console] url.";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "Wrong address", advice)
    }

    pub(super) fn no_user() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Nobody is logged in", "Log in first.")
    }

    /// The node has no room for more.
    pub(super) fn busy(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too much at once", advice)
    }

    /// Details go to the log of this node only, because they may name files.
    pub(super) fn unreadable(error: &impl std::fmt::Display) -> Self {
        tracing::error!(%error, "failed to read the store for a page of the console");
        let advice = "The store cannot be read. The log of the node shows why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong", advice)
    }
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Self {
        let refusal = Self::unreadable(&error);
        if error.is_away() { Self { status: StatusCode::SERVICE_UNAVAILABLE, ..refusal } } else { refusal }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = html! {
            h1 { (self.title) }
            p { (self.advice) }
            p { a href="/" { "Overview" } }
        };
        (self.status, bare(self.title, &body)).into_response()
    }
}
