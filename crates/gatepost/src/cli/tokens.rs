//! `gatepost token`: tokens of the HTTP API that are in the store.

use std::io::Write;

use anyhow::{Context as _, bail};
use console::create_token;
use insight::views::TokenView;
use node::config::{ApiScope, Deadline};
use serde_json::json;
use store::{Store, TokenRecord};

use super::{
    arguments::{Format, TokenCommand},
    operator,
    screen::{Colour, Screen, clean},
    similar::no_match,
    table::{Cell, Column, Table},
};

pub(crate) async fn run<S: Store>(
    command: &TokenCommand,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, scopes, expires, format } => {
            let scopes: Vec<ApiScope> = scopes.iter().copied().map(ApiScope::from).collect();
            let token = create(name, &scopes, *expires, store).await?;
            match format {
                Format::Json => writeln!(out, "{}", insight::json::text(&json!({ "name": name, "token": token }))?)?,
                Format::Table => writeln!(out, "{token}")?,
            }
            note!("The token works at once. It is shown only once; store it like a password.");
            Ok(())
        }
        TokenCommand::List(output) => {
            let tokens = store.tokens().await.context("failed to read the tokens")?;
            match output.format {
                Format::Json => {
                    let tokens: Vec<TokenView> = tokens.iter().map(view).collect();
                    Ok(writeln!(out, "{}", insight::json::pretty(&json!({ "tokens": tokens }))?)?)
                }
                Format::Table if tokens.is_empty() => Ok(writeln!(out, "No tokens in the store.")?),
                Format::Table => Ok(table(&tokens, screen, out)?),
            }
        }
        TokenCommand::Revoke { name } => {
            if store.revoke_token(name, operator().into()).await? {
                return Ok(writeln!(out, "Token {} is revoked.", clean(name))?);
            }
            let tokens = store.tokens().await?;
            Err(no_match("no token in the store is named", name, tokens.iter().map(|token| token.name.as_str())))
        }
    }
}

async fn create<S: Store>(name: &str, scopes: &[ApiScope], expires: Deadline, store: &S) -> anyhow::Result<String> {
    let expires_in = match expires {
        Deadline::After(wait) => Some(*wait),
        Deadline::Never => None,
    };
    let created = create_token(store, name, scopes, expires_in, operator().into()).await;
    match created.context("failed to store the token")? {
        Some(token) => Ok(token),
        None => bail!("there is a token named {}; revoke it first, or choose another name", clean(name)),
    }
}

fn scopes(token: &TokenRecord) -> Vec<String> {
    ApiScope::of_grant(token.grant).into_iter().map(|scope| scope.name().to_owned()).collect()
}

fn view(token: &TokenRecord) -> TokenView {
    TokenView::new(token, scopes(token))
}

fn table(tokens: &[TokenRecord], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::cut("NAME", 8),
        Column::whole("SCOPES"),
        Column::whole("EXPIRES"),
        Column::whole("LAST USED"),
        Column::cut("CREATED BY", 8).spare(1),
    ];
    let row = |token: &TokenRecord| {
        let expires = token.expires.map(|at| screen.until(at));
        vec![
            Cell::new(&token.name),
            Cell::new(scopes(token).join(", ")),
            match expires {
                _ if token.is_expired => Cell::coloured("expired", Colour::Yellow),
                Some(expires) => Cell::new(expires),
                None => Cell::new("never"),
            },
            Cell::new(token.used.map_or("never".to_owned(), |at| format!("{} ago", screen.age(at)))),
            Cell::new(&token.created_by),
        ]
    };
    Table::new(&COLUMNS, screen).write(&tokens.iter().map(row).collect::<Vec<_>>(), out)
}
