//! The command line: commands and their output. Results go to standard output, as tables for people or as JSON whose
//! types are in [`insight::views`]; errors go to standard error.
//!
//! Exit status: 0 success, 1 ongoing findings (`why`), problems (`probe`, `connector validate`), errors (`config check`), differences (`config diff`), a
//! node that cannot follow (`config apply`), warnings (`store check`) or mail that would break (`policy impact`), 2 wrong usage, unreadable input or a name that matches nothing.

mod api;
mod arguments;
mod backup;
mod capture;
mod changes;
mod configuration;
mod connectors;
mod event;
mod finding;
mod fleet_changes;
mod fleet_config;
mod foreign;
mod groups;
mod ids;
mod impact;
mod incident;
mod migrate;
mod nodes;
#[cfg(test)]
mod operations;
mod output;
mod overview;
mod policy;
#[cfg(test)]
mod printed_commands;
mod probe;
mod probe_view;
#[cfg(test)]
mod questions;
mod queue;
mod restored;
mod rollout;
mod screen;
mod show;
mod similar;
mod store_check;
pub(crate) mod table;
mod tallies;
#[cfg(test)]
mod tests;
mod tokens;
mod trace;
mod under_way;
mod unknown;
mod user;
mod waiting;
mod why;

use std::{env, fs, io, process::ExitCode};

pub(crate) use api::run as run_api;
pub(crate) use arguments::{Arguments, CaseCommand, Command, Format, PolicyCommand, StoreCommand};
pub(crate) use backup::{backup as run_backup, restore as run_restore};
pub(crate) use capture::run as run_capture;
pub(crate) use changes::run as run_changes;
pub(crate) use configuration::{in_force, run as run_config};
pub(crate) use connectors::run as run_connector;
pub(crate) use foreign::run as run_foreign_trace;
pub(crate) use impact::run as run_impact;
pub(crate) use incident::run as run_incident;
pub(crate) use migrate::run as run_migrate;
pub(crate) use nodes::run as run_node;
pub(crate) use policy::{ledger as run_ledger, list as list_policies};
pub(crate) use probe::{Shown, run as run_probe};
pub(crate) use queue::run as run_queue;
pub(crate) use restored::run as run_store_restored;
pub(crate) use rollout::run as run_rollout;
pub(crate) use screen::{Screen, clean, counted, paragraph, wrapped, write_note};
pub(crate) use store_check::run as run_store_check;
pub(crate) use tallies::run as run_tallies;
pub(crate) use tokens::run as run_token;
pub(crate) use trace::run as run_trace;
pub(crate) use user::run as run_user;
pub(crate) use why::{run as run_why, write as write_findings};

use node::config::ConfigErrors;

/// The user who gives a command, for events and plans.
fn operator() -> String {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("SUDO_USER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
    let uid = rustix::process::getuid().as_raw();
    user.or_else(|| user_named_in("/etc/passwd", uid)).unwrap_or_else(|| format!("uid {uid}"))
}

/// Services and cron jobs have no USER.
fn user_named_in(passwd: &str, uid: u32) -> Option<String> {
    let users = fs::read_to_string(passwd).ok()?;
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let uid = uid.to_string();
    users.find(|fields| fields.get(2) == Some(&uid.as_str())).map(|fields| fields[0].to_owned())
}

/// Prints an error, if there is one, on standard error, and gives the exit status.
pub(crate) fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(status) => return status,
        Err(error) => error,
    };
    // The reader of the pipe, such as head, has stopped reading.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<ConfigErrors>() {
        // Errors of the configuration begin with file, line and column, so that editors can find the place.
        Some(errors) => note!("{errors}"),
        None => note!("gatepost: {error:#}"),
    }
    ExitCode::from(2)
}
