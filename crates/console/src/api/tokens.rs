//! `/api/v1/tokens`: who may use the API. A token is shown once, when it is created.

use axum::http::StatusCode;
use insight::{units::Duration, views::TokenView};
use node::config::ApiScope;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Right, Tokens as _};

use super::{
    form::Form,
    listing::{self, PAGE},
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};
use crate::access::create_token;

const LIST: &str = "/api/v1/tokens";
/// Longest name.
const NAME: Form = Form::Text(100);
const SCOPES: Form = Form::Names(|| ApiScope::ALL.map(ApiScope::name).to_vec());

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(LIST, "listTokens", "List the tokens of the API, by name", |asked| Box::pin(list(asked)))
        .needs(Right::Administrator)
        .query(&PAGE)
        .gives::<TokenList>()
        .fails(&[Kind::NotFound])
        .commands(&["token list"]),
    Operation::post(LIST, "createToken", "Create a token, which works at once on all nodes", |asked| {
        Box::pin(create(asked))
    })
    .needs(Right::Administrator)
    .takes(Takes::Json(&[
        Parameter::new("name", "Name of the person or program that gets it, for the log and the audit", NAME)
            .required(),
        Parameter::new("scopes", "What it may do", SCOPES).required(),
        Parameter::new("expires", "Time until it expires; without it, it does not expire", Form::Span),
    ]))
    .gives_as::<CreatedToken>(201)
    .fails(&[Kind::Conflict])
    .commands(&["token create"]),
    Operation::delete("/api/v1/tokens/{name}", "revokeToken", "Revoke a token", |asked| Box::pin(revoke(asked)))
        .needs(Right::Administrator)
        .in_path(&[Parameter::new("name", "Name of the token", NAME)])
        .fails(&[Kind::NotFound, Kind::Conflict])
        .commands(&["token revoke"]),
];

#[derive(Serialize, JsonSchema)]
struct TokenList {
    /// Tokens in the store.
    tokens: Vec<TokenView>,
    /// Tokens in the configuration of the node that answers: each node has its own.
    configured: Vec<ConfiguredToken>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

/// A token in the configuration of one node.
#[derive(Serialize, JsonSchema)]
struct ConfiguredToken {
    name: String,
    scopes: Vec<ApiScope>,
}

#[derive(Serialize, JsonSchema)]
struct CreatedToken {
    name: String,
    /// It is shown only once. Send it in the header `Authorization: Bearer TOKEN`.
    token: String,
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let tokens = node.store.tokens().await?;
    let (tokens, next) = listing::page(LIST, &query, tokens, |token| token.name.clone())?;
    let scopes = |grant| ApiScope::of_grant(grant).into_iter().map(|scope| scope.name().to_owned()).collect();
    let tokens = tokens.iter().map(|token| TokenView::new(token, scopes(token.grant))).collect();
    let config = node.config.load();
    let configured = config.api_tokens.iter();
    let configured =
        configured.map(|token| ConfiguredToken { name: token.name.clone(), scopes: token.scopes.clone() }).collect();
    Reply::json(&TokenList { tokens, configured, next })
}

async fn create(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let name = query.given("name").to_owned();
    let scopes = query.named_values("scopes", &ApiScope::ALL, ApiScope::name).unwrap_or_default();
    let expires_in = query.parsed::<Duration>("expires")?.map(|wait| *wait);
    match create_token(&node.store, &name, &scopes, expires_in, client.actor()).await? {
        Some(token) => Ok(Reply::json(&CreatedToken { name, token })?.status(StatusCode::CREATED)),
        None => Err(Problem::conflict("there is a token of that name; revoke it first, or choose another name")),
    }
}

async fn revoke(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let name = query.given("name");
    if node.store.revoke_token(name, client.actor()).await? {
        return Ok(Reply::nothing());
    }
    match node.config.load().api_tokens.iter().any(|token| token.name == name) {
        true => Err(Problem::conflict("the token is in the configuration; remove it there and reload the node")),
        false => Err(Problem::not_found("there is no token of that name")),
    }
}
