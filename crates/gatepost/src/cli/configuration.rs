//! `gatepost config`: check, show, explain.

use std::{io::Write, path::Path};

use node::config::{self, Config, ConfigErrors, Examined, Purpose};
use serde_json::json;

use super::{
    arguments::{ConfigCommand, ConfigFormat, Format},
    screen::counted,
};

/// True if a check found errors.
pub(crate) fn run(command: &ConfigCommand, path: &Path, out: &mut dyn Write) -> anyhow::Result<bool> {
    match command {
        ConfigCommand::Check { format } => return check(path, *format, out),
        ConfigCommand::Show { format } => {
            let config = Config::load(path)?;
            match format {
                ConfigFormat::Toml => write!(out, "{}", toml::to_string_pretty(&config)?)?,
                ConfigFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&config)?)?,
            }
        }
        ConfigCommand::Reference => write!(out, "{}", config::reference())?,
        ConfigCommand::Example => write!(out, "{}", config::EXAMPLE)?,
    }
    Ok(false)
}

fn check(path: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Examined { config, warnings } = Config::examine(path, Purpose::Check);
    let errors = config.as_ref().err();
    // A missing file is wrong usage, not an error in the file.
    if let Some(errors) = errors.filter(|errors| errors.is_unreadable()) {
        return Err(errors.clone().into());
    }
    match format {
        Format::Json => {
            let errors = errors.map(ConfigErrors::views).unwrap_or_default();
            let all = json!({ "errors": errors, "warnings": warnings.views() });
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        Format::Table => {
            let sections = [(errors, "error", "errors"), (Some(&warnings), "warning", "warnings")];
            for (faults, one, many) in sections {
                if let Some(faults) = faults.filter(|faults| !faults.is_empty()) {
                    writeln!(out, "{}:\n{faults}\n", counted(faults.len() as u64, one, many))?;
                }
            }
            write_result(path, config.as_ref(), warnings.is_empty(), out)?;
        }
    }
    Ok(config.is_err())
}

fn write_result(
    path: &Path,
    config: Result<&Config, &ConfigErrors>,
    is_without_warnings: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let path = path.display();
    match config {
        Err(_) => writeln!(out, "{path}: not usable; fix the errors"),
        Ok(config) => {
            let domains = counted(config.accepted_domains.len() as u64, "accepted domain", "accepted domains");
            let connectors = counted(config.connectors.len() as u64, "connector", "connectors");
            let state = if is_without_warnings { "ok" } else { "ok, with warnings" };
            writeln!(out, "{path}: {state} ({domains}, {connectors})")
        }
    }
}
