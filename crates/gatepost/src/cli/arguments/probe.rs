//! Arguments of `gatepost probe`.

use clap::Args;
use node::config::Duration;

use super::Output;

pub(super) const PROBE_HELP: &str = "\
Examples:
  gatepost probe mail.onprem.test
  gatepost probe 192.0.2.25:2525 --format json
  gatepost probe onprem                      probe hosts of a connector
  gatepost probe mx.example --connector internet
                                             connect as this connector does

A probe makes some dozens of connections, one at a time, as mail would, but
sends no mail. It makes one connection for each cipher suite that the
destination supports, one under each policy, and some with one change each from
the ClientHello of mail. It needs no configuration. With one, it uses the
resolver and the connector in it.

Exit status: 0 no problem found, 1 mail may fail there, 2 wrong usage or no such
host.

JSON: {\"destinations\": [{\"probed\": {\"host\", \"address\", \"starttls\", \"extensions\",
\"phases\", \"failure\", \"handshake\",
\"versions\": [{\"version\", \"suites\": [{\"suite\", \"name\", \"failure\"}],
\"server_prefers\", \"refusal\"}], \"groups\",
\"policies\": [{\"name\", \"works\", \"failure\"}],
\"variations\": [{\"name\", \"what\", \"works\", \"hello_bytes\", \"failure\"}],
\"connections\", \"is_cut\"}, \"summary\": [{\"is_trouble\", \"text\"}]}]}.";

/// Arguments of `gatepost probe`.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ProbeArguments {
    /// Host name or IP address, with a port if it is not 25, or the name of a connector
    #[arg(value_name = "HOST[:PORT]|CONNECTOR")]
    pub destination: String,
    /// Connect as mail of this connector does, with its TLS policy, trusted certificates, client certificate and name; by
    /// default, the connector that has the host
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    /// Probe every address of the host, not only the first that accepts a connection
    #[arg(long)]
    pub all_addresses: bool,
    /// Timeout for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub timeout: Duration,
    /// Pause between two connections
    #[arg(long, value_name = "DURATION", default_value = "50ms")]
    pub pause: Duration,
    #[command(flatten)]
    pub output: Output,
}
