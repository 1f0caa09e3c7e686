//! Arguments of `gatepost why`.

use std::path::{Path, PathBuf};

use clap::Args;
use diagnosis::Source;
use insight::Moment;
use node::config::Duration;

use super::{Output, log_files::LogFiles};

/// Endings of files that cannot be the end of a host's name.
const FILE_ENDINGS: [&str; 9] = ["log", "csv", "txt", "eml", "json", "pcap", "pcapng", "gz", "mbox"];

/// As a file.
const STANDARD_INPUT: &str = "/dev/stdin";

fn is_file(given: &Path) -> bool {
    let has_ending =
        || given.extension().is_some_and(|ending| FILE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    given.components().count() > 1
        || given.to_string_lossy().contains(std::path::is_separator)
        || has_ending()
        || given.exists()
}

pub(super) const WHY_HELP: &str = "\
Examples:
  gatepost why                               explain all stuck mail
  gatepost why onprem                        explain mail of one connector
  gatepost why mail.onprem.test              explain mail to one host
  gatepost why user@onprem.test              explain mail to or from one address
  gatepost why SEND-1.LOG SEND-2.LOG         explain files of other systems
  journalctl -u postfix | gatepost why -     explain what another program prints
  gatepost why edge.pcapng bounce.eml        explain a capture and a bounce
  gatepost why --inbound mail.log            explain which senders fail
                                             mail to that server
  gatepost why contoso.com queue.txt         explain one domain's mail in a file
  gatepost why edge.pcapng --with-history
                                             add this gateway's own history
  gatepost why 01a2137e-b7ef-7443-bece-eb23c5d386a0
                                             explain one message
  gatepost why onprem --probe                test the cause with connections
  gatepost why onprem --probe --envelope     also test MAIL and RCPT
  gatepost why onprem --report case.html --bundle case.zip
                                             write files to send to others

Gatepost recognises files by their content: logs, message traces, bounces, queue
listings, TLS reports and packet captures of many systems. An option such as
--postfix-log forces the kind.

The report and the bundle are made to be sent to others. They show only the
domain of mail addresses (--show-addresses shows all), and never content or
subjects. Existing files are replaced.

A table has one row for each cause. The findings that matter follow in full, the
root cause first; --all shows every one. Gatepost compares failed attempts with
those that worked, by node, TLS policy, address, cipher suite, size, open
connections, domain and time.

A finding is over if enough of what failed works again, or if all messages that
failed have been delivered since.

Exit status: 0 nothing is wrong now, or there are only warnings, 1 ongoing
findings, 2 wrong usage, unreadable input, or a name that matches nothing.

JSON: {\"overview\": [{\"cause\", \"confidence\", \"state\", \"passes_by_itself\",
\"findings\", \"destinations\", \"attempts\", \"messages_known\",
\"messages_pending\", \"messages_bounced\", \"first_seen\", \"last_seen\"}],
\"findings\": [{\"cause\", \"severity\", \"confidence\", \"state\",
\"over\": {\"since\", \"worked\", \"changes\": [{\"change\", \"what\"}],
\"messages\", \"messages_in_plaintext\"},
\"scope\": {\"destination\", \"connector\", \"failed\", \"attempts\", \"destinations\",
\"everywhere\": {\"destinations\", \"named\"},
\"split\": {\"dimension\", \"fails\", \"works\", \"failed\", \"of\", \"worked\", \"of_works\",
\"p_value\"}, \"compared\": [as in split, with \"outcome\"],
\"works_with\"}, \"messages_known\", \"messages_pending\",
\"messages_bounced\", \"messages_removed\", \"pending_since\",
\"first_seen\", \"last_seen\", \"summary\",
\"evidence\": [{\"what\", \"source\", \"where\"}],
\"remedy\": [{\"side\", \"action\"}], \"check\",
\"experiment\": {\"verdict\", \"because\", \"steps\": [{\"what\", \"works\", \"detail\"}],
\"nodes\": [{\"what\", \"works\", \"detail\"}], \"smallest_change\"}}],
\"read\": {\"attempts\", \"messages\", \"rows_skipped\", \"lines\",
\"unread\": [{\"program\", \"lines\"}], \"attempts_joined\", \"sessions_incomplete\",
\"clocks\": [{\"capture\", \"log\", \"ahead_ms\"}]}}.";

/// Arguments of `gatepost why`.
#[derive(Args, Clone, PartialEq, Debug, Default)]
#[command(group = clap::ArgGroup::new("files_for_others").multiple(true))]
pub(crate) struct WhyArguments {
    /// Message, address, domain, connector, or host or IP address of a destination
    #[arg(value_name = "WHAT|FILE")]
    pub what: Option<String>,
    /// Files of other systems to explain instead of this gateway's history; Gatepost recognises their kinds
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Explain messages received at or after this time: a date and time, or how long ago
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: Option<Moment>,
    /// Explain a protocol log, from Exchange or a node, instead of this gateway's history; may be repeated and combined
    /// with other files
    #[arg(long, value_name = "FILE")]
    pub protocol_log: Vec<PathBuf>,
    #[command(flatten)]
    pub logs: LogFiles<false>,
    /// Explain a packet capture; may be repeated
    #[arg(long, value_name = "FILE")]
    pub capture: Vec<PathBuf>,
    /// Explain a bounce (delivery status notification), saved as a mail file; may be repeated
    #[arg(long, value_name = "FILE")]
    pub dsn: Vec<PathBuf>,
    /// Explain a TLS report (RFC 8460): JSON, also in gzip, or the mail that brought it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub tls_report: Vec<PathBuf>,
    /// Explain which senders fail to deliver mail to this side: from files of any kind, or from this node's own protocol
    /// log and history
    #[arg(long, conflicts_with = "probe")]
    pub inbound: bool,
    /// Explain this gateway's own history together with the files
    #[arg(long)]
    pub with_history: bool,
    /// Test the first findings: connect as mail does, then with one change at a time until a connection works. Sends no
    /// mail
    #[arg(long)]
    pub probe: bool,
    /// Timeout for each answer to a probe; 10s by default
    #[arg(long, value_name = "DURATION", requires = "probe")]
    pub probe_timeout: Option<Duration>,
    /// Let the probe go on to MAIL and RCPT with the addresses of a waiting message, then take them back with RSET
    #[arg(long, requires = "probe")]
    pub envelope: bool,
    /// Also write the findings as one HTML page for the administrator of the destination
    #[arg(long, value_name = "FILE", group = "files_for_others")]
    pub report: Option<PathBuf>,
    /// Also write a zip file with that page and its evidence: JSON, message trace, protocol log, handshakes
    #[arg(long, value_name = "FILE", group = "files_for_others")]
    pub bundle: Option<PathBuf>,
    /// Show mail addresses in the report and the bundle instead of replacing the part before the @
    #[arg(long, requires = "files_for_others")]
    pub show_addresses: bool,
    /// Show every finding in full, not only the few that matter
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub output: Output,
}

impl WhyArguments {
    /// True if a report or a bundle is asked for.
    pub(crate) fn writes(&self) -> bool {
        self.report.is_some() || self.bundle.is_some()
    }

    /// The files to read, each with the kind that an option says it is.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Option<Source>, &PathBuf)> {
        let others = [
            (None, &self.files),
            (Some(Source::Capture), &self.capture),
            (Some(Source::ProtocolLog), &self.protocol_log),
            (Some(Source::Dsn), &self.dsn),
            (Some(Source::TlsReport), &self.tls_report),
        ];
        let others = others.into_iter().flat_map(|(source, files)| files.iter().map(move |file| (source, file)));
        let logs = self.logs.by_format();
        let logs = logs.flat_map(|(format, files)| files.iter().map(move |file| (Some(Source::Log(format)), file)));
        others.chain(logs)
    }

    /// Tells names from files: a file exists, or is written as a path or with the ending of one.
    pub(crate) fn tell_files_apart(&mut self) -> anyhow::Result<()> {
        let given = self.what.take().map(PathBuf::from).into_iter().chain(self.files.drain(..));
        let given = given.map(|given| if given.as_os_str() == "-" { STANDARD_INPUT.into() } else { given });
        let (files, names): (Vec<PathBuf>, Vec<PathBuf>) = given.partition(|given| is_file(given));
        if let [first, second, ..] = names.as_slice() {
            anyhow::bail!(
                "\"{}\" and \"{}\" are not files; name one thing to explain",
                first.display(),
                second.display()
            );
        }
        self.what = names.first().map(|name| name.display().to_string());
        self.files = files;
        Ok(())
    }

    /// True if the gateway's own history is asked for.
    pub(crate) fn reads_history(&self) -> bool {
        self.with_history || self.sources().next().is_none()
    }
}
