//! `gatepost api`: creates tokens.

use std::io::Write;

use anyhow::Context as _;
use console::hash;
use node::config::ApiScope;
use rustix::rand::{GetRandomFlags, getrandom};

use super::arguments::{ApiCommand, TokenScope};

/// The prefix lets people and leak scanners recognise a token.
const PREFIX: &str = "gatepost_";
const TOKEN_BYTES: usize = 32;

pub(crate) fn run(command: &ApiCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let ApiCommand::Token { name, scopes } = command;
    let mut random = [0; TOKEN_BYTES];
    // So few bytes arrive in one call or not at all (getrandom(2)).
    getrandom(&mut random, GetRandomFlags::empty()).context("failed to get random numbers from the system")?;
    let token = random.iter().fold(PREFIX.to_owned(), |token, byte| token + &format!("{byte:02x}"));
    writeln!(out, "# The token. It is shown only once; store it like a password:")?;
    writeln!(out, "#   {token}")?;
    writeln!(out, "# Append these lines to gatepost.toml and reload the node (SIGHUP):")?;
    let name = toml::Value::from(name.as_str());
    writeln!(out, "[[api_token]]\nname = {name}\nsha256 = \"{}\"", hash(&token))?;
    if !scopes.is_empty() {
        let scopes = scopes.iter().map(|scope| match scope {
            TokenScope::Trace => ApiScope::Trace,
            TokenScope::Metrics => ApiScope::Metrics,
        });
        writeln!(out, "scopes = {}", toml::Value::try_from(scopes.collect::<Vec<_>>())?)?;
    }
    Ok(())
}
