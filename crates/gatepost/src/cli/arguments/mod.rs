//! Arguments of the command line and their help. Each command with many arguments has its own file.

mod backup;
mod capture;
mod case;
mod changes;
mod config;
mod connector;
mod log_files;
mod node;
mod policy;
mod probe;
mod queue;
mod store_check;
mod tallies;
mod token;
mod trace;
mod user;
mod why;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use insight::Id;

pub(crate) use backup::*;
pub(crate) use capture::*;
pub(crate) use case::*;
pub(crate) use changes::*;
pub(crate) use config::*;
pub(crate) use connector::*;
pub(crate) use node::*;
pub(crate) use policy::*;
pub(crate) use probe::*;
pub(crate) use queue::*;
pub(crate) use store_check::*;
pub(crate) use tallies::*;
pub(crate) use token::*;
pub(crate) use trace::*;
pub(crate) use user::*;
pub(crate) use why::*;

/// Inbound mail gateway that shows why mail is queued and how to fix it.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(
    name = "gatepost",
    version,
    max_term_width = 100,
    after_help = "Examples:
  gatepost config example > gatepost.toml    write a first configuration
  gatepost serve                             run a node
  gatepost queue list --by cause             list what waits, one row per cause
  gatepost why                               show root causes and their remedies
  gatepost incident list                     list mail that is or was stuck
  gatepost trace --recipient user@onprem.test --detail
                                             show all events of these messages

Exit status: 0 success, 1 findings (why), problems (probe, connector validate),
errors (config check), differences (config diff), a node that cannot follow
(config apply), warnings (store check) or mail that would break (policy impact),
2 wrong usage, unreadable input or no such message."
)]
pub(crate) struct Arguments {
    /// Read the configuration from this file
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
    /// Run a node: accept mail, store it in the queue, deliver it
    #[command(after_help = "\
SIGTERM or SIGINT stops the node when the messages in transfer are finished.
SIGHUP reloads the configuration.

Send a test message, with the configuration of `gatepost config example`:
  swaks --server 127.0.0.1:2525 --to user@onprem.test")]
    Serve {
        /// Start even if the store in the data folder is missing, empty or incomplete, or the place of [store] bodies is
        /// lost; mail that was there is lost
        #[arg(long)]
        accept_loss: bool,
    },
    /// Show what happened to messages, newest first, one row per recipient
    #[command(after_help = TRACE_HELP)]
    Trace(Box<TraceArguments>),
    /// Show why mail is stuck: cause, affected destination, evidence, remedy
    #[command(after_help = WHY_HELP)]
    Why(Box<WhyArguments>),
    /// Read packet captures: sessions, dialogues, TLS handshakes, packets that match a filter
    #[command(after_help = CAPTURE_HELP)]
    Capture(Box<CaptureArguments>),
    /// Test what a destination supports: TLS versions, cipher suites, certificate, STARTTLS
    #[command(after_help = PROBE_HELP)]
    Probe(ProbeArguments),
    /// Show the queue and change deliveries in it
    #[command(
        subcommand,
        after_help = "\
Examples:
  gatepost queue list --by cause             list what waits, one row per cause
  gatepost queue list --connector onprem     list what waits for a connector
  gatepost queue show ID                     show everything about one message
  gatepost queue retry --connector onprem    make all of it due now
  gatepost queue suspend --sender @spam.test --recipient user@onprem.test"
    )]
    Queue(QueueCommand),
    /// Copy the queue and the history to a folder; a node may be running
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArguments),
    /// Restore a backup into the data folder; its deliveries stay suspended until you resume them
    #[command(after_help = RESTORE_HELP)]
    Restore(BackupArguments),
    /// Show incidents: mail that is or was stuck
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Show how many deliveries were accepted, delivered, deferred or bounced, by the hour or minute
    #[command(after_help = TALLIES_HELP)]
    Tallies(TalliesArguments),
    /// Show what changed, newest first: starts, reloads, rollouts, commands, incidents, destinations
    #[command(after_help = CHANGES_HELP)]
    Changes(ChangesArguments),
    /// Show the connectors; check that mail can leave by one of them
    #[command(subcommand, after_help = CONNECTOR_HELP)]
    Connector(ConnectorCommand),
    /// Check, show and explain the configuration; give a fleet a common one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show the TLS policies, their effect, and deliveries below the policy "modern"
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Move the nodes from one TLS policy to another, one share at a time
    #[command(subcommand, after_help = ROLLOUT_HELP)]
    Rollout(RolloutCommand),
    /// Show the nodes of the fleet; drain a node and resume it
    #[command(subcommand, after_help = NODE_HELP)]
    Node(NodeCommand),
    /// Check the store of the fleet, or move a node's mail there
    #[command(subcommand)]
    Store(StoreCommand),
    /// Play a case of stuck mail on this machine, with real nodes, servers and TLS
    #[command(subcommand)]
    Case(CaseCommand),
    /// Create, list and revoke tokens of the HTTP API
    #[command(subcommand, after_help = TOKEN_HELP)]
    Token(TokenCommand),
    /// Create tokens for a configuration file
    #[command(subcommand)]
    Api(ApiCommand),
    /// Manage the users of the console
    #[command(subcommand, after_help = USER_HELP)]
    User(UserCommand),
}

/// The configuration file if neither the command line nor the environment names one.
const CONFIGURATION: &str = "gatepost.toml";
const CONFIGURATION_VARIABLE: &str = "GATEPOST_CONFIG";

impl Arguments {
    /// The configuration file, if the command line names one. Suggested commands must then name it as well.
    pub(crate) fn named_configuration(&self) -> Option<&Path> {
        let default = std::env::var_os(CONFIGURATION_VARIABLE).unwrap_or_else(|| CONFIGURATION.into());
        (self.config.as_os_str() != default).then_some(self.config.as_path())
    }
}

impl Command {
    /// True if the command shows times in UTC.
    pub(crate) fn utc(&self) -> bool {
        match self {
            Self::Trace(arguments) => arguments.utc,
            Self::Why(arguments) => arguments.output.utc,
            Self::Probe(arguments) => arguments.output.utc,
            Self::Connector(ConnectorCommand::Validate(arguments)) => arguments.output.utc,
            Self::Capture(arguments) => arguments.utc,
            Self::Queue(QueueCommand::List(list)) => list.output.utc,
            Self::Queue(QueueCommand::Show { output, .. }) => output.utc,
            Self::Policy(PolicyCommand::Impact(ImpactArguments { output, .. })) => output.utc,
            Self::Policy(PolicyCommand::Ledger(output)) | Self::Rollout(RolloutCommand::Status(output)) => output.utc,
            Self::Config(ConfigCommand::History { output, .. }) => output.utc,
            Self::Node(NodeCommand::List { output, .. })
            | Self::Store(StoreCommand::Check { output } | StoreCommand::Restored { output, .. }) => output.utc,
            Self::Tallies(arguments) => arguments.output.utc,
            Self::Changes(arguments) => arguments.output.utc,
            Self::Incident(IncidentCommand::List { output, .. } | IncidentCommand::Show { output, .. })
            | Self::Token(TokenCommand::List(output))
            | Self::User(UserCommand::Invite { output, .. } | UserCommand::List { output }) => output.utc,
            Self::Serve { .. }
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Queue(_)
            | Self::Config(_)
            | Self::Connector(_)
            | Self::Policy(_)
            | Self::Rollout(_)
            | Self::Node(_)
            | Self::Store(StoreCommand::Migrate(_))
            | Self::Case(_)
            | Self::Token(_)
            | Self::Api(_)
            | Self::User(_) => false,
        }
    }
}

/// Options for printing a result.
#[derive(Args, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Output {
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    pub utc: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum Format {
    /// Table for people
    #[default]
    Table,
    /// JSON for programs, all times in UTC
    Json,
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum IncidentCommand {
    /// List incidents, open ones first
    #[command(after_help = "\
JSON: {\"incidents\": [{\"id\", \"connector\", \"destination\", \"cause\", \"node\",
\"opened\", \"last_seen\", \"closed\", \"closed_because\", \"messages_pending\",
\"messages_pending_peak\", \"oldest\", \"finding\"}]}.
closed is null for an open incident. finding is as in gatepost why.")]
    List {
        /// Maximum number of incidents
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Show one incident with its root cause, evidence and remedy
    Show {
        /// Id of the incident, or its first digits, as `gatepost incident list` shows it
        id: Id,
        #[command(flatten)]
        output: Output,
    },
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

    /// Commands whose help does not fit, and lines of their help that do not appear whole, at 80 columns.
    fn misfits(command: clap::Command) -> Vec<String> {
        let name = command.get_name().to_owned();
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown = command.clone().term_width(80).render_long_help().to_string();
        let too_long = shown.lines().filter(|line| line.chars().count() > 80);
        let broken = written.lines().filter(|line| !shown.lines().any(|shown| shown == *line));
        let own: Vec<String> = too_long.chain(broken).map(|line| format!("{name}: {line}")).collect();
        own.into_iter().chain(command.get_subcommands().cloned().flat_map(misfits)).collect()
    }

    #[test]
    fn help_fits_80_columns_and_examples_stay_whole() {
        assert_eq!(misfits(Arguments::command()), Vec::<String>::new());
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
    fn the_configuration_may_be_named_anywhere() {
        for line in ["gatepost --config a.toml queue list", "gatepost queue list --config a.toml"] {
            assert_eq!(parse(line).unwrap().config, PathBuf::from("a.toml"));
        }
    }
}
