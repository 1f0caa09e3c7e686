//! `/settings/tokens`: tokens of the API, in the store and in the configuration. A new one is shown once, in the answer to the form.

use axum::response::{IntoResponse as _, Redirect, Response};
use insight::units::Duration;
use maud::{Markup, html};
use node::config::ApiScope;
use store::{TokenRecord, Tokens as _};

use super::{Fault, ROWS_MAX, Tab, asked::link, page, pages, rows_after};
use crate::{
    access::create_token,
    pages::{
        Refusal,
        asked::Asked,
        form::{Form, form},
        shell::Visit,
        words::{foreign, time},
    },
};

/// How long a token may be valid; the first is what most should choose.
const EXPIRES: [(&str, &str); 4] =
    [("90d", "90 days"), ("30d", "30 days"), ("365d", "1 year"), ("never", "does not expire")];
/// Longest name, as the API has it.
const NAME_MAX: usize = 100;

const fn about(scope: ApiScope) -> &'static str {
    match scope {
        ApiScope::Look => "incidents, charts, destinations, nodes; no addresses",
        ApiScope::Trace => "also messages, addresses and subjects",
        ApiScope::Operate => "also retries, rollouts and probes",
        ApiScope::Administer => "also removes mail, reads content, manages users and tokens",
        ApiScope::Metrics => "metrics",
    }
}

fn names(scopes: &[ApiScope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}

pub(in crate::pages) async fn show(visit: Visit, mut asked: Asked) -> Result<Response, Refusal> {
    let (after, revoke) = (asked.take("after")?, asked.take("revoke")?);
    asked.end()?;
    let tokens = visit.node.store.tokens().await?;
    if let Some(name) = revoke {
        return match tokens.iter().any(|token| token.name == name) {
            true => Ok(confirm(&visit, &name)),
            false => Err(Refusal::not_found("There is no token of that name in the store.")),
        };
    }
    Ok(list(&visit, tokens, after.as_deref(), None))
}

fn confirm(visit: &Visit, name: &str) -> Response {
    let content = html! {
        p { "Programs that use the token " strong { (foreign(name)) } " are refused from then on, on all nodes." }
        (form(&visit.person, "/settings/tokens/revoke", &html! {
            input type="hidden" name="name" value=(name);
            p { button.danger { "Revoke" } " " a.button href="/settings/tokens" { "Keep it" } }
        }))
    };
    page(visit, Tab::Tokens, "Revoke this token?", None, &content)
}

fn list(visit: &Visit, tokens: Vec<TokenRecord>, after: Option<&str>, fault: Option<&Fault>) -> Response {
    let (tokens, next) = rows_after(tokens, after, |token| &token.name);
    let content = html! {
        @if tokens.is_empty() { p { "No tokens in the store." } } @else { (table(&tokens)) }
        (pages("/settings/tokens", after.is_some(), next.as_deref()))
        @if after.is_none() { (configured(visit)) }
        h2 { "Create a token" }
        p { "It works at once on all nodes. It is shown only once." }
        (form(&visit.person, "/settings/tokens", &html! {
            div.fields {
                p {
                    label for="name" { "Name of the person or program" }
                    input #name name="name" required maxlength=(NAME_MAX) autocomplete="off" spellcheck="false";
                }
                p {
                    label for="expires" { "Expires after" }
                    select #expires name="expires" { @for (value, name) in EXPIRES { option value=(value) { (name) } } }
                }
            }
            fieldset.scopes {
                legend { "Scopes" }
                @for scope in ApiScope::ALL {
                    label { input type="checkbox" name="scope" value=(scope.name()); " " (scope.name()) span.quiet { ": " (about(scope)) } }
                }
            }
            p { button.primary { "Create" } }
        }))
    };
    page(visit, Tab::Tokens, "Tokens of the API", fault, &content)
}

fn table(tokens: &[TokenRecord]) -> Markup {
    const COLUMNS: [&str; 5] = ["Name", "Scopes", "Created by", "Expires", "Last used"];
    html! {
        table.stack {
            thead { tr { @for name in COLUMNS { th scope="col" { (name) } } th scope="col" { span.hidden { "Action" } } } }
            tbody {
                @for token in tokens {
                    tr data-row=(token.name) {
                        th scope="row" { (foreign(&token.name)) }
                        td data-label="Scopes" { (names(&ApiScope::of_grant(token.grant))) }
                        td data-label="Created by" { (foreign(&token.created_by)) }
                        td data-label="Expires" {
                            @match token.expires {
                                _ if token.is_expired => span.trouble { "expired" },
                                Some(at) => (time(at)),
                                None => "never",
                            }
                        }
                        td data-label="Last used" { @match token.used { Some(at) => (time(at)), None => "never" } }
                        td { a href=(link("/settings/tokens", [("revoke", &token.name)])) { "Revoke" span.hidden { " " (foreign(&token.name)) } "…" } }
                    }
                }
            }
        }
    }
}

fn configured(visit: &Visit) -> Markup {
    let config = visit.node.config.load();
    html! {
        h2 { "In the configuration" }
        @if config.api_tokens.is_empty() {
            p { "No tokens in the configuration of " (foreign(&config.node.name)) "." }
        } @else {
            p { "Each node has its own. These are those of " (foreign(&config.node.name)) "; to revoke one, remove it there and reload the node." }
            table.stack {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Scopes" } } }
                tbody {
                    @for token in config.api_tokens.iter().take(ROWS_MAX) {
                        tr { th scope="row" { (foreign(&token.name)) } td data-label="Scopes" { (names(&token.scopes)) } }
                    }
                }
            }
            @if config.api_tokens.len() > ROWS_MAX { p.quiet { (config.api_tokens.len() - ROWS_MAX) " more are not listed." } }
        }
    }
}

/// What a form asks for.
struct Wanted {
    name: String,
    scopes: Vec<ApiScope>,
    expires_in: Option<Duration>,
}

impl Wanted {
    fn read(form: &Form) -> Result<Self, Fault> {
        let name = form.text("name").unwrap_or_default().trim().to_owned();
        let length = name.chars().count();
        if !(1..=NAME_MAX).contains(&length) || name.chars().any(|character| character.is_control()) {
            return Err(Fault::bad(format!("name: must have 1 to {NAME_MAX} characters, all of them text.")));
        }
        let named = |text: &str| ApiScope::ALL.into_iter().find(|scope| scope.name() == text);
        let scopes: Option<Vec<ApiScope>> = form.all("scope").map(named).collect();
        let scopes = scopes.filter(|scopes| !scopes.is_empty());
        let scopes =
            scopes.ok_or_else(|| Fault::bad(format!("scope: choose at least one of {}.", names(&ApiScope::ALL))))?;
        let expires = form.text("expires").and_then(|text| EXPIRES.into_iter().find(|(value, _)| *value == text));
        let (expires, _) = expires.ok_or_else(|| Fault::bad("expires: choose one of those in the list."))?;
        Ok(Self { name, scopes, expires_in: expires.parse().ok() })
    }
}

pub(in crate::pages) async fn create(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let created = match Wanted::read(&form) {
        Ok(Wanted { name, scopes, expires_in }) => {
            let by = form.person.actor();
            let token = create_token(&visit.node.store, &name, &scopes, expires_in.map(|wait| *wait), by).await?;
            let taken =
                || Fault::conflict("name: there is a token of that name; revoke it first, or choose another name.");
            token.map(|token| (name, token)).ok_or_else(taken)
        }
        Err(fault) => Err(fault),
    };
    let (name, token) = match created {
        Ok(created) => created,
        Err(fault) => return Ok(list(&visit, visit.node.store.tokens().await?, None, Some(&fault))),
    };
    let content = html! {
        p { "The token " strong { (foreign(&name)) } " works at once. It is shown only here; store it like a password." }
        p.secret { label for="token" { "Token" } input #token.wide readonly value=(token); }
        p { "Send it in the header " code { "Authorization: Bearer TOKEN" } "." }
        p { a href="/settings/tokens" { "Tokens" } }
    };
    Ok(page(&visit, Tab::Tokens, "New token", None, &content))
}

pub(in crate::pages) async fn revoke(visit: Visit, form: Form) -> Result<Response, Refusal> {
    let name = form.text("name").unwrap_or_default();
    match visit.node.store.revoke_token(name, form.person.actor()).await? {
        true => Ok(Redirect::to("/settings/tokens").into_response()),
        false => Err(Refusal::not_found("There is no token of that name in the store. Nothing was changed.")),
    }
}
