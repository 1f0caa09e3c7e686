//! Arguments of `gatepost probe`.

use clap::Args;

use super::Output;
use node::config::Duration;

pub(super) const PROBE_HELP: &str = "\
Examples:
  gatepost probe mail.onprem.test
  gatepost probe 192.0.2.25:2525 --format json
  gatepost probe onprem                      the smart hosts of a connector

It makes some dozens of connections, one at a time, each as mail would make it and none with mail:
one for each cipher suite that the destination has, and some with one thing changed. Needs no
configuration.

Exit status: 0 nothing wrong was found, 1 mail may have trouble there, 2 bad usage or no such host.

JSON: {\"destinations\": [{\"probed\": {\"host\", \"address\", \"starttls\", \"extensions\", \"phases\", \"failure\",
\"handshake\", \"versions\": [{\"version\", \"suites\": [{\"suite\", \"name\", \"failure\"}], \"server_prefers\",
\"refusal\"}], \"groups\", \"variations\": [{\"name\", \"what\", \"works\", \"hello_bytes\", \"failure\"}],
\"connections\", \"is_cut\"}, \"summary\": [{\"is_trouble\", \"text\"}]}]}.";

/// What to probe, and how.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ProbeArguments {
    /// Host name or IP address, with a port (default: 25), or a connector's name
    #[arg(value_name = "HOST[:PORT]|CONNECTOR")]
    pub destination: String,
    /// Probe every address of the host, not only the first that can be connected to
    #[arg(long)]
    pub all_addresses: bool,
    /// Longest wait for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub timeout: Duration,
    /// From one connection to the next
    #[arg(long, value_name = "DURATION", default_value = "50ms")]
    pub pause: Duration,
    #[command(flatten)]
    pub output: Output,
}
