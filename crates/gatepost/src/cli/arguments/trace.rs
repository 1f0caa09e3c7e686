//! Arguments of `gatepost trace`. The HTTP API has the same parameters.

use std::{net::IpAddr, path::PathBuf};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use insight::{Id, Moment, Search, Status, read_cursor, read_tls_version};
use node::config::ByteSize;
use store::{AttemptMatch, SubjectMatch, TraceCursor};

use super::log_files::LogFiles;

pub(super) const TRACE_HELP: &str = "\
Examples:
  gatepost trace --since 2h --status pending
  gatepost trace --since '2026-07-30 08:00' --until '2026-07-30 12:00'
  gatepost trace --sender @partner.example --recipient '*@onprem.test'
  gatepost trace --message-id abc@partner.example --detail
  gatepost trace --since 1d --status pending --code 451 --node mx2
  gatepost trace --since 7d --detail --format csv > report.csv
  gatepost trace --follow
  gatepost trace MSGTRK20261125-1.LOG --status failed
  gatepost trace /var/log/mail.log --recipient @onprem.test
  gatepost trace mailq.txt bounce.eml
  gatepost trace --from-exim-log /var/log/exim4/mainlog --status failed,pending

Status is Delivered, Pending, Failed or Removed (by an operator). Files of other
systems also have Expanded, Quarantined, FilteredAsSpam and GettingStatus. Upper
and lower case are equal.

JSON: {\"messages\": [{\"network_message_id\", \"message_id\", \"received\", \"sender\",
\"recipient\", \"subject\", \"size_bytes\", \"connector\", \"state\", \"due\", \"attempts\",
\"waiting\": {\"waits\", …, \"unblocked_by\", \"command\"}, \"failure\": {\"phase\", \"kind\",
\"reply\": {\"code\", \"enhanced\", \"text\"}, \"destination\"},
\"status\", \"reply\", \"settled\",
\"last_attempt\": {\"node\", \"tls_policy\", \"tls_version\", \"cipher\", \"to_ip\"},
\"events\": […] with --detail}], \"next\": for --after, or null}.
A value that does not apply is null.
With files: {\"messages\": [{\"received\", \"status\", \"sender\", \"recipient\",
\"subject\", \"message_id\", \"network_message_id\", \"why\"}], \"rows\", \"rows_skipped\"}.";

/// Messages that match all of these conditions.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct SearchArguments {
    /// Sender's address, @domain, <> for the null sender, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// Recipient's address, @domain, or a pattern with *
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Message-ID header field, with or without angle brackets
    #[arg(long, value_name = "MESSAGE-ID")]
    pub message_id: Option<String>,
    /// Network message id, or its first digits, as `gatepost queue list` shows it
    #[arg(long, value_name = "ID")]
    pub message: Option<Id>,
    /// Text that the subject contains
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Text that the subject starts with
    #[arg(long, value_name = "TEXT")]
    pub subject_starts_with: Option<String>,
    /// Text that the subject ends with
    #[arg(long, value_name = "TEXT")]
    pub subject_ends_with: Option<String>,
    /// Show only messages with this current status; separate several with commas
    #[arg(long, value_delimiter = ',', ignore_case = true, value_parser = status_parser())]
    pub status: Vec<Status>,
    /// Received at or after this time: a date and time, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Received before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// IP address of the client that sent the message to the gateway
    #[arg(long, value_name = "IP")]
    pub from_ip: Option<IpAddr>,
    /// Minimum size, such as 10MiB
    #[arg(long, value_name = "SIZE")]
    pub size_min: Option<ByteSize>,
    /// Maximum size, such as 10MiB
    #[arg(long, value_name = "SIZE")]
    pub size_max: Option<ByteSize>,
    /// Name of the connector
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    #[command(flatten)]
    pub last_attempt: LastAttemptArguments,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = Search::ROWS, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Start of this page, as the previous page gives it
    #[arg(long, value_name = "PLACE", value_parser = read_cursor)]
    pub after: Option<TraceCursor>,
}

/// Arguments of `gatepost trace`.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct TraceArguments {
    /// Files of other systems to show instead of this gateway's history; Gatepost recognises their kinds
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub search: SearchArguments,
    /// Show all events of each message, in order
    #[arg(long)]
    pub detail: bool,
    /// Keep running: show new messages and each change of their status, until interrupted
    #[arg(long, conflicts_with_all = ["after", "until", "detail", "encoding"])]
    pub follow: bool,
    #[command(flatten)]
    pub logs: LogFiles<true>,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: TraceFormat,
    /// Set the text encoding of csv and tracking-log output
    #[arg(long, value_enum, default_value_t)]
    pub encoding: TraceEncoding,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    pub utc: bool,
}

impl TraceArguments {
    /// True if it reads files of other systems.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.logs.is_empty() || !self.files.is_empty()
    }
}

/// Conditions on the last attempt.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub(crate) struct LastAttemptArguments {
    /// Last attempt: IP address of the destination
    #[arg(long, value_name = "IP")]
    pub to_ip: Option<IpAddr>,
    /// Last attempt: name of the node
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Last attempt: TLS policy
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Last attempt: TLS version, 1.0 to 1.3, or none for plaintext
    #[arg(long, value_name = "VERSION", value_parser = read_tls_version)]
    pub tls_version: Option<String>,
    /// Last attempt: cipher suite, such as RC4-SHA
    #[arg(long, value_name = "CIPHER")]
    pub cipher: Option<String>,
    /// Last attempt: reply code, such as 451, or enhanced code, such as 4.7.1
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
}

/// Output formats of a trace.
#[derive(ValueEnum, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) enum TraceFormat {
    /// Table for people
    #[default]
    Table,
    /// JSON for programs, all times in UTC
    Json,
    /// Enhanced summary of Exchange Online; with --detail its extended report, one row per event
    Csv,
    /// Message tracking log of Exchange, one row per event
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

/// The names of statuses, with help for names that are not clear.
fn status_parser() -> impl TypedValueParser<Value = Status> {
    let value = |status: Status| {
        let value = PossibleValue::new(status.lower_case_name()).aliases(status.aliases());
        status.about().into_iter().fold(value, PossibleValue::help)
    };
    PossibleValuesParser::new(Status::ALL.map(value)).try_map(|name| name.parse::<Status>())
}

impl SearchArguments {
    pub(crate) fn search(&self) -> Search {
        let subjects = [
            self.subject.clone().map(SubjectMatch::Contains),
            self.subject_starts_with.clone().map(SubjectMatch::StartsWith),
            self.subject_ends_with.clone().map(SubjectMatch::EndsWith),
        ];
        let last = self.last_attempt.clone();
        Search {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            message_id: self.message_id.clone(),
            message: self.message,
            subjects: subjects.into_iter().flatten().collect(),
            status: self.status.clone(),
            since: self.since,
            until: self.until,
            from_ip: self.from_ip,
            size_min: self.size_min,
            size_max: self.size_max,
            connector: self.connector.clone(),
            last_attempt: AttemptMatch {
                to_ip: last.to_ip,
                node: last.node,
                tls_policy: last.policy,
                tls_version: last.tls_version,
                cipher: last.cipher,
                code: last.code,
            },
            limit: self.limit,
            after: self.after,
        }
    }
}
