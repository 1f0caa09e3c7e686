//! Access to the API and to metrics, and the log of requests.

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
use jiff::{SignedDuration, Timestamp};
use node::{
    Node,
    config::{ApiScope, ApiToken},
};
use protocol::text::steers;
use sha2::{Digest, Sha256};
use store::{Actor, NewToken, Secret, TokenRecord, Tokens};

use super::{
    client::Client,
    place::{is_for, is_local},
};
use crate::{api::Problem, connection::Connection};

/// Timeout for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The last use of a token is noted no more often than this.
const NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Finds out who asks. What they may do is a matter of each operation.
pub(crate) async fn admit(
    State(node): State<Arc<Node>>,
    Extension(connection): Extension<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let asked = request.uri().to_string().replace(steers, "\u{fffd}");
    let (who, response) = match who(&node, &connection, request.uri(), request.headers()).await {
        Ok(client) => {
            let who = client.name.clone();
            request.extensions_mut().insert(client);
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
            (who, answer.unwrap_or_else(|_| Problem::timed_out().into_response()))
        }
        Err(problem) => ("unknown".to_owned(), problem.into_response()),
    };
    tracing::info!(
        who,
        client = %connection.client,
        %method,
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
    let admitted = if is_own_listener && connection.here.ip().is_loopback() {
        is_named_local(&connection, request.uri(), request.headers())
    } else {
        let found = who(&node, &connection, request.uri(), request.headers()).await;
        found.and_then(|client| client.must_read_metrics())
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let response = problem.into_response();
            tracing::info!(client = %connection.client, status = response.status().as_u16(), "refused to show metrics");
            response
        }
    }
}

async fn who(node: &Arc<Node>, connection: &Connection, asked: &Uri, headers: &HeaderMap) -> Result<Client, Problem> {
    let config = node.config.load_full();
    match bearer(headers) {
        Some(token) => {
            let (client, record) = holder(&config.api_tokens, &node.store, connection, token).await?;
            record.into_iter().for_each(|record| note_use(node, &record));
            Ok(client)
        }
        None => without_token(&config.api_tokens, &node.store, connection, asked, headers).await,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The holder of a token, and the token's record if it is one of the store.
async fn holder(
    configured: &[ApiToken],
    store: &impl Tokens,
    connection: &Connection,
    token: &str,
) -> Result<(Client, Option<TokenRecord>), Problem> {
    // An attacker who measures the time of these comparisons learns about a hash, which does not help to find the token.
    let (hash, from) = (hash(token), connection.client.ip().to_canonical());
    if let Some(known) = configured.iter().find(|known| known.sha256.eq_ignore_ascii_case(&hash)) {
        return Ok((Client::holder(&known.name, ApiScope::grant(&known.scopes), from), None));
    }
    match store.token(&hash).await? {
        Some(record) => Ok((Client::holder(&record.name, record.grant, from), Some(record))),
        None => Err(Problem::unauthorized("the token is not valid: it was never created, is revoked or has expired")),
    }
}

/// As long as no token exists, this machine may look.
async fn without_token(
    configured: &[ApiToken],
    store: &impl Tokens,
    connection: &Connection,
    asked: &Uri,
    headers: &HeaderMap,
) -> Result<Client, Problem> {
    let required = || Problem::unauthorized("a token is required; add the header Authorization: Bearer TOKEN");
    if !connection.here.ip().is_loopback() || !configured.is_empty() || headers.contains_key(header::AUTHORIZATION) {
        return Err(required());
    }
    if store.tokens().await?.iter().any(|token| !token.is_expired) {
        return Err(required());
    }
    is_named_local(connection, asked, headers).map(|()| Client::nobody(connection.client.ip().to_canonical()))
}

/// A web page in a browser on this machine may use this address under its own host name (DNS rebinding).
fn is_named_local(connection: &Connection, asked: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    debug_assert!(connection.here.ip().is_loopback());
    match is_for(asked, headers, is_local) {
        true => Ok(()),
        false => Err(Problem::forbidden("without tokens the API accepts requests to localhost only")),
    }
}

/// Beside the request, because it need not wait for that.
fn note_use(node: &Arc<Node>, token: &TokenRecord) {
    let is_noted = token.used.is_some_and(|used| Timestamp::now().duration_since(used).abs() < NOTED_EVERY);
    if is_noted {
        return;
    }
    let (node, name) = (Arc::clone(node), token.name.clone());
    tokio::spawn(async move {
        if let Err(error) = node.store.note_token_use(&name).await {
            tracing::debug!(%error, token = name, "failed to note the use of a token");
        }
    });
}

/// The hash of a token in the form of [`ApiToken::sha256`].
pub fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stores a new token. The text that it returns is nowhere else. `None`: another token has that name.
pub async fn create_token<S: Tokens>(
    store: &S,
    name: &str,
    scopes: &[ApiScope],
    expires_in: Option<Duration>,
    by: Actor,
) -> store::Result<Option<String>> {
    let token = new_token()?;
    let new = NewToken {
        name: name.to_owned(),
        sha256: hash(&token),
        grant: ApiScope::grant(scopes),
        scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        by,
        expires_in,
    };
    Ok(store.create_token(new).await?.then_some(token))
}

/// The prefix lets people and leak scanners recognise a token.
const PREFIX: &str = "gatepost_";

/// A new token, which nobody can guess.
pub fn new_token() -> store::Result<String> {
    Ok(format!("{PREFIX}{}", Secret::new()?.text()))
}

#[cfg(test)]
mod tests {
    use store::{Grant, NewToken, Right, SqliteStore};

    use super::*;

    const REMOTE: &str = "192.0.2.1:443";
    const LOCAL: &str = "127.0.0.1:2580";

    fn connection(here: &str) -> Connection {
        Connection { client: "192.0.2.9:1".parse().unwrap(), here: here.parse().unwrap(), is_tls: false }
    }

    fn configured(token: &str, scopes: Vec<ApiScope>) -> ApiToken {
        ApiToken { name: format!("holder of {token}"), sha256: hash(token), scopes }
    }

    fn nobody() -> Client {
        Client::nobody("192.0.2.9".parse().unwrap())
    }

    async fn stored(token: &str, expires_in: Option<Duration>) -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), "mx1").unwrap();
        let grant = Grant { right: Some(Right::Tracer), metrics: false };
        let (name, sha256, scopes) = ("stored".to_owned(), hash(token), Vec::new());
        let new = NewToken { name, sha256, grant, scopes, by: "ana".into(), expires_in };
        assert!(store.create_token(new).await.unwrap());
        (folder, store)
    }

    async fn asks(
        tokens: &[ApiToken],
        store: &SqliteStore,
        here: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Client, u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let found = match bearer(&headers) {
            Some(token) => holder(tokens, store, &connection(here), token).await.map(|(client, _)| client),
            None => without_token(tokens, store, &connection(here), &Uri::from_static("/"), &headers).await,
        };
        found.map_err(|problem| problem.kind().status())
    }

    #[tokio::test]
    async fn with_tokens_only_their_holders_get_answers() {
        let (_folder, store) = stored("c", None).await;
        let tokens = [configured("a", vec![ApiScope::Trace]), configured("b", vec![ApiScope::Metrics])];
        let authorized = |value| [(header::AUTHORIZATION, value)];
        for here in [LOCAL, REMOTE] {
            for (value, name, right) in [
                ("Bearer b", "token holder of b", None),
                ("bearer  a", "token holder of a", Some(Right::Tracer)),
                ("Bearer c", "token stored", Some(Right::Tracer)),
            ] {
                let client = asks(&tokens, &store, here, &authorized(value)).await.unwrap();
                assert_eq!((client.name.as_str(), client.grant.right), (name, right), "{value}");
            }
            for wrong in ["Bearer d", "Bearer", "a", "Basic a", "Bearer "] {
                assert_eq!(asks(&tokens, &store, here, &authorized(wrong)).await, Err(401), "{wrong}");
                assert_eq!(asks(&[], &store, here, &authorized(wrong)).await, Err(401), "{wrong}");
            }
            assert_eq!(asks(&[], &store, here, &[]).await, Err(401));
        }
    }

    #[tokio::test]
    async fn a_token_that_expired_or_was_revoked_opens_nothing() {
        let (_folder, store) = stored("c", Some(Duration::ZERO)).await;
        let authorized = [(header::AUTHORIZATION, "Bearer c")];
        assert_eq!(asks(&[], &store, LOCAL, &authorized).await, Err(401));
        assert_eq!(asks(&[], &store, LOCAL, &[]).await, Ok(nobody()));
        let (_folder, store) = stored("c", None).await;
        assert!(asks(&[], &store, LOCAL, &authorized).await.is_ok());
        assert!(store.revoke_token("stored", "ana".into()).await.unwrap());
        assert_eq!(asks(&[], &store, LOCAL, &authorized).await, Err(401));
    }

    #[tokio::test]
    async fn without_tokens_only_this_machine_gets_answers() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), "mx1").unwrap();
        for host in ["localhost", "LOCALHOST:2580", "127.0.0.1:2580", "[::1]:2580"] {
            assert_eq!(asks(&[], &store, LOCAL, &[(header::HOST, host)]).await, Ok(nobody()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:2580", "evil@localhost", ""] {
            assert_eq!(asks(&[], &store, LOCAL, &[(header::HOST, host)]).await, Err(403), "{host}");
        }
        let twice = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
        assert_eq!(asks(&[], &store, LOCAL, &twice).await, Err(403));
        assert_eq!(asks(&[], &store, REMOTE, &[(header::HOST, "localhost")]).await, Err(401));
        let tokens = [configured("a", vec![ApiScope::Look])];
        assert_eq!(asks(&tokens, &store, LOCAL, &[(header::HOST, "localhost")]).await, Err(401));
    }
}
