//! The section with the evidence of a finding: its pieces, the newest attempts, and one conversation of each kind.

use diagnosis::{Attempt, Explained, Finding, Source, in_words};
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};
use protocol::host_port;
use trace::protocol_log::{RowKind, Session};

use super::{Report, counted};
use crate::excerpts::session_ids;

/// Maximum number of attempts of each kind in the table.
const ATTEMPTS_MAX: usize = 3;
/// Maximum number of lines of a conversation; the bundle has more.
const LINES_MAX: usize = 40;

impl Report<'_> {
    pub(super) fn evidence(&self, explained: &Explained<'_>) -> Markup {
        let (failing, working) = (explained.failing(), explained.working());
        html! {
            section {
                h2 { "Evidence" }
                (self.pieces(&explained.finding, usize::MAX))
                (self.attempts(&failing, &working))
                (self.conversations(&failing, &working))
            }
        }
    }

    /// The first pieces of evidence of a finding.
    pub(super) fn pieces(&self, finding: &Finding, most: usize) -> Markup {
        html! {
            ul {
                @for (what, places) in pieces(finding).into_iter().take(most) {
                    li { (self.text(what)) " " span.quiet { (self.text(&places.join(", "))) } }
                }
            }
        }
    }

    fn attempts(&self, failing: &[&Attempt<'_>], working: &[&Attempt<'_>]) -> Markup {
        let shown: Vec<&Attempt<'_>> =
            failing.iter().take(ATTEMPTS_MAX).chain(working.iter().take(ATTEMPTS_MAX)).copied().collect();
        let columns: Vec<&Column> = COLUMNS.iter().filter(|column| column.is_shown(&shown)).collect();
        html! {
            @if !shown.is_empty() {
                h3 { "Attempts" }
                table.attempts {
                    thead { tr { @for Column { name, .. } in &columns { th scope="col" { (name) } } } }
                    tbody {
                        @for attempt in shown {
                            tr {
                                @for Column { name, value, .. } in &columns {
                                    td data-label=(name) { span { (self.text(&value(attempt))) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The first conversation of each kind that a log contains, close to each other in time.
    fn conversations(&self, failing: &[&Attempt<'_>], working: &[&Attempt<'_>]) -> Markup {
        let find = |attempts: &[&Attempt<'_>]| attempts.iter().find_map(|attempt| self.conversation(attempt));
        let (failed, worked) = (find(failing), find(working));
        html! {
            @if failed.is_some() || worked.is_some() {
                h3 { "Conversations" }
                div.conversations { (failed.unwrap_or_default()) (worked.unwrap_or_default()) }
            }
        }
    }

    fn conversation(&self, attempt: &Attempt<'_>) -> Option<Markup> {
        let find = |id: String| self.excerpts.sessions.iter().find(|session| session.id == id);
        let session = session_ids(attempt).into_iter().find_map(find)?;
        let caption = if attempt.failure.is_some() { "An attempt that failed" } else { "An attempt that worked" };
        Some(self.lines(caption, &place(attempt), session))
    }

    fn lines(&self, caption: &str, place: &str, session: &Session) -> Markup {
        let more = session.rows.len().saturating_sub(LINES_MAX);
        html! {
            figure {
                figcaption { (caption) " " span.quiet { (self.text(place)) } }
                pre {
                    @for row in session.rows.iter().take(LINES_MAX) {
                        span.line {
                            span.quiet { (row.at.map(clock).unwrap_or_default()) } " " (sign(row.kind)) " "
                            (self.text(if row.data.is_empty() { &row.context } else { &row.data })) "\n"
                        }
                    }
                    @if more > 0 { "… " (counted(more as u64, "more line")) "\n" }
                }
            }
        }
    }
}

/// Each piece with its places. The comparison is left out, because it has its own section. It is the first piece, after the
/// probe's.
fn pieces(finding: &Finding) -> Vec<(&str, Vec<&str>)> {
    let mut pieces: Vec<(&str, Vec<&str>)> = Vec::new();
    let of_probe = finding.evidence.iter().take_while(|piece| piece.source == Source::Probe).count();
    let comparison = finding.scope.split.as_ref().map(|_| of_probe);
    let others = finding.evidence.iter().enumerate().filter(|(at, _)| Some(*at) != comparison);
    for (_, piece) in others {
        match pieces.iter_mut().find(|(what, _)| without_duration(what) == without_duration(&piece.what)) {
            Some((_, places)) => places.push(&piece.place),
            None => pieces.push((&piece.what, vec![&piece.place])),
        }
    }
    pieces
}

/// Pieces that differ only in a duration are equal.
fn without_duration(what: &str) -> String {
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = what.split(' ').collect();
    let is_duration = |at: usize| words.get(at + 1) == Some(&"ms") && words.get(at).is_some_and(is_number);
    words.iter().enumerate().filter(|(at, _)| !is_duration(*at)).map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

/// Who spoke: an arrow, or a word if an arrow would not be clear.
fn sign(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Connect => "connected",
        RowKind::Disconnect => "ended:",
        RowKind::Sent => "→",
        RowKind::Received => "←",
        RowKind::Information => "·",
    }
}

/// A column of the table of attempts.
struct Column {
    name: &'static str,
    value: fn(&Attempt<'_>) -> String,
    /// True: the column is left out if all values are equal.
    only_if_it_differs: bool,
}

const COLUMNS: [Column; 6] = [
    Column { name: "Time, UTC", value: time, only_if_it_differs: false },
    Column {
        name: "Node",
        value: |attempt| attempt.node.as_deref().unwrap_or_default().to_owned(),
        only_if_it_differs: true,
    },
    Column {
        name: "TLS policy",
        value: |attempt| attempt.tls_policy.as_deref().unwrap_or_default().to_owned(),
        only_if_it_differs: true,
    },
    Column { name: "Destination", value: destination, only_if_it_differs: true },
    Column { name: "Outcome", value: outcome, only_if_it_differs: false },
    Column { name: "Where", value: place, only_if_it_differs: false },
];

impl Column {
    fn is_shown(&self, attempts: &[&Attempt<'_>]) -> bool {
        let mut values = attempts.iter().map(|attempt| (self.value)(attempt));
        let first = values.next();
        !self.only_if_it_differs || values.any(|value| Some(value) != first)
    }
}

fn time(attempt: &Attempt<'_>) -> String {
    let text = |at: Timestamp| at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    attempt.at.map(text).unwrap_or_default()
}

fn destination(attempt: &Attempt<'_>) -> String {
    let host = attempt.destination.as_ref().map(|(host, port)| host_port::join(host, *port));
    match (host, attempt.destination_address) {
        (Some(host), Some(address)) if !host.contains(&address.to_string()) => format!("{host} ({address})"),
        (Some(host), _) => host,
        (None, address) => address.map(|address| address.to_string()).unwrap_or_default(),
    }
}

fn outcome(attempt: &Attempt<'_>) -> String {
    match (&attempt.failure, &attempt.tls) {
        (Some(failure), _) => format!("Failed: {}", without_host(&failure.text)),
        (None, Some((version, cipher))) => format!("Worked, {version} {cipher}"),
        (None, None) => "Worked".to_owned(),
    }
}

/// The failure without the destination at the start of the gateway's own texts: `mail.onprem.test:25 [192.0.2.1]: `, or
/// `192.0.2.1:25: `.
fn without_host(failure: &str) -> &str {
    let is_host = |text: &str| host_port::split(text).1.is_some();
    match (failure.split_once("]: "), failure.split_once(": ")) {
        (Some((before, rest)), _) if before.split(' ').count() == 2 => rest,
        (_, Some((before, rest))) if !before.contains(' ') && is_host(before) => rest,
        _ => failure,
    }
}

fn place(attempt: &Attempt<'_>) -> String {
    in_words(&attempt.places)
}

fn clock(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%H:%M:%S%.3f").to_string()
}
