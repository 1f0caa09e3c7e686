//! `gatepost api`: creates tokens for a configuration file.

use std::io::Write;

use anyhow::Context as _;
use console::{hash, new_token};
use node::config::ApiScope;

use super::arguments::ApiCommand;

pub(crate) fn run(command: &ApiCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let ApiCommand::Token { name, scopes } = command;
    let token = new_token().context("failed to get random numbers from the system")?;
    writeln!(out, "# The token. It is shown only once; store it like a password:")?;
    writeln!(out, "#   {token}")?;
    writeln!(out, "# Append these lines to gatepost.toml and reload the node (SIGHUP):")?;
    let name = toml::Value::from(name.as_str());
    writeln!(out, "[[api_token]]\nname = {name}\nsha256 = \"{}\"", hash(&token))?;
    if !scopes.is_empty() {
        let scopes: Vec<ApiScope> = scopes.iter().copied().map(ApiScope::from).collect();
        writeln!(out, "scopes = {}", toml::Value::try_from(scopes)?)?;
    }
    Ok(())
}
