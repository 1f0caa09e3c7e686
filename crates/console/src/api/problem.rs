//! Errors as problems (RFC 9457).

use std::fmt::Display;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    faults: Vec<Fault>,
}

/// What is wrong with one parameter, or with one key of the body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Fault {
    /// Its name. A key within another one has both names, with a point between them.
    pub parameter: String,
    /// For people.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), detail: detail.into() }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.parameter, self.detail)
    }
}

/// What programs tell problems apart by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    BadRequest,
    TokenRequired,
    NotAllowed,
    NotFound,
    MethodNotAllowed,
    Conflict,
    Changed,
    TooLarge,
    NotJson,
    VersionRequired,
    Busy,
    Unreadable,
    TimedOut,
}

impl Kind {
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::TokenRequired => 401,
            Self::NotAllowed => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Changed => 412,
            Self::TooLarge => 413,
            Self::NotJson => 415,
            Self::VersionRequired => 428,
            Self::Busy => 429,
            Self::Unreadable => 500,
            Self::TimedOut => 503,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is wrong",
            Self::TokenRequired => "A valid token is required",
            Self::NotAllowed => "The token does not allow this",
            Self::NotFound => "There is no such resource",
            Self::MethodNotAllowed => "The path does not support this method",
            Self::Conflict => "The present state does not allow this",
            Self::Changed => "The resource has changed",
            Self::TooLarge => "The body is too large",
            Self::NotJson => "The body has the wrong media type",
            Self::VersionRequired => "The version is required",
            Self::Busy => "Too many requests of this kind are in progress",
            Self::Unreadable => "The node failed to answer",
            Self::TimedOut => "The request took too long",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::TokenRequired => "token-required",
            Self::NotAllowed => "not-allowed",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::Changed => "changed",
            Self::TooLarge => "too-large",
            Self::NotJson => "not-json",
            Self::VersionRequired => "version-required",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
            Self::TimedOut => "timed-out",
        }
    }

    pub(crate) fn uri(self) -> String {
        format!("urn:gatepost:problem:{}", self.name())
    }
}

/// A problem as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemView<'a> {
    /// For programs, such as `urn:gatepost:problem:not-found`.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri"))]
    uri: String,
    /// The same for all problems of this type.
    title: &'a str,
    /// Of HTTP.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong here, and what to do, for people.
    detail: &'a str,
    /// The parameters that are wrong, and keys of the body.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), faults: Vec::new() }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// At least one.
    pub(crate) fn wrong(faults: Vec<Fault>) -> Self {
        let detail = faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        Self { faults, ..Self::new(Kind::BadRequest, detail) }
    }

    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::wrong(vec![Fault::new(name, detail)])
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(Kind::TokenRequired, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotAllowed, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(Kind::MethodNotAllowed, "the header Allow names the methods of this path")
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    pub(crate) fn changed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Changed, detail)
    }

    pub(crate) fn too_large(bytes_max: usize) -> Self {
        Self::new(Kind::TooLarge, format!("the body may have at most {bytes_max} bytes"))
    }

    pub(crate) fn not_json() -> Self {
        Self::new(Kind::NotJson, "send JSON, with the header Content-Type: application/json")
    }

    pub(crate) fn version_required(detail: impl Into<String>) -> Self {
        Self::new(Kind::VersionRequired, detail)
    }

    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(Kind::Busy, detail)
    }

    /// Details go to the log of this node only, because they may name files.
    pub(crate) fn unreadable(error: &impl Display) -> Self {
        tracing::error!(%error, "failed to answer a request to the API; the client got an error");
        Self::new(Kind::Unreadable, "failed to read the store; the log of the node shows why")
    }

    pub(crate) fn timed_out() -> Self {
        Self::new(Kind::TimedOut, "the search took too long; add conditions, for example a shorter time range")
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Headers that the status asks for.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        // Keep no connection open for clients without access.
        let close = (header::CONNECTION, HeaderValue::from_static("close"));
        match self.kind {
            // RFC 6750 section 3.
            Kind::TokenRequired => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")), close],
            Kind::NotAllowed => vec![close],
            Kind::Busy => vec![(header::RETRY_AFTER, HeaderValue::from_static("5"))],
            _ => Vec::new(),
        }
    }

    /// The answer, with this body.
    pub(crate) fn response(&self, media_type: &'static str, body: &impl Serialize) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().extend(self.headers());
        response
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        let problem = Self::unreadable(&error);
        if error.is_away() {
            // It may be there again soon, so that it helps to try again.
            return Self::new(Kind::TimedOut, "the store does not answer; the log of the node shows why");
        }
        problem
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::wrong(vec![fault])
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(faults: Vec<Fault>) -> Self {
        Self::wrong(faults)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { kind, detail, faults } = &self;
        let view = ProblemView { uri: kind.uri(), title: kind.title(), status: kind.status(), detail, errors: faults };
        let mut response = self.response(MEDIA_TYPE, &view);
        // Where the path is one of Graph's, the answer is written in its form.
        response.extensions_mut().insert(self.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 13] = [
        Kind::BadRequest,
        Kind::TokenRequired,
        Kind::NotAllowed,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::Conflict,
        Kind::Changed,
        Kind::TooLarge,
        Kind::NotJson,
        Kind::VersionRequired,
        Kind::Busy,
        Kind::Unreadable,
        Kind::TimedOut,
    ];

    #[test]
    fn each_kind_has_its_own_status_and_name() {
        let mut statuses: Vec<u16> = ALL.iter().map(|kind| kind.status()).collect();
        statuses.dedup();
        let names: std::collections::BTreeSet<String> = ALL.iter().map(|kind| kind.uri()).collect();
        assert_eq!((statuses.len(), names.len()), (ALL.len(), ALL.len()));
        assert!(statuses.is_sorted());
    }
}
