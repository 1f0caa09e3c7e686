//! Wording of findings: the summary, the difference, and the command that shows more.

use jiff::Timestamp;
use trace::NextStep;

use super::{
    finding::{Finding, Scope},
    inbound::told_to,
    stuck::Effects,
};
use crate::{
    comparison::Split,
    evidence::{Dimension, Direction, Example, Source},
};

pub(super) fn summary(does: &str, scope: &Scope, effects: Effects) -> String {
    let mut summary = format!("{}: {}", headline(does, scope), numbers(scope));
    let told = in_words(effects);
    if !told.is_empty() {
        summary.push_str(&format!(". {told}"));
    }
    summary
}

/// How many attempts failed and worked, and with what.
fn numbers(scope: &Scope) -> String {
    let Scope { failed, attempts, failed_otherwise, .. } = scope;
    let mut numbers = match (&scope.split, scope.so_far()) {
        (Some(split), _) => part(split),
        (None, Some(split)) => format!(
            "{failed} of {attempts} attempts failed; so far {}; not enough attempts to be sure",
            part_so_far(split)
        ),
        (None, None) if *attempts == 1 => "the only attempt failed".to_owned(),
        (None, None) if failed == attempts => format!("all {failed} attempts failed"),
        (None, None) if *failed_otherwise > 0 => {
            format!("{failed} of {attempts} attempts failed in this way, {failed_otherwise} otherwise")
        }
        (None, None) => format!("{failed} of {attempts} attempts failed"),
    };
    if let Some(works_with) = scope.works_with.as_ref().filter(|_| scope.split.is_some()) {
        numbers.push_str(&format!(", always with {works_with}"));
    }
    numbers
}

pub(super) fn time(at: Option<i64>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_millisecond(at).ok())
}

fn in_words(Effects { waiting, untried, bounced, removed }: Effects) -> String {
    let paused = if untried > 0 {
        let its = if untried == 1 { "its" } else { "their" };
        format!(" ({untried} without an attempt of {its} own, because deliveries there are paused)")
    } else {
        String::new()
    };
    let waiting = (waiting > 0).then(|| format!("{} waiting{paused}", messages(waiting)));
    let bounced = (bounced > 0).then(|| format!("{} bounced", messages(bounced)));
    let removed = (removed > 0).then(|| format!("{} removed", messages(removed)));
    [waiting, bounced, removed].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

impl Finding {
    /// The destination and what it does, without numbers.
    pub fn headline(&self) -> String {
        let direction = if self.situation.is_inbound { Direction::Inbound } else { Direction::Outbound };
        headline(told_to(direction, self.cause.cause()), &self.scope)
    }

    /// The same; it says for whom delivery fails, whatever separates failed attempts from those that worked.
    pub fn title(&self) -> String {
        let headline = self.headline();
        match self.scope.split.as_ref() {
            Some(split) if whom(split).is_none_or(|whom| !headline.contains(&whom)) => {
                let parts: Vec<String> = split.dimension.iter().map(|dimension| circumstance(*dimension)).collect();
                format!("{} {}, {headline}", parts.join(" and "), list(&split.fails)).trim_start().to_owned()
            }
            _ => headline,
        }
    }

    /// How many attempts failed and worked.
    pub fn numbers(&self) -> String {
        numbers(&self.scope)
    }
}

/// Begins a sentence; the values follow.
fn circumstance(dimension: Dimension) -> String {
    let words = match dimension {
        Dimension::TlsPolicy => "for nodes under the policy",
        Dimension::Node => "for node",
        Dimension::SourceAddress => "for connections from",
        Dimension::DestinationHost | Dimension::DestinationAddress => "at",
        Dimension::TlsVersion | Dimension::Cipher | Dimension::Concurrency => "with",
        Dimension::RecipientDomain => "for mail to",
        Dimension::SenderDomain => "for mail from",
        Dimension::MessageSize => "for messages",
        // The value says when.
        Dimension::Time => "",
    };
    words.to_owned()
}

/// The destination and what it does. If only some nodes, policies or addresses fail, it says so instead of blaming the
/// whole gateway.
pub(super) fn headline(does: &str, scope: &Scope) -> String {
    let does = match scope.split.as_ref().and_then(whom) {
        Some(whom) => does.replace("this gateway", &whom),
        None => does.to_owned(),
    };
    format!("{} {does}", scope.destination)
}

/// The part of this side that fails, where it is a part of this side that separates.
fn whom(split: &Split) -> Option<String> {
    let values = list(&split.fails);
    match split.dimension.as_slice() {
        [Dimension::TlsPolicy] => Some(format!("nodes under the policy {values}")),
        [Dimension::Node] if split.fails.len() == 1 => Some(format!("node {values}")),
        [Dimension::Node] => Some(format!("nodes {values}")),
        [Dimension::SourceAddress] => Some(format!("connections from {values}")),
        _ => None,
    }
}

/// How likely it is that the difference is a coincidence.
pub(super) fn chance(p_value: f64) -> String {
    const SHOWN_MIN: f64 = 1e-6;
    if p_value < SHOWN_MIN { "less than 1 in a million".to_owned() } else { format!("about 1 in {:.0}", 1.0 / p_value) }
}

pub(super) fn messages(number: u64) -> String {
    format!("{number} {}", if number == 1 { "message" } else { "messages" })
}

/// `96 of 96 attempts under TLS policy modern failed, 104 of 104 under legacy worked`.
pub(super) fn part(split: &Split) -> String {
    let label = split.dimension.iter().map(|dimension| phrase(*dimension)).collect::<Vec<_>>().join(" and ");
    let side = |values: &[String]| [label.as_str(), &list(values)].join(" ").trim_start().to_owned();
    let Split { failed, of, worked, of_works, .. } = split;
    let (fails, works) = (side(&split.fails), side(&split.works));
    format!("{failed} of {of} attempts {fails} failed, {worked} of {of_works} {works} worked")
}

/// `4 of 4 from address 192.0.2.92 failed, 0 of 4 from address 192.0.2.91`.
fn part_so_far(split: &Split) -> String {
    let label = split.dimension.iter().map(|dimension| phrase(*dimension)).collect::<Vec<_>>().join(" and ");
    let side = |values: &[String]| [label.as_str(), &list(values)].join(" ").trim_start().to_owned();
    let Split { failed, of, worked, of_works, .. } = split;
    let (fails, works) = (side(&split.fails), side(&split.works));
    format!("{failed} of {of} {fails} failed, {} of {of_works} {works}", of_works - worked)
}

/// Values for people; not all of many.
fn list(values: &[String]) -> String {
    const SHOWN_MAX: usize = 4;
    let shown = values.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    if values.len() > SHOWN_MAX { format!("{shown} and {} more", values.len() - SHOWN_MAX) } else { shown }
}

/// Reads on after "attempts".
fn phrase(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::TlsPolicy => "under TLS policy",
        Dimension::Node => "from node",
        Dimension::SourceAddress => "from address",
        Dimension::DestinationHost => "to host",
        Dimension::DestinationAddress => "to address",
        Dimension::TlsVersion => "with",
        Dimension::Cipher => "with cipher suite",
        Dimension::RecipientDomain => "for domain",
        Dimension::SenderDomain => "from domain",
        Dimension::MessageSize => "with messages",
        Dimension::Concurrency => "with",
        Dimension::Time => "",
    }
}

/// The attempts themselves, where they were read.
pub(super) fn look_at(example: Option<&Example>, connector: Option<&str>) -> NextStep {
    let own = NextStep::trace_failures(connector);
    let Some((source, file)) = example.and_then(|example| Some((example.source, example.file.clone()?))) else {
        return own;
    };
    match source {
        Source::History | Source::Probe => own,
        Source::ProtocolLog | Source::OwnProtocolLog => NextStep::WhyFile { option: "--protocol-log", file },
        Source::Log(format) => NextStep::TraceFile { format, file, status: NextStep::STUCK },
        Source::Capture => NextStep::Capture { file },
        Source::Dsn => NextStep::WhyFile { option: "--dsn", file },
        Source::TlsReport => NextStep::WhyFile { option: "--tls-report", file },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        causes::CauseId,
        comparison::{Compared, Outcome},
    };

    fn scope() -> Scope {
        Scope {
            destination: "mail.test:25".to_owned(),
            connector: None,
            failed: 3,
            attempts: 3,
            failed_otherwise: 0,
            destinations: 1,
            everywhere: None,
            split: None,
            compared: Vec::new(),
            works_with: None,
        }
    }

    #[test]
    fn a_summary_counts_waiting_bounced_and_removed_messages_apart() {
        let of = |waiting, untried, bounced, removed| {
            summary(CauseId::Unknown.cause().does, &scope(), Effects { waiting, untried, bounced, removed })
        };
        let fails = "mail.test:25 fails in a way that fits no known cause: all 3 attempts failed";
        assert_eq!(of(0, 0, 0, 0), fails);
        assert_eq!(of(2, 0, 1, 0), format!("{fails}. 2 messages waiting, 1 message bounced"));
        let paused = "5 messages waiting (3 without an attempt of their own, because deliveries there are paused), 1 message removed";
        assert_eq!(of(5, 3, 0, 1), format!("{fails}. {paused}"));
    }

    #[test]
    fn a_summary_says_for_whom_it_fails_and_how_little_few_attempts_show() {
        let split = |dimension, fails: &str, works: &str| Split {
            dimension: vec![dimension],
            fails: vec![fails.to_owned()],
            works: vec![works.to_owned()],
            failed: 4,
            of: 4,
            worked: 4,
            of_works: 4,
            p_value: 0.2,
        };
        let does = "shares no cipher suite with this gateway";
        let two_ways = Scope { failed: 1, attempts: 3, failed_otherwise: 2, ..scope() };
        assert_eq!(
            summary(does, &two_ways, Effects::default()),
            "mail.test:25 shares no cipher suite with this gateway: 1 of 3 attempts failed in this way, 2 otherwise"
        );
        let policy = split(Dimension::TlsPolicy, "intermediate", "legacy");
        let sure = Scope { split: Some(policy), works_with: Some("TLSv1 RC4-SHA".to_owned()), ..scope() };
        assert_eq!(
            summary(does, &sure, Effects::default()),
            "mail.test:25 shares no cipher suite with nodes under the policy intermediate: 4 of 4 attempts under TLS \
             policy intermediate failed, 4 of 4 under TLS policy legacy worked, always with TLSv1 RC4-SHA"
        );
        let address = split(Dimension::SourceAddress, "127.0.2.92", "127.0.2.91");
        let so_far = Compared::new(address.dimension.clone(), Some(address), Outcome::SoFar);
        let few = Scope { failed: 4, attempts: 8, compared: vec![so_far], ..scope() };
        assert_eq!(
            summary(does, &few, Effects::default()),
            "mail.test:25 shares no cipher suite with this gateway: 4 of 8 attempts failed; so far 4 of 4 from address \
             127.0.2.92 failed, 0 of 4 from address 127.0.2.91; not enough attempts to be sure"
        );
    }

    #[test]
    fn chance_is_shown_as_one_in_a_number() {
        assert_eq!(chance(4e-96), "less than 1 in a million");
        assert_eq!(chance(0.01), "about 1 in 100");
    }
}
