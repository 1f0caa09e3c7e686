//! Arguments of `gatepost connector`.

use clap::{Args, Subcommand};

use super::{Format, Output};

pub(super) const CONNECTOR_HELP: &str = "\
Examples:
  gatepost connector list
  gatepost connector validate onprem
  gatepost connector validate onprem --recipient user@onprem.test
  gatepost connector validate onprem --recipient user@onprem.test --test-mail";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ConnectorCommand {
    /// List the connectors: hosts, TLS, policy and domains
    #[command(after_help = "\
JSON: {\"connectors\": [{\"name\", \"hosts\": [host:port] or [\"mx\"], \"port\",
\"tls\": none, opportunistic, require or verify, \"tls_policy\", \"falls_back\",
\"concurrency\", \"rate\", \"domains\": […]}]}.
falls_back is true if mail goes in plaintext after a failed TLS handshake. A
rollout may replace tls_policy on some nodes; see gatepost rollout status.")]
    List {
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Check step by step that mail can leave by a connector, from this machine
    #[command(after_help = VALIDATE_HELP)]
    Validate(ValidateArguments),
}

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ValidateArguments {
    /// Name of the connector, as `gatepost connector list` shows it
    #[arg(value_name = "NAME")]
    pub connector: String,
    /// Go on to RCPT with this address; for a connector with hosts = ["mx"], also the domain to look up
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Send a short test message to the recipient
    #[arg(long, requires = "recipient")]
    pub test_mail: bool,
    #[command(flatten)]
    pub output: Output,
}

const VALIDATE_HELP: &str = "\
Examples:
  gatepost connector validate onprem
  gatepost connector validate onprem --recipient user@onprem.test --format json

Gatepost connects to each address of each host as mail does, with the settings
of the configuration, and shows each step: resolve, connect, greeting and EHLO,
STARTTLS, TLS handshake, certificate, and with --recipient RCPT. It takes RCPT
back with RSET. Without --test-mail it sends no mail. A certificate that expires
within 30 days is marked. In the console, the validation runs on a node.

Exit status: 0 mail can leave by at least one address, 1 it cannot, 2 wrong
usage or no such connector.

JSON: {\"connector\", \"node\", \"tls_policy\", \"works\",
\"hosts\": [{\"host\", \"port\", \"resolved\": step,
\"addresses\": [{\"address\", \"works\", \"steps\": [step],
\"certificate_expires\"}]}]}. A step is {\"step\": resolve, connect, greeting,
starttls, handshake, certificate, recipient or test-mail,
\"state\": worked, warned, failed or skipped, \"detail\", \"took_ms\"}.";
