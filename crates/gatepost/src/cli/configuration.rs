//! `gatepost config`: check, show, explain.

use std::{fs::File, io::Write, path::Path};

use anyhow::Context;

use super::arguments::{ConfigCommand, ConfigFormat};
use crate::config::{self, Config};

pub(crate) fn run(command: &ConfigCommand, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => check(path, out),
        ConfigCommand::Show { format } => {
            let config = Config::load(path)?;
            match format {
                ConfigFormat::Toml => write!(out, "{}", toml::to_string_pretty(&config)?)?,
                ConfigFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&config)?)?,
            }
            Ok(())
        }
        ConfigCommand::Reference => Ok(write!(out, "{}", config::reference())?),
        ConfigCommand::Example => Ok(write!(out, "{}", config::EXAMPLE)?),
    }
}

fn check(path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let files = [("tls_certificate", &config.inbound.tls_certificate), ("tls_key", &config.inbound.tls_key)];
    for (key, file) in files {
        if let Some(file) = file {
            File::open(file).with_context(|| format!("{}: inbound.{key}: {}", path.display(), file.display()))?;
        }
    }
    let (domains, connectors) = (config.accepted_domains.len(), config.connectors.len());
    writeln!(out, "{}: ok (accepted domains: {domains}, connectors: {connectors})", path.display())?;
    if domains == 0 {
        writeln!(out, "Note: without an [[accepted_domain]] every recipient is refused.")?;
    }
    Ok(())
}
