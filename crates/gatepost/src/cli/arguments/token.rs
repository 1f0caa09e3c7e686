//! Arguments of `gatepost token` and `gatepost api`.

use clap::{Subcommand, ValueEnum};
use node::config::{ApiScope, Deadline};

use super::{Format, Output};

pub(super) const TOKEN_HELP: &str = "\
Examples:
  gatepost token create grafana --scope look --expires 365d
  gatepost token create prometheus --scope metrics
  gatepost token list
  gatepost token revoke grafana
  curl -H 'Authorization: Bearer TOKEN' \\
    'http://127.0.0.1:2580/api/v1/message-traces?since=2h&status=pending'

Each scope includes those before it, except metrics:
  look        incidents, queue in groups, nodes, rollouts, tallies; no addresses
  trace       search for messages; see addresses and dialogues
  operate     retry, suspend and resume deliveries, drain nodes, move rollouts
  administer  remove deliveries, read content, manage users and tokens
  metrics     only /metrics

These tokens are in the store, work at once on all nodes, and can be revoked at
once. `gatepost api token` prints a token for a configuration file instead.";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum TokenCommand {
    /// Create a token and print it; it is shown only once
    #[command(after_help = TOKEN_HELP)]
    Create {
        /// Name of the person or program that gets the token, for the log and the audit
        name: String,
        /// What the token may do; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<TokenScope>,
        /// Time until the token expires, such as 90d, or never
        #[arg(long, value_name = "DURATION", default_value = "365d")]
        expires: Deadline,
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the tokens in the store, with their scopes, expiry and last use
    #[command(after_help = "\
JSON: {\"tokens\": [{\"name\", \"scopes\", \"created\", \"created_by\", \"expires\": null
if never, \"expired\", \"last_used\": to the minute, null if never}]}.")]
    List(Output),
    /// Revoke a token; requests with it are refused from now on
    Revoke {
        /// Name of the token, as `gatepost token list` shows it
        name: String,
    },
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ApiCommand {
    /// Create a token and print the lines to add to gatepost.toml
    #[command(after_help = "\
Examples:
  gatepost api token monitoring
  gatepost api token prometheus --scope metrics
  curl -H 'Authorization: Bearer TOKEN' \\
    'http://127.0.0.1:2580/api/v1/message-traces?since=2h&status=pending'

`gatepost token create` makes a token that needs no change of the file.")]
    Token {
        /// Name of the person or program that gets the token, for the log of requests
        name: String,

        /// Let the token do only this; may be repeated. Without it: trace and metrics
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<TokenScope>,
    },
}

/// What a token of the HTTP API may do.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenScope {
    /// Incidents, queue in groups, nodes, rollouts; no addresses
    Look,
    /// Also message traces and addresses
    Trace,
    /// Also actions on the queue, nodes and rollouts
    Operate,
    /// Also removal, content, users and tokens
    Administer,
    /// Only metrics for Prometheus
    Metrics,
}

impl From<TokenScope> for ApiScope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::Look => Self::Look,
            TokenScope::Trace => Self::Trace,
            TokenScope::Operate => Self::Operate,
            TokenScope::Administer => Self::Administer,
            TokenScope::Metrics => Self::Metrics,
        }
    }
}
