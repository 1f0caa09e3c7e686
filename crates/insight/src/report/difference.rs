//! The section that compares failed attempts with those that worked: numbers, bars and times.

use diagnosis::{Dimension, Explained, Split, Tally};
use maud::{Markup, html};

use super::{Report, picture};
use crate::wording::{capitalised, counted};

/// Maximum number of bars; more would be hard to read.
const TALLIES_MAX: usize = 12;

impl Report<'_> {
    pub(super) fn who(&self, explained: &Explained<'_>) -> Markup {
        let scope = &explained.finding.scope;
        html! {
            section {
                h2 { "Failed and working attempts" }
                @match &scope.split {
                    Some(split) => {
                        (difference(split, scope.attempts))
                        (self.bars(&heading(&split.dimension), &explained.tallies()))
                    }
                    None => {
                        @match scope.so_far() {
                            Some(split) => p {
                                "There are not enough attempts to be sure. So far, the " (heading(&split.dimension).to_lowercase())
                                " separates failed attempts from those that worked: " (split.fails.join(", "))
                                " fails, " (split.works.join(", ")) " works."
                            },
                            None => p { (no_difference(scope.failed, explained.worked())) },
                        }
                        (self.bars("Destination", &[Tally {
                            value: scope.destination.clone(), failed: scope.failed, worked: explained.worked(),
                        }]))
                    }
                }
                (self.time_line(explained))
            }
        }
    }

    fn bars(&self, heading: &str, tallies: &[Tally]) -> Markup {
        let most = tallies.iter().map(|tally| tally.failed + tally.worked).max().unwrap_or(0);
        let more = tallies.len().saturating_sub(TALLIES_MAX);
        html! {
            table.bars {
                thead {
                    tr {
                        th scope="col" { (heading) }
                        th scope="col" { span.key.fails {} "Failed" }
                        th scope="col" { span.key.works {} "Worked" }
                        td.bar {}
                    }
                }
                tbody {
                    @for tally in tallies.iter().take(TALLIES_MAX) {
                        tr {
                            th scope="row" { (self.text(&tally.value)) }
                            td { (tally.failed) }
                            td { (tally.worked) }
                            td.bar { (picture::bar(tally.failed, tally.worked, most)) }
                        }
                    }
                }
            }
            @if more > 0 { p.quiet { (counted(more as u64, "more value")) " not shown." } }
        }
    }
}

fn difference(split: &Split, attempts: u64) -> Markup {
    let names: Vec<&str> = split.dimension.iter().map(|dimension| name(*dimension)).collect();
    html! {
        p {
            "Gatepost compared " (counted(attempts, "attempt")) ". The " (names.join(" together with the "))
            " separates failed attempts from those that worked. The chance of coincidence is " (chance(split.p_value)) "."
        }
    }
}

/// A probability in words, such as `about 1 in 250`.
fn chance(p: f64) -> String {
    match p {
        ..0.000_001 => "less than 1 in a million".to_owned(),
        ..0.1 => format!("about 1 in {:.0}", 1.0 / p),
        _ => format!("{:.0}%", p * 100.0),
    }
}

fn no_difference(failed: u64, worked: u64) -> String {
    match worked {
        0 => format!("Every attempt failed: {failed} of {failed}. There are no attempts that worked to compare with."),
        _ => format!(
            "{failed} of {} failed, and {worked} worked. No difference found between them.",
            counted(failed + worked, "attempt")
        ),
    }
}

fn heading(dimensions: &[Dimension]) -> String {
    capitalised(&dimensions.iter().map(|dimension| name(*dimension)).collect::<Vec<_>>().join(" with "))
}

fn name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::TlsPolicy => "TLS policy",
        Dimension::Node => "node",
        Dimension::SourceAddress => "source address",
        Dimension::DestinationHost => "destination host",
        Dimension::DestinationAddress => "destination address",
        Dimension::TlsVersion => "TLS version",
        Dimension::Cipher => "cipher suite",
        Dimension::RecipientDomain => "recipient domain",
        Dimension::SenderDomain => "sender domain",
        Dimension::MessageSize => "message size",
        Dimension::Concurrency => "number of open connections",
        Dimension::Time => "time",
    }
}
