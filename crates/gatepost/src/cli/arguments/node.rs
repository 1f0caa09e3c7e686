//! Arguments of `gatepost node`.

use clap::Subcommand;

use super::Output;

pub(super) const NODE_HELP: &str = "\
Examples:
  gatepost node list
  gatepost node drain edge-1 --wait     before edge-1 is stopped or changed
  gatepost node resume edge-1

A drained node answers new connections with 421 4.3.2, so that senders go to
another node, and begins no delivery that it does not hold already. What it
holds, it finishes. It stays drained when it starts again, until it is
resumed. Nodes follow within a few seconds.

The states: running; draining (it still has deliveries to finish); drained;
silent (no report for 30 seconds: it has died, or cannot reach the store);
stopped.";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum NodeCommand {
    /// Show the nodes, what they do, and when they were last seen
    #[command(after_help = "\
JSON: {\"nodes\": [{\"node\", \"state\": running, draining, drained, silent or
stopped, \"epoch\", \"host\", \"process\", \"version\", \"addresses\": […],
\"deliveries\", \"connections\", \"plan_version\", \"config_version\",
\"config_applied\", \"config_refused\": {\"version\", \"why\": […]}, \"schema\",
\"started\", \"last_seen\", \"drained\": since when, \"drained_by\"}]}.
config_version is the version of the fleet's configuration that the node
follows, null if it goes by its own file (CONFIG: file), and config_applied says
when that was applied. config_refused is the version in force, if the node
cannot follow it. drained and drained_by are null for a node that may take
mail.")]
    List {
        /// Also show nodes that stopped or fell silent more than a day ago
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Let a node take no new mail, and finish what it holds
    #[command(after_help = NODE_HELP)]
    Drain {
        /// The node's name
        name: String,
        /// Wait until the node has finished its deliveries, or has stopped
        #[arg(long)]
        wait: bool,
    },
    /// Let a drained node take mail again
    Resume {
        /// The node's name
        name: String,
    },
}
