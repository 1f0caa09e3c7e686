//! Arguments of `gatepost config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, Output};

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ConfigCommand {
    /// Check the file and everything that it names; show each error with its line and column
    #[command(after_help = CHECK_HELP)]
    Check {
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print the settings in force: the file and the fleet's configuration, with all defaults filled in
    Show {
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: ConfigFormat,
    },
    /// Print every setting with its meaning and default
    Reference,
    /// Print a short configuration to start from
    #[command(after_help = "Example:\n  gatepost config example > gatepost.toml")]
    Example,
    /// Give all nodes of a fleet the fleet's settings of a file, once each node has checked them
    #[command(after_help = APPLY_HELP)]
    Apply {
        /// File with the settings, such as the gatepost.toml of a node
        file: PathBuf,
        #[command(flatten)]
        how: ApplyArguments,
    },
    /// Show what would change if a file or an old version were applied; without one, what the last apply changed
    #[command(after_help = DIFF_HELP)]
    Diff {
        /// Number of a version, or a file
        #[arg(value_name = "VERSION|FILE")]
        what: Option<String>,
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the versions of the fleet's configuration, newest first, or print one
    #[command(after_help = HISTORY_HELP)]
    History {
        /// Print the settings of this version, as a file for `gatepost config apply`
        version: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Apply an old version of the fleet's configuration as a new one, once each node has checked it
    #[command(after_help = APPLY_HELP)]
    Rollback {
        /// Number of the version, as `gatepost config history` shows it
        version: u64,
        #[command(flatten)]
        how: ApplyArguments,
    },
}

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ApplyArguments {
    /// Do everything but apply it
    #[arg(long)]
    pub dry_run: bool,
    /// Reason of the change, for the history
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Apply it although this node cannot follow or does not answer; may be repeated
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// Apply it although it has no accepted domain, so that every recipient is refused
    #[arg(long)]
    pub no_domains: bool,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum ConfigFormat {
    #[default]
    Toml,
    Json,
}

const CHECK_HELP: &str = "\
Run the check as the user of the service, because it opens files and addresses
as the user who starts it. It covers certificates, keys and other files, the
data folder, the addresses to listen on, and connectors that lead back to this
node. In a fleet, it covers the file with the fleet's configuration. It sends
no mail.

Exit status: 0 no errors (there may be warnings), 1 errors, 2 file not found or
wrong usage.

JSON: {\"errors\": [{\"file\", \"line\", \"column\", \"message\"}],
\"warnings\": [the same keys]}. line and column are null if there is no place.";

const APPLY_HELP: &str = "\
Examples:
  gatepost config apply fleet.toml --dry-run
  gatepost config apply fleet.toml --comment 'a new customer'
  gatepost config rollback 3

For nodes that share a PostgreSQL server. Domains, connectors, TLS policies,
retries, notices, history and watch are then the same on all nodes. [node],
[store], addresses, certificates, logs and tokens stay in each node's own file;
those of the applied file are not used. docs/fleet.md lists all settings.

Every live node checks the settings first, with its own file and its own
version of Gatepost. Nothing is applied if a node cannot follow or does not
answer within 10 seconds, unless --without names it. Such a node keeps what it
has, until it can follow. Nodes follow within 5 seconds, without a restart.

Exit status: 0 applied, 1 refused by a node or overtaken by another apply,
2 errors in the file, wrong usage, or the store cannot be reached.

JSON: {\"result\": applied, possible (with --dry-run), unchanged, refused or
overtaken, \"version\": in force now, \"before\", \"changes\": as in config diff,
\"not_applied\": [setting], \"without_connector\": [{\"connector\", \"deliveries\":
that wait for a removed connector}], \"nodes\": [{\"node\", \"version\": of Gatepost,
\"answer\": can-follow, cannot-follow, cannot-check or no-answer, \"left_out\",
\"errors\": [{\"setting\", \"line\", \"column\", \"message\"}]}]}.";

const DIFF_HELP: &str = "\
Examples:
  gatepost config diff                what the last apply changed
  gatepost config diff fleet.toml     what this file would change
  gatepost config diff 3              what a rollback to version 3 would change

Exit status: 0 no difference, 1 differences, 2 wrong usage or errors in the
file.

JSON: {\"from\": version, \"to\": version, or null for a file,
\"changes\": [{\"setting\", \"old\", \"new\"}]}.
A setting that is not set has its default; null if it has none. For a connector,
a domain or a policy that is added, old is null; removed: new is null.";

const HISTORY_HELP: &str = "\
NODES is the number of running nodes that follow the version.

JSON: {\"versions\": [{\"version\", \"at\", \"by\", \"comment\", \"repeats\": the
version that it is again, \"program\": version of Gatepost, \"nodes\"}]}.";
