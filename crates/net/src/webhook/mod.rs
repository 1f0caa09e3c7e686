//! A webhook: posts an event as JSON, signed as the Standard Webhooks specification says, so that the receiver can
//! check the sender.
//!
//! Each call uses its own connection, because calls are rare. Redirects are not followed: only the address in the
//! configuration is called.

mod post;
mod sign;
mod url;

use std::path::Path;

use hyper::{Request, StatusCode, header};
use jiff::Timestamp;
use openssl::ssl::SslConnector;

use crate::{
    resolve::Resolver,
    tls::{TlsError, https_connector},
};
pub use sign::{Secret, SecretError};
pub use url::Url;

/// The receiver of calls, and the secret that signs them.
pub struct Webhook {
    url: Url,
    secret: Secret,
    /// `None`: plain HTTP, on this machine.
    tls: Option<SslConnector>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("found no address of {0}")]
    NoAddress(String),
    #[error("failed to connect to {0}: {1}")]
    Connect(String, String),
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    #[error("failed to post: {0}")]
    Post(String),
    #[error("the receiver did not answer in time")]
    TimedOut,
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
}

impl Webhook {
    /// `authorities`: certificates to trust instead of the system's, PEM.
    pub fn new(url: Url, secret: Secret, authorities: Option<&Path>) -> Result<Self, TlsError> {
        let tls = if url.is_https { Some(https_connector(authorities)?) } else { None };
        Ok(Self { url, secret, tls })
    }

    /// Makes one attempt. `id` is the id of the event, the same at each attempt.
    pub async fn call(&self, resolver: &Resolver, id: &str, body: String, now: Timestamp) -> Result<(), CallError> {
        let request = self.request(id, body, now).map_err(CallError::Post)?;
        let status = post::post(&self.url, self.tls.as_ref(), resolver, request).await?;
        if status.is_success() { Ok(()) } else { Err(CallError::Refused(status)) }
    }

    fn request(&self, id: &str, body: String, now: Timestamp) -> Result<Request<String>, String> {
        let timestamp = now.as_second();
        let signature = self.secret.sign(id, timestamp, &body).map_err(|error| error.to_string())?;
        Request::post(&self.url.path)
            .header(header::HOST, &self.url.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body)
            .map_err(|error| error.to_string())
    }
}
