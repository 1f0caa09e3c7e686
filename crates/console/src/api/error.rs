//! Errors of the API, in the form of OData and Graph.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

/// An error.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// The error as JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErrorView<'a> {
    error: ErrorFacts<'a>,
}

#[derive(Serialize, JsonSchema)]
struct ErrorFacts<'a> {
    /// For programs, such as BadRequest.
    code: &'a str,
    /// For people.
    message: &'a str,
}

impl ApiError {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "BadRequest", message: message.into() }
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code: "InvalidAuthenticationToken", message: message.into() }
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: "Forbidden", message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "NotFound", message: message.into() }
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the API only reads; use GET".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "MethodNotAllowed", message }
    }

    /// Details go to the log of this node only, because they may name files.
    pub(crate) fn unreadable(error: &impl std::fmt::Display) -> Self {
        tracing::error!(%error, "failed to read the store for the API; the client got an error");
        let message = "failed to read the store; the log of the node shows why".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "InternalServerError", message }
    }

    pub(crate) fn timed_out() -> Self {
        let message = "the search took too long; add conditions, for example a shorter time range".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "Timeout", message }
    }
}

impl From<store::StoreError> for ApiError {
    fn from(error: store::StoreError) -> Self {
        Self::unreadable(&error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorView { error: ErrorFacts { code: self.code, message: &self.message } };
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // Keep no connection open for clients without access.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 section 3.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
