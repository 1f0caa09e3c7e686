//! What the command line accepts, and its help.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use diagnosis::Source;
use jiff::{Timestamp, civil, tz::TimeZone};
use store::{DeliveryKey, TraceCursor};
use uuid::Uuid;

use crate::config::{ByteSize, Duration};

/// An inbound mail gateway that never leaves its operator guessing why mail is queued.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(
    name = "gatepost",
    version,
    max_term_width = 100,
    after_help = "Examples:
  gatepost config example > gatepost.toml    a file to start from
  gatepost serve                             run a node
  gatepost queue list                        what waits, and why
  gatepost why                               the root cause, with evidence and remedy
  gatepost incident list                     mail that is stuck or was, as the node noted it
  gatepost trace --recipient user@onprem.test --detail
                                             what happened to someone's mail

Exit status: 0 fine, 1 findings (why, probe), 2 bad usage, unreadable input or no such message."
)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GATEPOST_CONFIG",
        default_value = "gatepost.toml",
        hide_env_values = true
    )]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum Command {
    /// Run a node: take mail, keep it, deliver it
    #[command(after_help = "\
Signals: SIGTERM and SIGINT finish what is in flight and stop; SIGHUP reads the configuration again.

Try it, with the configuration of `gatepost config example`:
  swaks --server 127.0.0.1:2525 --to user@onprem.test")]
    Serve,
    /// Tell what happened to messages, newest first: one row for each recipient
    #[command(after_help = TRACE_HELP)]
    Trace(Box<TraceArguments>),
    /// Name what keeps mail from flowing: cause, whom it holds for, evidence, remedy
    #[command(after_help = WHY_HELP)]
    Why(Box<WhyArguments>),
    /// Read packet captures: sessions, dialogues, TLS handshakes, and which packets pass a filter
    #[command(after_help = CAPTURE_HELP)]
    Capture(Box<CaptureArguments>),
    /// Find out what a destination supports: TLS versions, cipher suites, certificate, STARTTLS
    #[command(after_help = PROBE_HELP)]
    Probe(ProbeArguments),
    /// Look at the queue and act on what waits there
    #[command(
        subcommand,
        after_help = "\
Examples:
  gatepost queue list --connector onprem     what waits for a connector, and why
  gatepost queue show ID                     everything about one message
  gatepost queue retry --connector onprem    try all of it now
  gatepost queue suspend --sender @spam.test --recipient user@onprem.test"
    )]
    Queue(QueueCommand),
    /// Look at incidents: mail that is stuck or was, as the watch over the queue noted it
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Check and explain the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the TLS policies, and at what is delivered with less than the modern one
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Move the nodes from one TLS policy to another, a share at a time
    #[command(subcommand, after_help = ROLLOUT_HELP)]
    Rollout(RolloutCommand),
    /// Play a story of stuck mail on this machine: real nodes, a real faulty server, real TLS
    #[command(subcommand)]
    Case(CaseCommand),
    /// Make tokens for the HTTP API
    #[command(subcommand)]
    Api(ApiCommand),
}

impl Command {
    /// True if it is to show times in UTC.
    pub(crate) fn utc(&self) -> bool {
        match self {
            Self::Trace(arguments) => arguments.utc,
            Self::Why(arguments) => arguments.output.utc,
            Self::Probe(arguments) => arguments.output.utc,
            Self::Capture(arguments) => arguments.utc,
            Self::Queue(QueueCommand::List { output, .. } | QueueCommand::Show { output, .. }) => output.utc,
            Self::Policy(PolicyCommand::Impact(ImpactArguments { output, .. })) => output.utc,
            Self::Policy(PolicyCommand::Ledger(output)) | Self::Rollout(RolloutCommand::Status(output)) => output.utc,
            Self::Incident(IncidentCommand::List { output, .. } | IncidentCommand::Show { output, .. }) => output.utc,
            Self::Serve
            | Self::Queue(_)
            | Self::Config(_)
            | Self::Policy(_)
            | Self::Rollout(_)
            | Self::Case(_)
            | Self::Api(_) => false,
        }
    }
}

const TRACE_HELP: &str = "\
Examples:
  gatepost trace --since 2h --status pending
  gatepost trace --sender @partner.example --since '2026-07-30 08:00' --until '2026-07-30 12:00'
  gatepost trace --message-id abc@partner.example --detail
  gatepost trace --since 1d --status pending --code 451 --node mx2
  gatepost trace --since 7d --recipient '*@onprem.test' --detail --format csv > report.csv
  gatepost trace --follow
  gatepost trace --from-tracking-log MSGTRK20261125-1.LOG --status failed
  gatepost trace --from-postfix-log /var/log/mail.log --recipient @onprem.test
  gatepost trace --from-exim-log /var/log/exim4/mainlog --status failed,pending

Status is Delivered, Pending, Failed, or Removed (by an operator); in files of others also Expanded, Quarantined,
FilteredAsSpam, GettingStatus. Case does not matter.

JSON: {\"messages\": [{\"network_message_id\", \"message_id\", \"received\", \"sender\", \"recipient\",
\"subject\", \"size_bytes\", \"connector\", \"state\", \"due\", \"attempts\",
\"waiting\": {\"waits\", …, \"unblocked_by\"}, \"failure\": {\"phase\", \"kind\",
\"reply\": {\"code\", \"enhanced\", \"text\"}, \"destination\"},
\"status\", \"reply\", \"settled\", \"last_attempt\": {\"node\", \"tls_policy\", \"tls_version\", \"cipher\", \"to_ip\"},
\"events\": […] with --detail}], \"next\": for --after, or null}. What does not apply is null.
With --from-…: {\"messages\": [{\"received\", \"status\", \"sender\", \"recipient\", \"subject\",
\"message_id\", \"network_message_id\", \"why\"}], \"rows\", \"rows_skipped\"}.";

/// Which messages to trace; all given conditions must hold.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct SearchArguments {
    /// Sender's address, @domain, <> for the null sender, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// Recipient's address, @domain, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Message-ID header field, angle brackets or not
    #[arg(long, value_name = "MESSAGE-ID")]
    pub message_id: Option<String>,
    /// Network message id, as queue list shows it
    #[arg(long, value_name = "ID")]
    pub message: Option<Uuid>,
    /// Text that the subject contains
    #[arg(long, value_name = "TEXT", group = "subject_match")]
    pub subject: Option<String>,
    /// Text that the subject starts with
    #[arg(long, value_name = "TEXT", group = "subject_match")]
    pub subject_starts_with: Option<String>,
    /// Text that the subject ends with
    #[arg(long, value_name = "TEXT", group = "subject_match")]
    pub subject_ends_with: Option<String>,
    /// Standing now; several with commas between
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    pub status: Vec<Status>,
    /// Received at or after: a time, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Received before
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Address of the client that handed it in
    #[arg(long, value_name = "IP")]
    pub from_ip: Option<IpAddr>,
    /// At least so large, such as 10MiB
    #[arg(long, value_name = "SIZE")]
    pub size_min: Option<ByteSize>,
    /// At most so large
    #[arg(long, value_name = "SIZE")]
    pub size_max: Option<ByteSize>,
    /// Connector's name
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    #[command(flatten)]
    pub last_attempt: LastAttemptArguments,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = TRACE_ROWS, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// The rows after those that were shown: what the end of a page says
    #[arg(long, value_name = "PLACE", value_parser = read_cursor)]
    pub after: Option<TraceCursor>,
}

/// What to trace, and how to show it.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct TraceArguments {
    #[command(flatten)]
    pub search: SearchArguments,
    /// All events of each, in order
    #[arg(long)]
    pub detail: bool,
    /// Go on showing what comes in, and what becomes of it, until interrupted
    #[arg(long, conflicts_with_all = ["after", "until", "detail", "encoding"])]
    pub follow: bool,
    /// Show what an extended message trace of Exchange Online tells (CSV), not this gateway's history; several times
    #[arg(long, value_name = "FILE")]
    pub from_message_trace: Vec<PathBuf>,
    /// Show what message tracking logs of Exchange tell; several times
    #[arg(long, value_name = "FILE")]
    pub from_tracking_log: Vec<PathBuf>,
    /// Show what logs of Postfix tell; several times
    #[arg(long, value_name = "FILE")]
    pub from_postfix_log: Vec<PathBuf>,
    /// Show what main logs of Exim tell; several times
    #[arg(long, value_name = "FILE")]
    pub from_exim_log: Vec<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: TraceFormat,
    /// Of csv and tracking-log
    #[arg(long, value_enum, default_value_t)]
    pub encoding: TraceEncoding,
    /// Show times in UTC, not in the local time zone
    #[arg(long)]
    pub utc: bool,
}

impl TraceArguments {
    /// True if it is about other systems' files.
    pub(crate) fn is_foreign(&self) -> bool {
        let files = [&self.from_message_trace, &self.from_tracking_log, &self.from_postfix_log, &self.from_exim_log];
        files.iter().any(|files| !files.is_empty())
    }
}

/// What the last attempt must have been.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct LastAttemptArguments {
    /// Last attempt: address that it was made to
    #[arg(long, value_name = "IP")]
    pub to_ip: Option<IpAddr>,
    /// Last attempt: node that made it
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Last attempt: TLS policy
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Last attempt: TLS version that was agreed on, 1.0 to 1.3, or none
    #[arg(long, value_name = "VERSION", value_parser = read_tls_version)]
    pub tls_version: Option<String>,
    /// Last attempt: cipher that was agreed on, such as RC4-SHA
    #[arg(long, value_name = "CIPHER")]
    pub cipher: Option<String>,
    /// Last attempt: reply code, such as 451, or enhanced code, such as 4.7.1
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
}

/// In OpenSSL's words.
fn read_tls_version(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().trim_start_matches("tls").trim_start_matches(['v', ' ']) {
        "1" | "1.0" => Ok("TLSv1".to_owned()),
        version @ ("1.1" | "1.2" | "1.3") => Ok(format!("TLSv{version}")),
        "none" => Ok("none".to_owned()),
        _ => Err("TLS versions are 1.0, 1.1, 1.2, 1.3, and none for plaintext".to_owned()),
    }
}

pub(crate) fn read_cursor(text: &str) -> Result<TraceCursor, String> {
    let read = || {
        let (received, delivery) = text.split_once('-')?;
        let received = Timestamp::from_millisecond(received.parse().ok()?).ok()?;
        Some(TraceCursor { received, delivery: DeliveryKey(delivery.parse().ok()?) })
    };
    read().ok_or_else(|| "take it from the last line of a page".to_owned())
}

/// As [`read_cursor`] reads it.
pub(crate) fn cursor_text(cursor: TraceCursor) -> String {
    format!("{}-{}", cursor.received.as_millisecond(), cursor.delivery.0)
}

/// How a trace is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum TraceFormat {
    /// For people
    #[default]
    Table,
    /// For programs; all times in UTC
    Json,
    /// Exchange Online's enhanced summary; with --detail its extended report, a row for each event
    Csv,
    /// Exchange's message tracking log, a row for each event
    TrackingLog,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum TraceEncoding {
    #[default]
    #[value(name = "utf-8")]
    Utf8,
    /// With a byte order mark, as Microsoft's scripts expect
    #[value(name = "utf-16le")]
    Utf16Le,
}

/// As many as Exchange Online's Get-MessageTraceV2 gives when it is not told otherwise.
const TRACE_ROWS: u32 = 1000;

const CAPTURE_HELP: &str = "\
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

const PROBE_HELP: &str = "\
Examples:
  gatepost probe mail.onprem.test
  gatepost probe 192.0.2.25:2525 --format json

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
    /// Host name or IP address, with a port or for port 25
    #[arg(value_name = "HOST[:PORT]")]
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

const WHY_HELP: &str = "\
Examples:
  gatepost why                               everything that is stuck
  gatepost why onprem                        mail of one connector
  gatepost why mail.onprem.test              mail to one host
  gatepost why --protocol-log SEND2026112512-1.LOG --protocol-log SEND2026112513-1.LOG
                                             what Exchange's own logs tell
  gatepost why --capture edge.pcapng         what a packet capture tells
  gatepost why --capture edge.pcapng --with-history
                                             the same, and what this gateway knows of the same attempts
  gatepost why 01a2137e-b7ef-7443-bece-eb23c5d386a0
                                             one message
  gatepost why onprem --probe                and put to the test: what is the smallest change that works?
  gatepost why onprem --report case.html --bundle case.zip
                                             a page for the other side, and what stands behind it

Report and bundle are made for strangers: of mail addresses they show the domain alone, unless
--show-addresses is given, and never content or subjects. Files that exist are replaced.

The root cause stands first. Whoever fails is held against whoever works, over node, TLS policy,
address, cipher, size, domain and time at once.

Exit status: 0 nothing wrong was found, 1 findings, 2 bad usage or unreadable input.

JSON: {\"findings\": [{\"cause\", \"confidence\", \"scope\": {\"destination\", \"failed\", \"attempts\",
\"split\": {\"dimension\", \"fails\", \"works\", \"failed\", \"of\", \"worked\", \"of_works\", \"p_value\"},
\"works_with\"}, \"messages_pending\", \"pending_since\", \"first_seen\", \"last_seen\", \"summary\",
\"evidence\": [{\"what\", \"source\", \"where\"}], \"remedy\": [{\"side\", \"action\"}], \"check\",
\"experiment\": {\"verdict\", \"because\", \"steps\": [{\"what\", \"works\", \"detail\"}],
\"nodes\": [{\"what\", \"works\", \"detail\"}], \"smallest_change\"}}],
\"read\": {\"attempts\", \"messages\", \"rows_skipped\", \"attempts_joined\",
\"clocks\": [{\"capture\", \"log\", \"ahead_ms\"}]}}.";

/// What to explain.
#[derive(Args, Clone, PartialEq, Debug, Default)]
#[command(group = clap::ArgGroup::new("files_for_others").multiple(true))]
pub(crate) struct WhyArguments {
    /// A network message id, a connector, or a destination's host
    pub what: Option<String>,
    /// Messages received at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: Option<Moment>,
    /// Explain what protocol logs of the sending side tell, Exchange's or a node's, not this gateway's history; several
    /// times, as all of these
    #[arg(long, value_name = "FILE")]
    pub protocol_log: Vec<PathBuf>,
    /// What extended message traces of Exchange Online tell
    #[arg(long, value_name = "FILE")]
    pub message_trace: Vec<PathBuf>,
    /// What message tracking logs of Exchange tell
    #[arg(long, value_name = "FILE")]
    pub tracking_log: Vec<PathBuf>,
    /// What logs of Postfix tell
    #[arg(long, value_name = "FILE")]
    pub postfix_log: Vec<PathBuf>,
    /// What logs of Exim tell
    #[arg(long, value_name = "FILE")]
    pub exim_log: Vec<PathBuf>,
    /// What packet captures tell
    #[arg(long, value_name = "FILE")]
    pub capture: Vec<PathBuf>,
    /// What delivery status notifications (bounces) tell: mails, as files
    #[arg(long, value_name = "FILE")]
    pub dsn: Vec<PathBuf>,
    /// What TLS reports (RFC 8460) tell: JSON, in gzip too, or the mail that brought it
    #[arg(long, value_name = "FILE")]
    pub tls_report: Vec<PathBuf>,
    /// Beside the files, this gateway's own history as well
    #[arg(long)]
    pub with_history: bool,
    /// Put the leading findings to the test: connect as mail goes, and then with one change at a time until one works. No
    /// mail is sent
    #[arg(long)]
    pub probe: bool,
    /// Longest wait for each answer to a probe; 10s unless given
    #[arg(long, value_name = "DURATION", requires = "probe")]
    pub probe_timeout: Option<Duration>,
    /// Also write the findings as one HTML page, fit to be sent to the other side's administrator
    #[arg(long, value_name = "FILE", group = "files_for_others")]
    pub report: Option<PathBuf>,
    /// Also write a zip with that page and what stands behind it: JSON, message trace, protocol log, handshakes
    #[arg(long, value_name = "FILE", group = "files_for_others")]
    pub bundle: Option<PathBuf>,
    /// Show mail addresses in report and bundle; otherwise what stands before the @ is replaced
    #[arg(long, requires = "files_for_others")]
    pub show_addresses: bool,
    #[command(flatten)]
    pub output: Output,
}

impl WhyArguments {
    /// True if files for others are to be written.
    pub(crate) fn writes(&self) -> bool {
        self.report.is_some() || self.bundle.is_some()
    }

    /// The files to be read, by what they are. Those come first that complete what follows.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Source, &[PathBuf])> {
        let files = [
            (Source::Capture, &self.capture),
            (Source::ProtocolLog, &self.protocol_log),
            (Source::PostfixLog, &self.postfix_log),
            (Source::EximLog, &self.exim_log),
            (Source::TrackingLog, &self.tracking_log),
            (Source::MessageTrace, &self.message_trace),
            (Source::Dsn, &self.dsn),
            (Source::TlsReport, &self.tls_report),
        ];
        files.into_iter().filter(|(_, files)| !files.is_empty()).map(|(source, files)| (source, files.as_slice()))
    }

    /// True if the gateway's own history is asked for.
    pub(crate) fn reads_history(&self) -> bool {
        self.with_history || self.sources().next().is_none()
    }
}

/// How a result is printed.
#[derive(Args, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Output {
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show times in UTC, not in the local time zone
    #[arg(long)]
    pub utc: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs; all times in UTC
    Json,
}

/// A message's standing in the words of Exchange Online's message trace.
#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
#[allow(clippy::enum_variant_names, reason = "GettingStatus is Exchange's own word")]
pub(crate) enum Status {
    Delivered,
    Pending,
    Failed,
    /// By an operator
    Removed,
    /// Of a list or an alias: its members got it (in files of others)
    Expanded,
    /// (In files of others)
    Quarantined,
    /// (In files of others)
    #[value(name = "filteredasspam", aliases = ["filtered-as-spam", "filtered as spam"])]
    FilteredAsSpam,
    /// Too new for its status to be known (in files of others)
    #[value(name = "gettingstatus", aliases = ["getting-status", "getting status"])]
    GettingStatus,
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum QueueCommand {
    /// List waiting deliveries by due time: one row for each recipient, and why it waits
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        output: Output,
    },
    /// Show all about one message: envelope, deliveries, what each waits for, events
    #[command(after_help = SHOW_HELP)]
    Show {
        /// Network message id, as queue list shows it
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Make deliveries due now
    #[command(after_help = ACT_HELP)]
    Retry(Selected),
    /// Keep deliveries in the queue without trying them, until resumed; their age still counts
    #[command(after_help = ACT_HELP)]
    Suspend(Selected),
    /// End a suspension
    #[command(after_help = ACT_HELP)]
    Resume(Selected),
    /// Delete deliveries from the queue, without a notice to the sender
    #[command(after_help = ACT_HELP)]
    Remove {
        #[command(flatten)]
        selected: Selected,
        /// Remove even if that means more than one message
        #[arg(long)]
        yes: bool,
    },
    /// Write a message in the queue as a file (RFC 5322, .eml)
    #[command(after_help = "Example:\n  gatepost queue export ID --output message.eml")]
    Export {
        /// Network message id, as queue list shows it
        id: Uuid,
        /// Where to; without it, to standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

const LIST_HELP: &str = "\
Examples:
  gatepost queue list
  gatepost queue list --recipient @onprem.test --state suspended

JSON: {\"deliveries\": [{\"network_message_id\", \"message_id\", \"received\", \"sender\", \"recipient\",
\"subject\", \"size_bytes\", \"connector\", \"state\", \"due\", \"attempts\",
\"waiting\": {\"waits\", …, \"unblocked_by\"}, \"failure\": {\"phase\", \"kind\",
\"reply\": {\"code\", \"enhanced\", \"text\"}, \"destination\"}}],
\"counts\": [{\"connector\", \"state\", \"deliveries\", \"due\"}]}. What does not apply is null.
The counts are of the whole queue.";

const SHOW_HELP: &str = "\
JSON: {\"message\": {\"network_message_id\", \"message_id\", \"received\", \"sender\",
\"subject\", \"size_bytes\", \"client\", \"body_type\", \"smtputf8\", \"content_kept\"},
\"deliveries\": [as of gatepost trace],
\"events\": [{\"at\", \"node\", \"message\", \"recipient\", \"event\", …}]}.";

const ACT_HELP: &str = "\
Name what to act on by conditions, of which all must hold, or by --all.

Examples:
  gatepost queue retry --message 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e
  gatepost queue suspend --connector onprem --recipient user@onprem.test

What a node is delivering at this moment is not removed. JSON: {\"changed\": 3, \"leased\": 0}.";

/// Which deliveries in the queue; all given conditions must hold.
#[derive(Args, Clone, PartialEq, Debug, Default)]
#[group(multiple = true)]
pub(crate) struct Filter {
    /// Network message id
    #[arg(long, value_name = "ID")]
    pub message: Option<Uuid>,
    /// Connector's name
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    /// Recipient's address, or @domain
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Sender's address, or @domain
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// Standing in the queue
    #[arg(long, value_enum)]
    pub state: Option<QueueState>,
}

/// What a command acts on: never everything by mere omission.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct Selected {
    #[command(flatten)]
    pub filter: Filter,
    /// Everything in the queue
    #[arg(long, conflicts_with = "Filter")]
    pub all: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
pub(crate) enum QueueState {
    Queued,
    /// A node is delivering it
    Leased,
    Suspended,
}

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

const ROLLOUT_HELP: &str = "\
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
}

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

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum IncidentCommand {
    /// Incidents, open ones first
    #[command(after_help = "\
JSON: {\"incidents\": [{\"id\", \"connector\", \"destination\", \"cause\", \"node\", \"opened\", \"last_seen\", \"closed\",
\"closed_because\", \"messages_pending\", \"messages_pending_peak\", \"oldest\", \"finding\"}]}; closed is null where it is
open, finding is as in gatepost why.")]
    List {
        /// Most incidents to show
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// One incident with its root cause, evidence and remedy
    Show {
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ApiCommand {
    /// Make a token, and print it with what the configuration is to say of it
    #[command(after_help = "\
Examples:
  gatepost api token monitoring
  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:2580/api/v1/message-traces?since=2h&status=pending'")]
    Token {
        /// Whose it is, for the log of queries
        name: String,
    },
}

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum ConfigCommand {
    /// Check the file; every fault is told with its line and column
    Check,
    /// Print what is in force: the file, with all defaults filled in
    Show {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: ConfigFormat,
    },
    /// Print every setting with its meaning and default
    Reference,
    /// Print a short file to start from
    #[command(after_help = "Example:\n  gatepost config example > gatepost.toml")]
    Example,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum ConfigFormat {
    #[default]
    Toml,
    Json,
}

/// A point in time as people say it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Moment {
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    pub(crate) fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now.checked_sub(*duration).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(duration) = text.parse() {
            return Ok(Self::Ago(duration));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let local =
            text.parse::<civil::DateTime>().ok().and_then(|time| time.to_zoned_datetime(TimeZone::system()).ok());
        let fault = || "no time, such as 2h, '2026-07-30 14:00' (local) or 2026-07-30T12:00:00Z".to_owned();
        local.map(|time| Self::At(time.timestamp())).ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Arguments, ErrorKind> {
        Arguments::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn conditions_and_all_exclude_each_other() {
        for command in ["retry", "suspend", "resume", "remove"] {
            assert_eq!(
                parse(&format!("gatepost queue {command} --all --connector c")),
                Err(ErrorKind::ArgumentConflict)
            );
            assert!(parse(&format!("gatepost queue {command} --all")).is_ok());
            assert!(parse(&format!("gatepost queue {command} --connector c --sender @a.test")).is_ok());
        }
        assert!(parse("gatepost queue list").is_ok());
        assert_eq!(parse("gatepost queue show 123"), Err(ErrorKind::ValueValidation));
    }

    #[test]
    fn the_configuration_may_stand_anywhere() {
        for line in ["gatepost --config a.toml queue list", "gatepost queue list --config a.toml"] {
            assert_eq!(parse(line).unwrap().config, PathBuf::from("a.toml"));
        }
    }

    #[test]
    fn moments() {
        let now: Timestamp = "2026-07-30T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Moment>().unwrap().timestamp(now).to_string();
        assert_eq!(at("90m"), "2026-07-30T10:30:00Z");
        assert_eq!(at("2026-07-29T10:30:00+02:00"), "2026-07-29T08:30:00Z");
        let local = civil::date(2026, 7, 29).at(10, 30, 0, 0).to_zoned_datetime(TimeZone::system()).unwrap();
        assert_eq!(at("2026-07-29 10:30"), local.timestamp().to_string());
        assert_eq!(at("2026-07-29"), local.start_of_day().unwrap().timestamp().to_string());
        for text in ["", "yesterday", "12", "2026-13-01"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
