//! Who fails and who does not: numbers beside bars, and when.

use diagnosis::{Dimension, Explained, Split, Tally};
use maud::{Markup, html};

use super::{Report, picture};
use crate::words::capitalised;

/// Bars for more values than this are no picture any more.
const TALLIES_MAX: usize = 12;

impl Report<'_> {
    pub(super) fn who(&self, explained: &Explained<'_>) -> Markup {
        let scope = &explained.finding.scope;
        html! {
            section {
                h2 { "Who fails and who does not" }
                @match &scope.split {
                    Some(split) => {
                        (parting(split, scope.attempts))
                        (self.bars(&heading(&split.dimension), &explained.tallies()))
                    }
                    None => {
                        p { (unparted(scope.failed, explained.worked())) }
                        (self.bars("Destination", &[Tally {
                            value: scope.destination.clone(), failed: scope.failed, worked: explained.worked(),
                        }]))
                    }
                }
                (picture::time_line(explained))
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
            @if more > 0 { p.quiet { "And " (more) " more." } }
        }
    }
}

fn parting(split: &Split, attempts: u64) -> Markup {
    let names: Vec<&str> = split.dimension.iter().map(|dimension| name(*dimension)).collect();
    html! {
        p {
            "Of all that is known of " (attempts) " attempts, it is the " (names.join(" together with "))
            " that parts those that fail from those that work. The probability that they part so by chance is "
            (probability(split.p_value)) "."
        }
    }
}

/// As people write it: 0.004, or 4 × 10⁻⁸⁸.
fn probability(p: f64) -> Markup {
    let scientific = format!("{p:.0e}");
    html! {
        @match scientific.split_once("e-") {
            _ if p >= 0.001 => (format!("{p:.3}")),
            Some((digit, exponent)) => { (digit) " × 10" sup { "−" (exponent) } },
            None => "below 10⁻³⁰⁰",
        }
    }
}

fn unparted(failed: u64, worked: u64) -> String {
    match worked {
        0 => format!("Every attempt failed: {failed} of {failed}. Nothing works that it could be held against."),
        _ => "Some attempts fail and some work, and nothing that is known of them parts the two.".to_owned(),
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
        Dimension::Cipher => "cipher",
        Dimension::RecipientDomain => "recipient domain",
        Dimension::SenderDomain => "sender domain",
        Dimension::MessageSize => "message size",
        Dimension::Time => "time",
    }
}
