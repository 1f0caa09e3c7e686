//! What differs and what does not: two bars for each dimension, and the result in words.

use maud::{Markup, html};

use super::{Drawing, axis::percent, dimensions};
use crate::{
    views::{ShareView, SharesView, SplitView},
    wording::{capitalised, counted, probability},
};

impl Drawing<'_> {
    /// All dimensions that were compared. `split`: what the finding says of the one that separates the attempts.
    pub fn compared(&self, split: Option<&SplitView>) -> Markup {
        let (shown, folded): (Vec<_>, Vec<_>) = self.picture.compared.iter().partition(|shares| is_shown(shares));
        let (failed, worked) = self.totals();
        let heads = [
            "Compared by".to_owned(),
            format!("{} that failed", counted(failed, "attempt")),
            format!("{worked} that worked"),
            "Result".to_owned(),
        ];
        html! {
            @if !self.picture.compared.is_empty() {
                @if !shown.is_empty() {
                    table.shares {
                        thead { tr { @for head in &heads { th scope="col" { (head) } } } }
                        tbody { @for shares in shown { (self.dimension(shares, split)) } }
                    }
                }
                @if !folded.is_empty() {
                    details.folded {
                        summary { (summary(&folded)) }
                        table.shares {
                            thead { tr { @for head in &heads { th scope="col" { (head) } } } }
                            tbody { @for shares in folded { (self.dimension(shares, split)) } }
                        }
                    }
                }
                @if let Some(split) = split {
                    p.quiet {
                        "The clearest difference comes first. The chance of coincidence is " (probability(split.p_value))
                        ", corrected for the number of ways in which Gatepost compared them."
                    }
                }
            }
        }
    }

    fn dimension(&self, shares: &SharesView, split: Option<&SplitView>) -> Markup {
        let is_it = shares.outcome == "separates";
        html! {
            tr.found[is_it] {
                th scope="row" { (capitalised(&dimensions(&shares.dimension))) }
                td data-label="Failed" { (self.bar(&shares.failed, "fails")) }
                td data-label="Worked" { (self.bar(&shares.worked, "works")) }
                td data-label="Result" { span { (result(shares, split)) } }
            }
        }
    }

    fn bar(&self, shares: &[ShareView], class: &str) -> Markup {
        let all = shares.iter().map(|share| share.attempts).sum::<u64>().max(1) as f64;
        let share = |attempts: u64| 100.0 * attempts as f64 / all;
        let mut begins = 0.0;
        let parts: Vec<(f64, f64)> = shares
            .iter()
            .map(|one| {
                let part = (begins, share(one.attempts));
                begins += part.1;
                part
            })
            .collect();
        html! {
            @if !shares.is_empty() {
                div.bar {
                    svg aria-hidden="true" {
                        @for (at, (begins, wide)) in parts.iter().enumerate() {
                            rect class=(format!("{class} part{}", at % 2)) x=(percent(*begins)) width=(percent(*wide)) y="1" height="10" {}
                        }
                    }
                    span.quiet {
                        @for (at, one) in shares.iter().enumerate() {
                            @if at > 0 { ", " }
                            @match &one.value { Some(value) => (self.text_of(value)), None => "others" }
                            (format!(" {:.0}%", share(one.attempts)))
                        }
                    }
                }
            }
        }
    }
}

/// What does not differ is folded.
fn is_shown(shares: &SharesView) -> bool {
    matches!(shares.outcome.as_str(), "separates" | "so-far" | "also-separates" | "other-causes" | "past")
}

fn result(shares: &SharesView, split: Option<&SplitView>) -> String {
    let SharesView { split_failed, split_of, split_worked, split_of_works, .. } = shares;
    let numbers = format!("{split_failed} of {split_of} failed, {split_worked} of {split_of_works} worked");
    match shares.outcome.as_str() {
        "separates" => format!("separates them: {numbers}"),
        "so-far" => format!("so far {numbers}; not enough attempts to be sure"),
        _ if shares.follows => match split {
            Some(split) => {
                let names: Vec<String> = split.dimension.split('+').map(str::to_owned).collect();
                format!("follows from the {}", dimensions(&names))
            }
            None => "follows from what separates them".to_owned(),
        },
        "also-separates" => format!("separates them as well: {numbers}"),
        "other-causes" => format!("{numbers}, but by other causes as well"),
        "past" => format!("{numbers}, and most worked again later"),
        "no-difference" => "no difference".to_owned(),
        "one-value" => "the same in both".to_owned(),
        "not-enough-attempts" => "not enough attempts to tell".to_owned(),
        "too-many-values" => "too many values to compare".to_owned(),
        "not-observed" => "not observed".to_owned(),
        other => other.to_owned(),
    }
}

/// Such as `5 others: the same in both: source address, time; not observed: TLS version`.
fn summary(folded: &[&SharesView]) -> String {
    let kinds = [
        ("the same in both", ["one-value", "no-difference"].as_slice()),
        ("not enough attempts to tell", &["not-enough-attempts"]),
        ("too many values to compare", &["too-many-values"]),
        ("not observed", &["not-observed"]),
    ];
    let named = kinds.iter().filter_map(|(words, outcomes)| {
        let of = folded.iter().filter(|shares| outcomes.contains(&shares.outcome.as_str()));
        let names: Vec<String> = of.map(|shares| dimensions(&shares.dimension)).collect();
        (!names.is_empty()).then(|| format!("{words}: {}", names.join(", ")))
    });
    let count = folded.len();
    let others = if count == 1 { "1 other".to_owned() } else { format!("{count} others") };
    format!("{others} – {}", named.collect::<Vec<_>>().join("; "))
}
