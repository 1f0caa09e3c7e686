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
    /// What can be played
    #[command(after_help = "JSON: {\"cases\": [{\"case\", \"story\", \"nodes\", \"messages\", \"cause\"}]}")]
    List {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Play one, to its end: an empty queue
    #[command(after_help = CASE_HELP)]
    Run {
        /// As case list shows it
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Play all of them, and show which cause was named for which
        #[arg(long, conflicts_with_all = ["name", "keep"])]
        all: bool,
        /// Play it a second time with a rollout that defends itself, and show both
        #[arg(long, conflicts_with = "all")]
        defended: bool,
        /// Keep the data, to look at it with trace, queue, policy and rollout
        #[arg(long)]
        keep: bool,
        /// How to print the report; progress goes to standard error
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Start one mail server of the lab, healthy or faulty, to deliver to by hand
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

/// Reads a device's name; a wrong one is answered with all of them.
fn device() -> impl TypedValueParser<Value = Device> {
    let names = PossibleValuesParser::new(Device::ALL.map(Device::name));
    names.try_map(|name| Device::from_name(&name).ok_or("no such device"))
}

const DEVICE_HELP: &str = "\
Example:
  gatepost case device
  gatepost case device rc4-only --listen 127.0.0.1:2601

The device prints a line for each message that it accepts and for each handshake that fails. A wrong
name lists all devices.";

const CASE_HELP: &str = "\
Example:
  gatepost case run rc4-queue --keep
  gatepost case run rc4-queue --defended

Everything listens on loopback only, and needs neither configuration nor privileges. The destination
of rc4-queue is Exim with GnuTLS where it is on this machine (./test unpacks it), else a device of
the lab. Retries are shortened from 15 minutes to seconds.

With --defended it is played twice: as it is, where nodes do nothing about the rollout by themselves,
and with [rollout] self_defence on.

JSON: {\"case\", \"cause\", \"destination\", \"sent\", \"delivered\", \"max_queued\", \"queued_at_repair\",
\"queue\": its length every half second, \"halted\": {\"after_s\", \"taken\", \"reason\", \"trouble\"} or null, \"attempts\": [{\"node\", \"policy\", \"stage\": \"broken\" or \"repaired\", \"tls_version\", \"cipher\", \"ok\",
\"failed\", \"failure\"}], \"retry_s\", \"drained_s\", \"messages\": [{\"waited_s\", \"tries\"}], \"kept\"};
tls_version and cipher are null where no handshake succeeded. With --defended: {\"plain\", \"defended\"}.";
