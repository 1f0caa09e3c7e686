//! Arguments of `gatepost case`.

use std::net::SocketAddr;

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use lab::Device;

use super::Format;

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum CaseCommand {
    /// List the cases
    #[command(after_help = "JSON: {\"cases\": [{\"case\", \"story\", \"nodes\", \"messages\", \"cause\"}]}")]
    List {
        /// Set the output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Play a case until the queue is empty
    #[command(after_help = CASE_HELP)]
    Run {
        /// Name of the case, as `gatepost case list` shows it
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Play all cases and show the cause that Gatepost found for each
        #[arg(long, conflicts_with_all = ["name", "keep"])]
        all: bool,
        /// Play the case a second time with [rollout] self_defence on, and compare both
        #[arg(long, conflicts_with = "all")]
        defended: bool,
        /// Start each node as a process of its own, on an empty database of a PostgreSQL server
        #[arg(long, value_name = "URL", conflicts_with_all = ["all", "defended"])]
        store: Option<String>,
        /// Leave the case broken, with the console open, until you roll back or press Ctrl-C
        #[arg(long, conflicts_with_all = ["all", "defended", "store", "format"])]
        hold: bool,
        /// Set the address and port of the console; port 0 is a free one
        #[arg(long, value_name = "ADDRESS", requires = "hold", default_value = "127.0.0.1:0")]
        console: SocketAddr,
        /// Keep the data, so that you can look at it with trace, queue, policy and rollout
        #[arg(long)]
        keep: bool,
        /// Set the format of the report; progress goes to standard error
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Start one mail server of the lab, healthy or faulty, as a destination for your tests
    #[command(after_help = DEVICE_HELP)]
    Device {
        /// Name of the device
        #[arg(default_value = "healthy", value_parser = device(), hide_possible_values = true)]
        name: Device,
        /// Address and port to listen on
        #[arg(long, default_value = "127.0.0.1:2600")]
        listen: SocketAddr,
    },
    /// Send one test message to a server, such as a node on this machine
    Send {
        /// Address of the recipient
        recipient: String,
        /// Address of the sender
        #[arg(long, default_value = "sender@partner.test")]
        from: String,
        /// Address and port of the server
        #[arg(long, default_value = "127.0.0.1:2525")]
        server: SocketAddr,
    },
}

/// Reads a device's name. The error for a wrong name lists all names.
fn device() -> impl TypedValueParser<Value = Device> {
    let names = PossibleValuesParser::new(Device::ALL.map(Device::name));
    names.try_map(|name| Device::from_name(&name).ok_or("no such device"))
}

const DEVICE_HELP: &str = "\
Examples:
  gatepost case device
  gatepost case device rc4-only --listen 127.0.0.1:2601

The device prints a line for each message that it accepts and for each handshake
that fails. A wrong name lists all devices.";

const CASE_HELP: &str = "\
Examples:
  gatepost case run rc4-queue --keep
  gatepost case run rc4-queue --defended
  gatepost case run rc4-queue --hold

All servers listen on loopback only. A case needs no configuration and no
privileges. The destination of rc4-queue is Exim with GnuTLS if it is on this
machine (./test unpacks it), otherwise a device of the lab. Retries are
shortened from 15 minutes to seconds.

With --hold mail keeps flowing, the rollout begins after ten seconds, and the
first node has a console, whose address is printed. Thresholds of incidents are
shortened as retries are. When you roll back, the queue drains and the incident
closes. Ctrl-C ends the case.

With --defended the case is played twice, first with [rollout] self_defence off,
then with it on.

JSON: {\"case\", \"cause\", \"destination\", \"sent\", \"delivered\", \"max_queued\",
\"queued_at_repair\", \"queue\": its length every half second,
\"halted\": {\"after_s\", \"taken\", \"reason\", \"trouble\"} or null,
\"attempts\": [{\"node\", \"policy\", \"stage\": \"broken\" or \"repaired\", \"tls_version\",
\"cipher\", \"ok\", \"failed\", \"failure\"}], \"retry_s\", \"drained_s\",
\"messages\": [{\"waited_s\", \"tries\"}], \"findings\", \"kept\"}.
tls_version and cipher are null if no handshake succeeded.
With --defended: {\"plain\", \"defended\"}.";
