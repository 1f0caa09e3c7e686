//! `gatepost config`: check, show, explain; the fleet's configuration.

use std::{io::Write, path::Path};

use node::config::{self, Config, ConfigErrors, Examined, File, Fleet, FleetConfig, Purpose};
use serde_json::json;

use super::{
    arguments::{ConfigCommand, ConfigFormat, Format},
    fleet_config,
    screen::{Screen, counted},
};

/// True if a check found errors, a file differs, or a node cannot follow.
pub(crate) async fn run(
    command: &ConfigCommand,
    path: &Path,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    match command {
        ConfigCommand::Check { format } => return check(path, *format, out).await,
        ConfigCommand::Show { format } => {
            let config = in_force(path).await?.without_passwords();
            match format {
                ConfigFormat::Toml => write!(out, "{}", toml::to_string_pretty(&config)?)?,
                ConfigFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&config)?)?,
            }
        }
        ConfigCommand::Reference => write!(out, "{}", config::reference())?,
        ConfigCommand::Example => write!(out, "{}", config::EXAMPLE)?,
        ConfigCommand::Apply { .. }
        | ConfigCommand::Diff { .. }
        | ConfigCommand::History { .. }
        | ConfigCommand::Rollback { .. } => return fleet_config::run(command, path, screen, out).await,
    }
    Ok(false)
}

/// The settings that hold for the node of this file, for commands that work without its store. If the store cannot be read,
/// they are those of the file alone.
pub(crate) async fn in_force(path: &Path) -> anyhow::Result<Config> {
    let file = File::read(path)?;
    let own = file.parse()?;
    match node::fleet_config(&own).await {
        Ok(None) => Ok(own),
        Ok(Some(fleet)) => match file.merged(&fleet) {
            Ok(config) => Ok(config),
            Err(errors) => {
                note!("gatepost: {}; going by the file alone", errors.messages().collect::<Vec<_>>().join("; "));
                Ok(own)
            }
        },
        Err(error) => {
            note!("gatepost: the fleet's configuration is not known; going by the file alone: {error:#}");
            Ok(own)
        }
    }
}

async fn check(path: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<bool> {
    // A missing file is wrong usage, not an error in the file.
    let file = File::read(path)?;
    let fleet = match file.parse() {
        Ok(own) => fleet_config_for(&own).await,
        // The faults of the file come first.
        Err(_) => Ok(None),
    };
    let fleet = fleet.map_err(|error| (format!("{error:#}"), node::refuses_to_serve(&error)));
    let fleet = match &fleet {
        Ok(None) => Fleet::Absent,
        Ok(Some(fleet)) => Fleet::Known(fleet),
        Err((why, true)) => Fleet::Unusable(why),
        Err((why, _)) => Fleet::Unknown(why),
    };
    let Examined { config, warnings } = file.examine(fleet, Purpose::Check);
    let errors = config.as_ref().err();
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

/// As a node that starts gets it.
async fn fleet_config_for(own: &Config) -> anyhow::Result<Option<FleetConfig>> {
    node::refuse_folder(own)?;
    node::fleet_config(own).await
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
