//! Arguments of `gatepost why`.

use std::path::PathBuf;

use clap::Args;
use diagnosis::Source;

use super::{Output, log_files::LogFiles};
use insight::Moment;
use node::config::Duration;

pub(super) const WHY_HELP: &str = "\
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
    #[command(flatten)]
    pub logs: LogFiles<false>,
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
        let mut logs: Vec<_> = self.logs.by_format().collect();
        logs.sort_by_key(|(format, _)| format.detail);
        let logs = logs.into_iter().map(|(format, files)| (Source::Log(format), files));
        let first = [(Source::Capture, self.capture.as_slice()), (Source::ProtocolLog, &self.protocol_log)];
        let last = [(Source::Dsn, self.dsn.as_slice()), (Source::TlsReport, &self.tls_report)];
        first.into_iter().chain(logs).chain(last).filter(|(_, files)| !files.is_empty())
    }

    /// True if the gateway's own history is asked for.
    pub(crate) fn reads_history(&self) -> bool {
        self.with_history || self.sources().next().is_none()
    }
}
