//! Findings as one self-contained HTML page: for the administrator of the destination, for print, for a ticket.
//!
//! The templates escape every text. The page shows mail addresses only if that was asked for.

mod difference;
mod evidence;
mod experiment;
mod style;
#[cfg(test)]
mod tests;
mod tls;

use diagnosis::{Explained, Finding, Remedy, Side};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use protocol::text::clean;

pub use style::STYLE;

use super::{
    Addresses, Excerpts, Gathered, Mark, Read, confidence,
    excerpts::FINDINGS_MAX,
    sentence, title,
    wording::{capitalised, counted, later, moment},
};

/// Maximum number of characters of one text.
const TEXT_MAX: usize = 1000;

/// The content of a report.
pub struct Report<'a> {
    pub findings: &'a [Explained<'a>],
    pub excerpts: Excerpts,
    pub addresses: &'a Addresses,
    pub read: Read,
    pub sources: &'a [String],
    /// Skipped files, each with the reason.
    pub skipped: &'a [String],
    /// Changes to mark on the time axis.
    pub changes: Vec<Mark>,
    pub made: Timestamp,
}

impl<'a> Report<'a> {
    pub fn new(
        findings: &'a [Explained<'a>],
        gathered: &'a Gathered,
        excerpts: Excerpts,
        skipped: &'a [String],
        made: Timestamp,
    ) -> Self {
        let Gathered { read, sources, addresses, .. } = gathered;
        Self { findings, excerpts, addresses, read: read.clone(), sources, skipped, changes: Vec::new(), made }
    }

    /// Its content security policy, which allows nothing but its own style.
    pub fn policy() -> String {
        style::policy()
    }

    /// The whole page.
    pub fn page(&self) -> String {
        let first = self.findings.first();
        let title = first.map_or_else(|| "No findings".to_owned(), |first| headline(&first.finding));
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(style::policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    title { (self.text(&title)) }
                    style { (PreEscaped(style::STYLE)) }
                }
                body {
                    main {
                        @match first {
                            Some(first) => (self.root_cause(first, &title)),
                            None => (self.nothing(&title)),
                        }
                        (self.others())
                        (self.about())
                    }
                }
            }
        };
        page.into_string()
    }

    /// Foreign text with replaced addresses, and without characters that change its order.
    fn text(&self, text: &str) -> String {
        let text = clean(&self.addresses.private(text));
        match text.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn nothing(&self, title: &str) -> Markup {
        html! {
            header {
                h1 { (title) }
                p.lead { "Gatepost found no problem in " (counted(self.read.attempts, "delivery attempt")) "." }
            }
        }
    }

    fn root_cause(&self, explained: &Explained<'_>, title: &str) -> Markup {
        let finding = &explained.finding;
        html! {
            header {
                p.kicker { "Mail delivery report" }
                h1 { (self.text(title)) }
                p.lead { (self.text(&detail(finding))) }
                (self.key_figures(finding))
            }
            (self.who(explained))
            (self.evidence(explained))
            (self.tls(explained))
            (self.experiment(finding))
            section {
                h2 { "What to do" }
                (remedies(&finding.remedy))
            }
            section.check {
                h2 { "How to check it" }
                p { "Run this command before and after a change:" }
                pre { code { (self.text(&finding.check)) } }
            }
        }
    }

    fn key_figures(&self, finding: &Finding) -> Markup {
        html! {
            dl.figures {
                div { dt { "Cause" } dd { (finding.cause) } }
                div { dt { "Confidence" } dd { (confidence(finding.cause.as_str(), finding.confidence)) } }
                div { dt { "Messages waiting" } dd { (finding.messages_pending) } }
                @if let (Some(first), Some(last)) = (finding.first_seen, finding.last_seen) {
                    div { dt { "Seen" } dd { (span(first, last)) } }
                }
            }
        }
    }

    /// The other findings, in short.
    fn others(&self) -> Markup {
        let others = self.findings.get(1..).unwrap_or_default();
        let more = others.len().saturating_sub(FINDINGS_MAX - 1);
        html! {
            @if !others.is_empty() {
                section {
                    h2 { "Also found" }
                    @for explained in others.iter().take(FINDINGS_MAX - 1) { (self.other(&explained.finding)) }
                    @if more > 0 { p.quiet { (counted(more as u64, "more finding")) " not shown." } }
                }
            }
        }
    }

    fn other(&self, finding: &Finding) -> Markup {
        html! {
            article {
                h3 { (self.text(&headline(finding))) }
                p { (self.text(&detail(finding))) " " span.quiet { "Cause: " (title(finding.cause.as_str(), finding.confidence)) "." } }
                (self.pieces(finding, 1))
                (remedies(&finding.remedy))
                p { "Check: " code { (self.text(&finding.check)) } }
            }
        }
    }

    /// The sources of the report, and its creation.
    fn about(&self) -> Markup {
        let Read { attempts, rows_skipped, attempts_joined, ref clocks, .. } = self.read;
        html! {
            section.about {
                h2 { "About this report" }
                dl {
                    dt { "Read" }
                    dd {
                        (counted(attempts, "delivery attempt")) ", from"
                        ul { @for source in self.sources { li { (self.text(source)) } } }
                    }
                    @if attempts_joined > 0 {
                        dt { "Merged" }
                        dd {
                            (counted(attempts_joined, "attempt")) " reported by several of these sources."
                            @if !clocks.is_empty() { ul { @for clock in clocks { li { (self.text(&clock.to_string())) } } } }
                        }
                    }
                    dt { "Skipped" }
                    dd {
                        @if rows_skipped == 0 && self.skipped.is_empty() { "Nothing." }
                        @else { (counted(rows_skipped, "line")) " not recognised." }
                        @if !self.skipped.is_empty() { ul { @for skipped in self.skipped { li { (self.text(skipped)) } } } }
                    }
                    dt { "Left out" }
                    dd {
                        "Older attempts: they are counted, but not quoted."
                        @if !self.excerpts.left_out.is_empty() {
                            ul { @for part in &self.excerpts.left_out { li { (self.text(part)) "." } } }
                        }
                    }
                    dt { "Privacy" }
                    dd { (self.addresses.note()) " The report never contains content of messages." }
                    dt { "Created" }
                    dd { time datetime=(format!("{:.0}", self.made)) { (moment(self.made)) } " by Gatepost " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}

/// The destination and what it does, without numbers.
fn headline(finding: &Finding) -> String {
    finding.headline()
}

/// The summary without the headline.
fn detail(finding: &Finding) -> String {
    let rest = finding.summary.strip_prefix(&headline(finding)).and_then(|rest| rest.strip_prefix(": "));
    let rest = rest.unwrap_or(&finding.summary);
    sentence(&capitalised(rest))
}

fn remedies(remedies: &[Remedy]) -> Markup {
    let sides = [(Side::Destination, "Destination"), (Side::Gateway, "Gateway"), (Side::Network, "Network")];
    html! {
        dl.sides {
            @for (side, name) in sides {
                @let actions: Vec<_> = remedies.iter().filter(|remedy| remedy.side == side).collect();
                @if !actions.is_empty() {
                    div { dt { (name) } @for remedy in actions { dd { (remedy.action) } } }
                }
            }
        }
    }
}

/// `2026-11-25 08:10:00 to 08:50:12 UTC`
fn span(first: Timestamp, last: Timestamp) -> String {
    let from = moment(first);
    if from == moment(last) { from } else { format!("{} to {}", from.trim_end_matches(" UTC"), later(first, last)) }
}
