//! What a finding rests on: its evidence in words, the newest attempts, and what was said in one of each kind.

use diagnosis::{Attempt, Explained};
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};
use trace::protocol_log::{RowKind, Session};

use super::Report;
use crate::why::excerpts::session;

/// Attempts of each kind in the table.
const ATTEMPTS_MAX: usize = 5;
/// Lines of a conversation: more belong into the bundle.
const LINES_MAX: usize = 40;

impl Report<'_> {
    pub(super) fn evidence(&self, explained: &Explained<'_>) -> Markup {
        let (failing, working) = (explained.failing(), explained.working());
        html! {
            section {
                h2 { "Evidence" }
                ul.pieces {
                    @for piece in &explained.finding.evidence {
                        li { (self.text(&piece.what)) " " span.quiet { (self.text(&piece.place)) } }
                    }
                }
                (self.attempts(&failing, &working))
                (self.conversations(&failing, &working))
            }
        }
    }

    fn attempts(&self, failing: &[&Attempt], working: &[&Attempt]) -> Markup {
        let shown: Vec<&Attempt> =
            failing.iter().take(ATTEMPTS_MAX).chain(working.iter().take(ATTEMPTS_MAX)).copied().collect();
        let has = |known: fn(&Attempt) -> bool| shown.iter().any(|attempt| known(attempt));
        let (has_node, has_policy) = (has(|attempt| attempt.node.is_some()), has(|attempt| attempt.tls_policy.is_some()));
        html! {
            @if !shown.is_empty() {
                h3 { "The newest attempts" }
                table.attempts {
                    thead {
                        tr {
                            th scope="col" { "Time, UTC" }
                            @if has_node { th scope="col" { "Node" } }
                            @if has_policy { th scope="col" { "TLS policy" } }
                            th scope="col" { "Destination" }
                            th scope="col" { "Outcome" }
                            th scope="col" { "Where" }
                        }
                    }
                    tbody {
                        @for attempt in shown {
                            tr {
                                td.time data-label="Time, UTC" { (time_of(attempt.at)) }
                                @if has_node { td data-label="Node" { (self.text(attempt.node.as_deref().unwrap_or_default())) } }
                                @if has_policy { td data-label="TLS policy" { (self.text(attempt.tls_policy.as_deref().unwrap_or_default())) } }
                                td data-label="Destination" { (self.text(&destination(attempt))) }
                                td data-label="Outcome" { (self.outcome(attempt)) }
                                td.place data-label="Where" { (self.text(&attempt.place.as_ref().map(ToString::to_string).unwrap_or_default())) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn outcome(&self, attempt: &Attempt) -> Markup {
        let agreed = attempt.tls.as_ref().map(|(version, cipher)| format!(", {version} {cipher}")).unwrap_or_default();
        html! {
            @match &attempt.failure {
                Some(failure) => { b { "Failed" } ": " (self.text(failure)) }
                None => { b { "Worked" } (self.text(&agreed)) }
            }
        }
    }

    /// The newest of each kind that was written down.
    fn conversations(&self, failing: &[&Attempt], working: &[&Attempt]) -> Markup {
        let find = |attempts: &[&Attempt]| attempts.iter().find_map(|attempt| self.conversation(attempt));
        let (failed, worked) = (find(failing), find(working));
        html! {
            @if failed.is_some() || worked.is_some() {
                h3 { "What was said" }
                div.conversations {
                    @if let Some(session) = failed { (self.lines("An attempt that failed", session)) }
                    @if let Some(session) = worked { (self.lines("An attempt that worked", session)) }
                }
            }
        }
    }

    fn conversation(&self, attempt: &Attempt) -> Option<&Session> {
        let id = session(attempt)?;
        self.excerpts.sessions.iter().find(|session| session.id == id)
    }

    fn lines(&self, caption: &str, session: &Session) -> Markup {
        let more = session.rows.len().saturating_sub(LINES_MAX);
        html! {
            figure {
                figcaption { (caption) " " span.quiet { "session " (self.text(&session.id)) } }
                pre {
                    @for row in session.rows.iter().take(LINES_MAX) {
                        span.quiet { (row.at.map(clock).unwrap_or_default()) } " " (sign(row.kind)) " "
                        (self.text(if row.data.is_empty() { &row.context } else { &row.data })) "\n"
                    }
                    @if more > 0 { "… " (more) " more lines\n" }
                }
            }
        }
    }
}

/// Who spoke, in words where a sign would have to be learnt.
fn sign(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Connect => "connected",
        RowKind::Disconnect => "ended",
        RowKind::Sent => "→",
        RowKind::Received => "←",
        RowKind::Information => "·",
    }
}

fn destination(attempt: &Attempt) -> String {
    let host = attempt.destination.as_ref().map(|(host, port)| format!("{host}:{port}"));
    match (host, attempt.destination_address) {
        (Some(host), Some(address)) if !host.contains(&address.to_string()) => format!("{host} ({address})"),
        (Some(host), _) => host,
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    }
}

fn time_of(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn clock(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%H:%M:%S%.3f").to_string()
}
