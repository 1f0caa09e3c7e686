//! Arguments of `gatepost capture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const CAPTURE_HELP: &str = "\
Examples:
  gatepost capture edge.pcapng
  gatepost capture edge.pcapng --stream 3
  gatepost capture edge.pcapng --filter 'tcp.port == 25 and tcp.len > 0'
  gatepost capture edge.pcapng --filter smtp --write smtp.pcapng
  tcpdump -i eth0 -w - port 25 | gatepost capture -

Files may be pcap or pcapng, also compressed with gzip. Filters use the syntax
and field names of Wireshark. Captures from a router or a mirror port often
contain packets twice; Gatepost ignores the second copy. The output never
shows credentials, and content of messages only with --show-content.

JSON: {\"sessions\": [{\"stream\", \"client\", \"server\", \"protocol\", \"first\", \"last\",
\"packets\", \"bytes\", \"duplicates\", \"analysis\", \"lines\", \"messages\", \"phases\",
\"handshake\", \"handshake_at_us\", \"ended\", \"oddities\", \"missing_bytes\", …}],
\"packets\", \"passed\", \"notes\"}. In pairs the first value is the client's.";

/// Arguments of `gatepost capture`.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct CaptureArguments {
    /// Capture files (pcap or pcapng); - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Show only packets that match this Wireshark filter, and sessions that contain one
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Show session N as a ladder: each line, its side and its time
    #[arg(long, value_name = "N")]
    pub stream: Option<u64>,
    /// Read connections on this port as SMTP, however they begin; may be repeated
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Show the content of messages
    #[arg(long)]
    pub show_content: bool,
    /// Treat duplicate packets as retransmissions, as Wireshark does
    #[arg(long)]
    pub keep_duplicates: bool,
    /// Print only the number of packets that match
    #[arg(long, conflicts_with_all = ["stream", "format"])]
    pub count: bool,
    /// Write the packets that match to a file (pcapng)
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: CaptureFormat,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    pub utc: bool,
}

/// Output formats of sessions.
#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum CaptureFormat {
    /// Table for people
    #[default]
    Table,
    /// JSON for programs, all times in UTC
    Json,
    /// CSV, one row per session
    Csv,
}
