//! Arguments of `gatepost policy` and `gatepost rollout`.

use clap::{Args, Subcommand};

use super::{Format, Output};

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum PolicyCommand {
    /// List the TLS versions and cipher suites of each policy, and the connectors that use it
    #[command(after_help = "\
JSON: {\"policies\": [{\"name\", \"minimum\", \"maximum\", \"ciphers\", \"suites\",
\"groups\", \"security_level\", \"connectors\": […]}]}.
ciphers, suites and groups use the names of OpenSSL; see ciphers(1).")]
    List {
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List destinations that got mail in plaintext or below the policy "modern", and why
    #[command(after_help = LEDGER_HELP)]
    Ledger(Output),
    /// Show which destinations would break under a policy, from the handshakes in the history
    #[command(after_help = IMPACT_HELP)]
    Impact(ImpactArguments),
}

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ImpactArguments {
    /// Name of a TLS policy, as `gatepost policy list` shows it
    pub policy: String,
    /// Number of days of history to read
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    #[command(flatten)]
    pub output: Output,
}

const IMPACT_HELP: &str = "\
Examples:
  gatepost policy impact modern
  gatepost policy impact no-rc4 --days 7 --format json

A destination breaks in one of three cases: it rejected an offer with
everything that the policy offers; it failed under the policy itself, and has
not worked under it since; it chose a TLS version older than the policy allows
although the offer had newer ones.
A destination works if it chose a TLS version and a cipher suite of the
policy. If it chose another cipher suite, the result is undecided; run the
probe to find out. If several handshakes give a result, the latest one counts.
A certificate that was rejected is not a matter of the policy.

Exit status: 0 nothing would break, 1 a destination would break, 2 wrong usage.

JSON: {\"policy\", \"since\", \"days\", \"queued\": messages, \"plaintext\": messages,
\"undecided\": messages, \"destinations\": [{\"host\", \"port\", \"connector\",
\"verdict\": \"breaks\", \"undecided\" or \"works\",
\"effect\": \"queued\" or \"plaintext\" if it breaks, \"because\", \"messages\",
\"messages_a_day\", \"broken\": {\"attempts\", \"messages\", \"last\"}, \"check\"}]}.
broken says what has failed under the policy itself; absent: nothing.";

const LEDGER_HELP: &str = "\
The list has one row per destination, policy and result. WHY is one of:
  starttls-not-offered   the destination does not offer STARTTLS
  configured             the connector has tls = \"none\"
  handshake-failed       on_handshake_failure = \"plaintext\" allowed plaintext
  old-version            the TLS version is older than TLS 1.2
  weak-cipher            no authenticated encryption, or no forward secrecy

JSON: {\"ledger\": [{\"host\", \"port\", \"connector\", \"tls_policy\",
\"tls\": {\"version\", \"cipher\"} or null for plaintext, \"why\", \"deliveries\",
\"first\", \"last\"}]}";

pub(super) const ROLLOUT_HELP: &str = "\
Examples:
  gatepost rollout set --from legacy --to modern --percent 50
  gatepost rollout status
  gatepost rollout halt --because 'mail to onprem waits'
  gatepost rollout set --from legacy --to modern --percent 0     move all back

A rollout moves nodes: on these nodes, connectors whose tls_policy is the
policy of --from use the policy of --to. Nodes follow within two seconds,
without a restart. The share counts nodes that have reported within the last
ten minutes. Gatepost takes them in the order of a hash of their names, so a
larger share contains the nodes of a smaller one. At 100 percent, nodes that
are added later move too.

A rollout halts automatically if a destination works under the old policy and
fails under the new one; the status then shows the destination. If all nodes
have moved, half of them return to the old policy. Until you decide, only
nodes whose policy works deliver to that destination.
`gatepost rollout resume` continues the rollout, which then does not halt for
that destination again. The setting [rollout] self_defence = false turns
automatic halts off.";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum RolloutCommand {
    /// Show the rollout plan in force and the policy of each node
    #[command(after_help = "\
JSON: {\"version\", \"at\", \"by\", \"from\", \"to\", \"percent\", \"halted\": why,
\"trouble\": {\"destination\", \"cause\", \"remedy\": […], \"check\"},
\"accepted\": [destination],
\"nodes\": [{\"node\", \"moved\", \"plan_version\", \"plan_at\", \"last_seen\"}]}.
trouble is null unless the rollout halted automatically. Without a plan,
everything except nodes is null.")]
    Status(Output),
    /// Move a share of the nodes, or named nodes; all other nodes return to the old policy
    #[command(after_help = ROLLOUT_HELP)]
    Set {
        /// Old TLS policy, the one that connectors name
        #[arg(long, value_name = "POLICY")]
        from: String,
        /// New TLS policy
        #[arg(long, value_name = "POLICY")]
        to: String,
        /// Share of the fleet in percent, 0 to 100
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100), required_unless_present = "nodes")]
        percent: Option<u8>,
        /// Move exactly this node; may be repeated
        #[arg(long = "node", value_name = "NAME", conflicts_with = "percent")]
        nodes: Vec<String>,
    },
    /// Move no further node until you resume; nodes can still return to the old policy
    Halt {
        /// Reason, shown in the status
        #[arg(long, value_name = "REASON", default_value = "by an operator")]
        because: String,
    },
    /// End a halt, and accept the finding that caused an automatic halt
    Resume,
}
