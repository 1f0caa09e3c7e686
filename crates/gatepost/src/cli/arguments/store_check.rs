//! Arguments of `gatepost store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, Output};

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum StoreCommand {
    /// Show how the fleet's PostgreSQL server does, and warn of what becomes trouble
    #[command(after_help = "\
Exit status: 0 nothing asks for attention, 1 warnings, 2 the server cannot be
reached.

JSON: {\"version\", \"schema\", \"tables\": [{\"table\", \"rows\", \"dead_rows\",
\"bytes\"}], \"sees_all\", \"oldest_transaction_seconds\",
\"wal_bytes_per_second\", \"standbys\": [{\"name\", \"synchronous\",
\"behind_bytes\"}], \"connections\", \"connections_max\",
\"warnings\": [{\"warning\", \"what\"}]}.
warning is dead-rows, old-transaction, no-standby, standby-behind, connections
or versions-differ. To see standbys and the transactions of other users, the
user of the store needs pg_monitor.")]
    Check {
        #[command(flatten)]
        output: Output,
    },
    /// Move the queue and the history of a data folder to a PostgreSQL server
    #[command(after_help = MIGRATE_HELP)]
    Migrate(MigrateArguments),
}

const MIGRATE_HELP: &str = "\
Stop the node first. The database must be empty. Gatepost copies everything,
compares both sides, and then marks the folder as moved: nodes and commands
refuse it from then on. If the command is interrupted, run it again, and it
continues. Until then the folder can still be used.

[store] of the configuration gives password_file, ca_file and tls. Without a
configuration file, the password may be in the URL.

--undo gives the folder its mail back. This is possible until anything has
changed on the server: mail accepted, attempted, removed or forgotten.

Examples:
  gatepost store migrate
  gatepost store migrate --from data --to postgres://gatepost@db/gatepost

JSON: {\"server\", \"folder\", \"messages\", \"deliveries\", \"events\",
\"copied_before\"}. copied_before counts messages of an interrupted run.";

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct MigrateArguments {
    /// Data folder to move the mail from, instead of [node] data
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,
    /// PostgreSQL server to move the mail to, instead of [store] url
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Give the folder its mail back, if nothing has changed on the server
    #[arg(long)]
    pub undo: bool,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl MigrateArguments {
    pub(crate) fn needs_configuration(&self) -> bool {
        self.from.is_none() || self.to.is_none()
    }
}
