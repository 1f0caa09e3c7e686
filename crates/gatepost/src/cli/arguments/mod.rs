//! What the command line accepts, and its help: a file for each command that has many arguments.

mod backup;
mod capture;
mod case;
mod log_files;
mod policy;
mod probe;
mod queue;
mod trace;
mod why;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use insight::Id;

pub(crate) use backup::*;
pub(crate) use capture::*;
pub(crate) use case::*;
pub(crate) use policy::*;
pub(crate) use probe::*;
pub(crate) use queue::*;
pub(crate) use trace::*;
pub(crate) use why::*;

/// An inbound mail gateway that never leaves its operator guessing why mail is queued.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(
    name = "gatepost",
    version,
    max_term_width = 100,
    after_help = "Examples:
  gatepost config example > gatepost.toml    a file to start from
  gatepost serve                             run a node
  gatepost queue list --by cause             what waits, one row per cause
  gatepost why                               the root cause, with evidence and remedy
  gatepost incident list                     mail that is stuck or was, as the node noted it
  gatepost trace --recipient user@onprem.test --detail
                                             what happened to someone's mail

Exit status: 0 fine, 1 findings (why, probe) or errors (config check), 2 bad usage, unreadable input or
no such message."
)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = CONFIGURATION_VARIABLE,
        default_value = CONFIGURATION,
        hide_env_values = true
    )]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum Command {
    /// Run a node: take mail, keep it, deliver it
    #[command(after_help = "\
Signals: SIGTERM and SIGINT finish what is in flight and stop; SIGHUP reads the configuration again.

Try it, with the configuration of `gatepost config example`:
  swaks --server 127.0.0.1:2525 --to user@onprem.test")]
    Serve {
        /// Start even if the store in the data folder is missing, empty or incomplete; the mail in it is lost
        #[arg(long)]
        accept_loss: bool,
    },
    /// Tell what happened to messages, newest first: one row for each recipient
    #[command(after_help = TRACE_HELP)]
    Trace(Box<TraceArguments>),
    /// Name what keeps mail from flowing: cause, whom it holds for, evidence, remedy
    #[command(after_help = WHY_HELP)]
    Why(Box<WhyArguments>),
    /// Read packet captures: sessions, dialogues, TLS handshakes, and which packets pass a filter
    #[command(after_help = CAPTURE_HELP)]
    Capture(Box<CaptureArguments>),
    /// Find out what a destination supports: TLS versions, cipher suites, certificate, STARTTLS
    #[command(after_help = PROBE_HELP)]
    Probe(ProbeArguments),
    /// Look at the queue and act on what waits there
    #[command(
        subcommand,
        after_help = "\
Examples:
  gatepost queue list --by cause             what waits, one row per cause
  gatepost queue list --connector onprem     what waits for a connector, and why
  gatepost queue show ID                     everything about one message
  gatepost queue retry --connector onprem    try all of it now
  gatepost queue suspend --sender @spam.test --recipient user@onprem.test"
    )]
    Queue(QueueCommand),
    /// Copy queue and history to a folder, while the node runs or not
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArguments),
    /// Put a backup into the data folder; its queue stays suspended until you resume it
    #[command(after_help = RESTORE_HELP)]
    Restore(BackupArguments),
    /// Look at incidents: mail that is stuck or was, as the watch over the queue noted it
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Check and explain the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the TLS policies, and at what is delivered with less than the modern one
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Move the nodes from one TLS policy to another, a share at a time
    #[command(subcommand, after_help = ROLLOUT_HELP)]
    Rollout(RolloutCommand),
    /// Play a story of stuck mail on this machine: real nodes, a real faulty server, real TLS
    #[command(subcommand)]
    Case(CaseCommand),
    /// Make tokens for the HTTP API
    #[command(subcommand)]
    Api(ApiCommand),
}

/// The configuration file where nobody names one.
const CONFIGURATION: &str = "gatepost.toml";
const CONFIGURATION_VARIABLE: &str = "GATEPOST_CONFIG";

impl Arguments {
    /// The configuration file, if the command line names one: what is pasted next has to name it as well.
    pub(crate) fn named_configuration(&self) -> Option<&Path> {
        let default = std::env::var_os(CONFIGURATION_VARIABLE).unwrap_or_else(|| CONFIGURATION.into());
        (self.config.as_os_str() != default).then_some(self.config.as_path())
    }
}

impl Command {
    /// True if it is to show times in UTC.
    pub(crate) fn utc(&self) -> bool {
        match self {
            Self::Trace(arguments) => arguments.utc,
            Self::Why(arguments) => arguments.output.utc,
            Self::Probe(arguments) => arguments.output.utc,
            Self::Capture(arguments) => arguments.utc,
            Self::Queue(QueueCommand::List(list)) => list.output.utc,
            Self::Queue(QueueCommand::Show { output, .. }) => output.utc,
            Self::Policy(PolicyCommand::Impact(ImpactArguments { output, .. })) => output.utc,
            Self::Policy(PolicyCommand::Ledger(output)) | Self::Rollout(RolloutCommand::Status(output)) => output.utc,
            Self::Incident(IncidentCommand::List { output, .. } | IncidentCommand::Show { output, .. }) => output.utc,
            Self::Serve { .. }
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Queue(_)
            | Self::Config(_)
            | Self::Policy(_)
            | Self::Rollout(_)
            | Self::Case(_)
            | Self::Api(_) => false,
        }
    }
}

/// How a result is printed.
#[derive(Args, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Output {
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show times in UTC, not in the local time zone
    #[arg(long)]
    pub utc: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs; all times in UTC
    Json,
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum IncidentCommand {
    /// Incidents, open ones first
    #[command(after_help = "\
JSON: {\"incidents\": [{\"id\", \"connector\", \"destination\", \"cause\", \"node\", \"opened\", \"last_seen\", \"closed\",
\"closed_because\", \"messages_pending\", \"messages_pending_peak\", \"oldest\", \"finding\"}]}; closed is null where it is
open, finding is as in gatepost why.")]
    List {
        /// Most incidents to show
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// One incident with its root cause, evidence and remedy
    Show {
        /// The incident's id, or its first digits, as incident list shows it
        id: Id,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ApiCommand {
    /// Make a token, and print it with what the configuration is to say of it
    #[command(after_help = "\
Examples:
  gatepost api token monitoring
  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:2580/api/v1/message-traces?since=2h&status=pending'")]
    Token {
        /// Whose it is, for the log of queries
        name: String,
    },
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ConfigCommand {
    /// Check the file and all that it names; show every fault with its line and column
    #[command(after_help = CHECK_HELP)]
    Check {
        /// How to print the result
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print what is in force: the file, with all defaults filled in
    Show {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: ConfigFormat,
    },
    /// Print every setting with its meaning and default
    Reference,
    /// Print a short file to start from
    #[command(after_help = "Example:\n  gatepost config example > gatepost.toml")]
    Example,
}

const CHECK_HELP: &str = "\
Checks as the user who runs it: certificates, keys and other files, the data folder, the addresses to
listen on, connectors that lead back to this node. Run it as the user of the service. Nothing is sent.

Exit status: 0 no errors, there may be warnings, 1 errors, 2 no such file or bad usage.

JSON: {\"errors\": [{\"file\", \"line\", \"column\", \"message\"}], \"warnings\": [the same]}; line and column
are null where there is no place.";

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum ConfigFormat {
    #[default]
    Toml,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Arguments, ErrorKind> {
        Arguments::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn conditions_and_all_exclude_each_other() {
        for command in ["retry", "suspend", "resume", "remove"] {
            assert_eq!(
                parse(&format!("gatepost queue {command} --all --connector c")),
                Err(ErrorKind::ArgumentConflict)
            );
            assert!(parse(&format!("gatepost queue {command} --all")).is_ok());
            assert!(parse(&format!("gatepost queue {command} --connector c --sender @a.test")).is_ok());
        }
        assert!(parse("gatepost queue list").is_ok());
        assert_eq!(parse("gatepost queue show 123"), Err(ErrorKind::ValueValidation));
    }

    #[test]
    fn the_configuration_may_stand_anywhere() {
        for line in ["gatepost --config a.toml queue list", "gatepost queue list --config a.toml"] {
            assert_eq!(parse(line).unwrap().config, PathBuf::from("a.toml"));
        }
    }
}
