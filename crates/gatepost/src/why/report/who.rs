//! Who fails and who does not: numbers beside bars, and when.

use diagnosis::{Dimension, Explained, Split, Tally};
use maud::{Markup, html};

use super::{Report, picture};

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
                        p { (parting(split)) }
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

fn parting(split: &Split) -> String {
    let names: Vec<&str> = split.dimension.iter().map(|dimension| name(*dimension)).collect();
    format!(
        "Failing and working attempts part by {}. By chance they would part so with a probability of {:.0e}.",
        names.join(" together with "),
        split.p_value
    )
}

fn unparted(failed: u64, worked: u64) -> String {
    match worked {
        0 => format!("Every attempt failed: {failed} of {failed}. Nothing works that it could be held against."),
        _ => "Some attempts fail and some work, and nothing that is known of them parts the two.".to_owned(),
    }
}

fn heading(dimensions: &[Dimension]) -> String {
    let joined = dimensions.iter().map(|dimension| name(*dimension)).collect::<Vec<_>>().join(" with ");
    let mut letters = joined.chars();
    letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default() + letters.as_str()
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
