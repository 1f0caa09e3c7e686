//! `gatepost api`: tokens.

use std::io::Write;

use anyhow::Context as _;
use rustix::rand::{GetRandomFlags, getrandom};

use super::arguments::ApiCommand;
use console::hash;

/// So that a token is known for one where it turns up, by people and by programs that look for leaks.
const PREFIX: &str = "gatepost_";
const TOKEN_BYTES: usize = 32;

pub(crate) fn run(command: &ApiCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let ApiCommand::Token { name } = command;
    let mut random = [0; TOKEN_BYTES];
    // So few bytes come at once or not at all (getrandom(2)).
    getrandom(&mut random, GetRandomFlags::empty()).context("the system has no random numbers")?;
    let token = random.iter().fold(PREFIX.to_owned(), |token, byte| token + &format!("{byte:02x}"));
    writeln!(out, "# The token, shown only here; keep it where secrets are kept:")?;
    writeln!(out, "#   {token}")?;
    writeln!(out, "# Append this to gatepost.toml, and let the node read it again (SIGHUP):")?;
    let name = toml::Value::from(name.as_str());
    Ok(writeln!(out, "[[api_token]]\nname = {name}\nsha256 = \"{}\"", hash(&token))?)
}
