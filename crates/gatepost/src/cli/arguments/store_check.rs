//! Arguments of `gatepost store`.

use clap::Subcommand;

use super::Output;

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
\"nodes\": [{\"node\", \"version\": of Gatepost, \"schema\": that it knows}],
\"next_schema\": {\"version\", \"allowed\", \"behind\": [node]},
\"warnings\": [{\"warning\", \"what\"}]}.
warning is dead-rows, old-transaction, no-standby, standby-behind, connections
or versions-differ. The next version of the tables may follow once all nodes
know the one of now. To see standbys and the transactions of other users, the
user of the store needs pg_monitor.")]
    Check {
        #[command(flatten)]
        output: Output,
    },
}
