//! Arguments of `gatepost policy` and `gatepost rollout`.

use clap::{Args, Subcommand};

use super::{Format, Output};

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum PolicyCommand {
    /// Which versions and ciphers each policy allows, and which connectors are under it
    #[command(after_help = "\
JSON: {\"policies\": [{\"name\", \"minimum\", \"maximum\", \"ciphers\", \"suites\", \"groups\",
\"security_level\", \"connectors\": […]}]}. Ciphers, suites and groups are in OpenSSL's words, ciphers(1).")]
    List {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// What went to which destination in plaintext or below the policy "modern", and why
    #[command(after_help = LEDGER_HELP)]
    Ledger(Output),
    /// Which destinations would break under a policy, foreseen from the handshakes of the history
    #[command(after_help = IMPACT_HELP)]
    Impact(ImpactArguments),
}

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ImpactArguments {
    /// Name of a TLS policy, as policy list shows it
    pub policy: String,
    /// How many days of history to look at
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    #[command(flatten)]
    pub output: Output,
}

const IMPACT_HELP: &str = "\
Examples:
  gatepost policy impact modern
  gatepost policy impact no-rc4 --days 7 --format json

A destination breaks if it has refused an offer that has all that the policy offers, has failed
under the policy itself, or has chosen an older version than was offered and than the policy allows.
It works if it has agreed on a version and a suite that the policy has. A server that chose another
suite may have those of the policy too: that is undecided, and a probe finds it out. Of several
handshakes the latest that decides is believed. Certificates are not judged.

Exit status: 0 nothing would break, 1 something would, 2 bad usage.

JSON: {\"policy\", \"since\", \"days\": looked at, \"queued\": messages, \"plaintext\": messages, \"undecided\": messages,
\"destinations\": [{\"host\", \"port\", \"connector\", \"verdict\": \"breaks\", \"undecided\" or \"works\", \"effect\": \"queued\"
or \"plaintext\" where it breaks, \"because\", \"messages\", \"messages_a_day\", \"check\"}]}.";

const LEDGER_HELP: &str = "\
One row for each destination, policy and result. Why is one of: starttls-not-offered, configured
(tls = \"none\"), handshake-failed (and on_handshake_failure = \"plaintext\"), old-version (before
TLS 1.2), weak-cipher (no authenticated encryption, or no forward secrecy).

JSON: {\"ledger\": [{\"host\", \"port\", \"connector\", \"tls_policy\",
\"tls\": {\"version\", \"cipher\"} or null for plaintext, \"why\", \"deliveries\", \"first\", \"last\"}]}";

pub(super) const ROLLOUT_HELP: &str = "\
Examples:
  gatepost rollout set --from legacy --to modern --percent 50
  gatepost rollout status
  gatepost rollout halt --because 'mail to onprem waits'
  gatepost rollout set --from legacy --to modern --percent 0     all back

On the nodes that it moves, connectors whose tls_policy is the one of --from are under the one of
--to. Nodes follow within two seconds, without a restart. A share is taken of the nodes that have
reported within ten minutes, in the order of a hash of their names: a larger share has the nodes of
a smaller one. At 100 per cent, nodes that are added later are moved too.

A rollout halts itself where a destination works under the old policy and fails under the new one,
and says so in its status. Where all nodes are moved already, half of them go back. Until it is
decided, mail is left to the nodes whose policy works. rollout resume goes on; the rollout does not
halt itself for that destination again. [rollout] self_defence = false turns all that off.";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum RolloutCommand {
    /// The plan in force, and which node is under which policy
    #[command(after_help = "\
JSON: {\"version\", \"at\", \"by\", \"from\", \"to\", \"percent\", \"halted\": why,
\"trouble\": {\"destination\", \"cause\", \"remedy\": […], \"check\"} where it halted itself, \"accepted\": [destination],
\"nodes\": [{\"node\", \"moved\", \"plan_version\", \"last_seen\"}]}; all but nodes are null without a plan.")]
    Status(Output),
    /// Move a share of the nodes, or nodes by name; the rest goes back
    #[command(after_help = ROLLOUT_HELP)]
    Set {
        /// The TLS policy that connectors name now
        #[arg(long, value_name = "POLICY")]
        from: String,
        /// The TLS policy to be in its place
        #[arg(long, value_name = "POLICY")]
        to: String,
        /// How much of the fleet, 0 to 100
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100), required_unless_present = "nodes")]
        percent: Option<u8>,
        /// Exactly these nodes; may be given several times
        #[arg(long = "node", value_name = "NAME", conflicts_with = "percent")]
        nodes: Vec<String>,
    },
    /// Keep the nodes as they are: no further one is moved until resumed; going back stays possible
    Halt {
        /// Why, for those who look at the status
        #[arg(long, value_name = "REASON", default_value = "by an operator")]
        because: String,
    },
    /// End a halt, and accept the trouble that the rollout halted itself for
    Resume,
}
