//! Arguments of `gatepost queue`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use insight::Id;
use node::config::Duration;

use super::{Format, Output};

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum QueueCommand {
    /// List waiting deliveries by due time, one row per recipient, or group them
    #[command(after_help = LIST_HELP)]
    List(ListArguments),
    /// Show everything about one message: envelope, deliveries, what each waits for, events
    #[command(after_help = SHOW_HELP)]
    Show {
        /// Network message id, or its first digits, as `gatepost queue list` shows it
        id: Id,
        #[command(flatten)]
        output: Output,
    },
    /// Make deliveries due now
    #[command(after_help = ACT_HELP)]
    Retry(Selected),
    /// Keep deliveries in the queue without attempts until you resume them; they still expire
    #[command(after_help = ACT_HELP)]
    Suspend(Selected),
    /// End the suspension of deliveries
    #[command(after_help = ACT_HELP)]
    Resume(Selected),
    /// Remove deliveries from the queue without a notice to the sender
    #[command(after_help = ACT_HELP)]
    Remove {
        #[command(flatten)]
        selected: Selected,
        /// Remove the deliveries even if they belong to more than one message
        #[arg(long)]
        yes: bool,
    },
    /// Write a message from the queue to a file (RFC 5322, .eml)
    #[command(after_help = "Example:\n  gatepost queue export ID --output message.eml")]
    Export {
        /// Network message id, or its first digits, as `gatepost queue list` shows it
        id: Id,
        /// Write to this file instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

const LIST_HELP: &str = "\
Examples:
  gatepost queue list
  gatepost queue list --by cause             list one row per cause
  gatepost queue list --recipient @onprem.test --state suspended
  gatepost queue list --older-than 4h --by destination

A connector, address, cause or destination that is not known is an error (exit
status 2), with the most similar names.

JSON: {\"deliveries\": [{\"network_message_id\", \"message_id\", \"received\",
\"sender\", \"recipient\", \"subject\", \"size_bytes\", \"connector\", \"state\", \"due\",
\"attempts\",
\"waiting\": {\"waits\", …, \"unblocked_by\", \"command\"}, \"failure\": {\"phase\", \"kind\",
\"reply\": {\"code\", \"enhanced\", \"text\"}, \"destination\"}}],
\"counts\": [{\"connector\", \"state\", \"deliveries\", \"due\"}]}.
A value that does not apply is null. The counts cover the deliveries that match
the conditions.

With --by: {\"groups\": [{\"group\", \"what\", \"messages\", \"deliveries\", \"oldest\",
\"due\", \"example\", \"connectors\", \"destinations\", \"command\"}],
\"by\", \"deliveries\"}.
group is the value of --cause, --connector or --destination; command lists the
deliveries of the group.";

const SHOW_HELP: &str = "\
JSON: {\"message\": {\"network_message_id\", \"message_id\", \"received\", \"sender\",
\"subject\", \"size_bytes\", \"client\", \"body_type\", \"smtputf8\", \"content_kept\"},
\"deliveries\": [as in gatepost trace],
\"events\": [{\"at\", \"node\", \"message\", \"recipient\", \"event\", …}]}.";

const ACT_HELP: &str = "\
Select deliveries by conditions, which must all match, or with --all.

Examples:
  gatepost queue retry --message 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e
  gatepost queue suspend --connector onprem --recipient user@onprem.test

Deliveries that a node is sending at this moment are not changed. A connector,
address or message that is not known is an error (exit status 2), with the most
similar names.

JSON: {\"changed\": 3, \"leased\": 0}.";

/// Arguments of `queue list`.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub filter: Filter,
    #[command(flatten)]
    pub more: ListFilter,
    /// Show one row per group instead of one per recipient
    #[arg(long, value_enum, value_name = "DIMENSION")]
    pub by: Option<By>,
    #[command(flatten)]
    pub output: Output,
}

/// Conditions of `queue list` only.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct ListFilter {
    /// Cause of the wait, as `--by cause` shows it
    #[arg(long, value_name = "CAUSE")]
    pub cause: Option<String>,
    /// Host and port of the last attempt, as `--by destination` shows them
    #[arg(long, value_name = "HOST:PORT")]
    pub destination: Option<String>,
    /// Received at least this long ago, such as 4h
    #[arg(long, value_name = "DURATION")]
    pub older_than: Option<Duration>,
    /// Received less than this long ago
    #[arg(long, value_name = "DURATION")]
    pub younger_than: Option<Duration>,
}

impl ListFilter {
    pub(crate) fn conditions(&self) -> insight::Conditions {
        insight::Conditions {
            cause: self.cause.clone(),
            destination: self.destination.clone(),
            older_than: self.older_than,
            younger_than: self.younger_than,
        }
    }
}

/// The property that the deliveries of a group share.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// Failure of the last attempt
    Cause,
    Connector,
    /// Host and port of the last attempt
    Destination,
    /// Time since the message was received
    Age,
}

impl From<By> for insight::By {
    fn from(by: By) -> Self {
        match by {
            By::Cause => Self::Cause,
            By::Connector => Self::Connector,
            By::Destination => Self::Destination,
            By::Age => Self::Age,
        }
    }
}

/// Deliveries in the queue that match all of these conditions.
#[derive(Args, Clone, PartialEq, Debug, Default)]
#[group(multiple = true)]
pub(crate) struct Filter {
    /// Network message id, or its first digits
    #[arg(long, value_name = "ID")]
    pub message: Option<Id>,
    /// Name of the connector
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    /// Recipient's address, @domain, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Sender's address, @domain, <> for the null sender, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// State in the queue
    #[arg(long, value_enum)]
    pub state: Option<QueueState>,
}

/// The deliveries that a command changes. Without any condition the command requires `--all`.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct Selected {
    #[command(flatten)]
    pub filter: Filter,
    /// Select every delivery in the queue
    #[arg(long, conflicts_with = "Filter")]
    pub all: bool,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
pub(crate) enum QueueState {
    Queued,
    /// A node is delivering the message now
    Leased,
    Suspended,
}
