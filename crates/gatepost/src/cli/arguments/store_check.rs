//! Arguments of `gatepost store`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use insight::Moment;

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
\"behind_bytes\"}], \"connections\", \"connections_max\", \"restored\",
\"nodes\": [{\"node\", \"version\": of Gatepost, \"schema\": that it knows}],
\"next_schema\": {\"version\", \"allowed\", \"behind\": [node]},
\"warnings\": [{\"warning\", \"what\"}]}.
restored is the last restore that a node noticed, as `store restored` prints it.
The next version of the tables may follow once all nodes know the one of now.
warning is dead-rows, old-transaction, no-standby, standby-behind, connections,
versions-differ, nodes-behind, restored, bodies-unavailable, bodies-not-deleted
or bodies-of-another. To see standbys and the transactions of other users, the
user of the store needs pg_monitor.")]
    Check {
        #[command(flatten)]
        output: Output,
    },
    /// Say what is to become of the mail that is held since the database was restored
    #[command(group(ArgGroup::new("decision").required(true)), after_help = "\
After a restore from a backup, the queue has mail that was delivered since.
Nodes notice it, deliver new mail, and hold what was waiting in the backup,
until this command is given. `gatepost store check` shows what was noticed: the
state that was restored, and until when nodes had seen a later one.

--hold leaves all of it suspended: remove what has arrived, and resume the rest.
--deliver-since delivers what was received at TIME or later, though some of it
may arrive a second time, and leaves the older suspended. A time before all mail
delivers everything, as after a move to another server that has lost nothing.
The first answer counts.

Examples:
  gatepost store check
  gatepost store restored --hold
  gatepost store restored --deliver-since '2026-07-30 08:00'
  gatepost queue list --state suspended

JSON: {\"number\", \"noticed\", \"state_of\", \"known_by\", \"known_until\",
\"held\", \"answered\", \"answered_by\", \"deliver_since\", \"first\", \"resumed\"}.
first is false if somebody had answered before.")]
    Restored {
        /// Deliver what was received at this time or later, such as '2026-07-30 08:00' or 2h
        #[arg(long, value_name = "TIME", group = "decision")]
        deliver_since: Option<Moment>,
        /// Leave all of it suspended
        #[arg(long, group = "decision")]
        hold: bool,
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
