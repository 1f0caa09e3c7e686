//! Arguments of `gatepost capture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const CAPTURE_HELP: &str = "\
Examples:
  gatepost capture edge.pcapng
  gatepost capture edge.pcapng --stream 3
  gatepost capture edge.pcapng --filter 'tcp.port == 25 and not tcp.analysis.retransmission
                                         and not tcp.analysis.duplicate_ack'
  gatepost capture edge.pcapng --filter 'tls.alert_message.desc == 40' --write alerts.pcapng
  tcpdump -i eth0 -w - port 25 | gatepost capture -

Reads pcap and pcapng, gzip or not. Filters are in Wireshark's words. Packets that a router's or a
mirror port's capture has twice are set aside. Content of messages is not shown, nor credentials.

JSON: {\"sessions\": [{\"stream\", \"client\", \"server\", \"protocol\", \"first\", \"last\", \"packets\", \"bytes\",
\"duplicates\", \"analysis\", \"lines\", \"messages\", \"phases\", \"handshake\", \"handshake_at_us\", \"ended\",
\"oddities\", \"missing_bytes\", …}], \"packets\", \"passed\", \"notes\"}. Pairs are client's and server's.";

/// Which captures, and what of them.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct CaptureArguments {
    /// pcap or pcapng; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only packets that pass, and sessions that have one, in Wireshark's words
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// One session as a ladder: who said what, and when
    #[arg(long, value_name = "N")]
    pub stream: Option<u64>,
    /// Take connections of this port for SMTP, however they begin; several times
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Show the content of messages
    #[arg(long)]
    pub show_content: bool,
    /// Take packets that stand there twice as Wireshark does: for retransmissions
    #[arg(long)]
    pub keep_duplicates: bool,
    /// Say only how many packets pass
    #[arg(long, conflicts_with_all = ["stream", "format"])]
    pub count: bool,
    /// Write the packets that pass to a file, pcapng
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: CaptureFormat,
    /// Show times in UTC, not in the local time zone
    #[arg(long)]
    pub utc: bool,
}

/// How sessions are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum CaptureFormat {
    /// For people
    #[default]
    Table,
    /// For programs; all times in UTC
    Json,
    /// A row for each session
    Csv,
}
