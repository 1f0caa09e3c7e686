//! Access to the API, and the log of requests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Extension, Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use node::{
    Node,
    config::{ApiScope, ApiToken},
};
use protocol::text::steers;
use sha2::{Digest, Sha256};

use super::place::{is_for, is_local};
use crate::{api::ApiError, connection::Connection};

/// Timeout for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The name in the log for a client that needs no token.
const NOBODY: &str = "this machine";

pub(crate) async fn admit(
    State(node): State<Arc<Node>>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let asked = request.uri().to_string().replace(steers, "\u{fffd}");
    let tokens = &node.config.load().api_tokens;
    let (who, response) = match who(tokens, ApiScope::Trace, &connection, request.uri(), request.headers()) {
        Ok(who) => {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
            (who, answer.unwrap_or_else(|_| ApiError::timed_out().into_response()))
        }
        Err(error) => ("unknown".to_owned(), error.into_response()),
    };
    tracing::info!(
        who,
        client = %connection.client,
        asked,
        status = response.status().as_u16(),
        milliseconds = began.elapsed().as_millis() as u64,
        "API request"
    );
    response
}

/// Access to metrics. At a listener of their own, loopback needs no token. Only refused requests are in the log.
pub(crate) async fn admit_to_metrics(
    State((node, is_own_listener)): State<(Arc<Node>, bool)>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let config = node.config.load_full();
    let needs_no_token = is_own_listener && connection.here.ip().is_loopback();
    let tokens = if needs_no_token { &[] } else { config.api_tokens.as_slice() };
    match who(tokens, ApiScope::Metrics, &connection, request.uri(), request.headers()) {
        Ok(_) => next.run(request).await,
        Err(error) => {
            let response = error.into_response();
            tracing::info!(client = %connection.client, status = response.status().as_u16(), "refused to show metrics");
            response
        }
    }
}

/// The name of the holder of the token.
fn who(
    tokens: &[ApiToken],
    scope: ApiScope,
    connection: &Connection,
    asked: &Uri,
    headers: &HeaderMap,
) -> Result<String, ApiError> {
    if tokens.is_empty() {
        // A reload may have removed all tokens.
        if !connection.here.ip().is_loopback() {
            return Err(ApiError::unauthorized(
                "the configuration has no [[api_token]]; the administrator must add one",
            ));
        }
        // A web page in a browser on this machine may use this address under its own host name (DNS rebinding).
        if !is_for(asked, headers, is_local) {
            return Err(ApiError::forbidden("without tokens the API accepts requests to localhost only"));
        }
        return Ok(NOBODY.to_owned());
    }
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let token = value
        .ok_or_else(|| ApiError::unauthorized("a token is required; add the header Authorization: Bearer TOKEN"))?;
    // An attacker who measures the time of this comparison learns about a hash, which does not help to find the token.
    let hash = hash(token);
    let holder = tokens.iter().find(|known| known.sha256.eq_ignore_ascii_case(&hash));
    let holder = holder.ok_or_else(|| {
        ApiError::unauthorized("the token is not valid; the configuration has no [[api_token]] for it")
    })?;
    if !holder.scopes.contains(&scope) {
        return Err(ApiError::forbidden("the token may not read this; the administrator must add to its scopes"));
    }
    Ok(holder.name.clone())
}

/// The hash of a token in the form of [`ApiToken::sha256`].
pub fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: &str = "192.0.2.1:443";
    const LOCAL: &str = "127.0.0.1:2580";

    fn token_for(token: &str, scopes: Vec<ApiScope>) -> ApiToken {
        ApiToken { name: format!("holder of {token}"), sha256: hash(token), scopes }
    }

    fn asks(tokens: &[&str], here: &str, headers: &[(header::HeaderName, &str)]) -> Result<String, u16> {
        let tokens: Vec<_> = tokens.iter().map(|token| token_for(token, vec![ApiScope::Trace])).collect();
        let connection =
            Connection { client: "192.0.2.9:1".parse().unwrap(), here: here.parse().unwrap(), is_tls: false };
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        who(&tokens, ApiScope::Trace, &connection, &Uri::from_static("/"), &headers)
            .map_err(|error| error.into_response().status().as_u16())
    }

    #[test]
    fn with_tokens_only_their_holders_get_answers() {
        let authorized = |value| [(header::AUTHORIZATION, value)];
        for here in [LOCAL, REMOTE] {
            assert_eq!(asks(&["a", "b"], here, &authorized("Bearer b")), Ok("holder of b".to_owned()));
            assert_eq!(asks(&["a"], here, &authorized("bearer  a")), Ok("holder of a".to_owned()));
            for wrong in ["Bearer c", "Bearer", "a", "Basic a", "Bearer "] {
                assert_eq!(asks(&["a"], here, &authorized(wrong)), Err(401), "{wrong}");
            }
            assert_eq!(asks(&["a"], here, &[]), Err(401));
        }
    }

    #[test]
    fn a_token_opens_what_its_scopes_say() {
        let connection =
            Connection { client: "192.0.2.9:1".parse().unwrap(), here: REMOTE.parse().unwrap(), is_tls: true };
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer a".parse().unwrap())]);
        for (has, wanted, opens) in [
            (vec![ApiScope::Trace], ApiScope::Trace, true),
            (vec![ApiScope::Trace], ApiScope::Metrics, false),
            (vec![ApiScope::Metrics], ApiScope::Trace, false),
            (vec![ApiScope::Metrics, ApiScope::Trace], ApiScope::Metrics, true),
            (vec![], ApiScope::Metrics, false),
        ] {
            let tokens = [token_for("a", has)];
            let result = who(&tokens, wanted, &connection, &Uri::from_static("/"), &headers);
            assert_eq!(result.is_ok(), opens, "{tokens:?} {wanted:?}");
        }
    }

    #[test]
    fn without_tokens_only_this_machine_gets_answers() {
        for host in ["localhost", "LOCALHOST:2580", "127.0.0.1:2580", "[::1]:2580"] {
            assert_eq!(asks(&[], LOCAL, &[(header::HOST, host)]), Ok(NOBODY.to_owned()), "{host}");
        }
        for host in ["evil.example", "localhost.", "192.0.2.1", ""] {
            assert_eq!(asks(&[], LOCAL, &[(header::HOST, host)]), Err(403), "{host}");
        }
        let twice = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
        assert_eq!(asks(&[], LOCAL, &twice), Err(403));
        assert_eq!(asks(&[], REMOTE, &[(header::HOST, "localhost")]), Err(401));
    }
}
