//! Wording of findings: the summary, the difference, and the command that shows more.

use jiff::Timestamp;
use trace::NextStep;

use super::finding::Scope;
use crate::{
    causes::Cause,
    comparison::Split,
    evidence::{Dimension, Example, Source},
};

/// `waiting` and `bounced`: messages whose last attempt failed by this cause; 0 if the source does not separate messages.
pub(super) fn summary(cause: &Cause, scope: &Scope, waiting: u64, bounced: u64) -> String {
    let mut summary = format!("{} {}", scope.destination, cause.does);
    match &scope.split {
        Some(split) => summary.push_str(&format!(": {}", part(split))),
        None if scope.attempts == 1 => summary.push_str(": the only attempt failed"),
        None if scope.failed == scope.attempts => summary.push_str(&format!(": all {} attempts failed", scope.failed)),
        None => summary.push_str(&format!(": {} of {} attempts failed", scope.failed, scope.attempts)),
    }
    if let Some(works_with) = scope.works_with.as_ref().filter(|_| scope.split.is_some()) {
        summary.push_str(&format!(", always with {works_with}"));
    }
    let effects = [(waiting, "waiting"), (bounced, "bounced")].into_iter().filter(|(number, _)| *number > 0);
    let effects: Vec<_> = effects.map(|(number, state)| format!("{} {state}", messages(number))).collect();
    if !effects.is_empty() {
        summary.push_str(&format!(". {}", effects.join(", ")));
    }
    summary
}

pub(super) fn time(at: Option<i64>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_millisecond(at).ok())
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
        Source::ProtocolLog => NextStep::WhyFile { option: "--protocol-log", file },
        Source::Log(format) => NextStep::TraceFile { format, file },
        Source::Capture => NextStep::Capture { file },
        Source::Dsn => NextStep::WhyFile { option: "--dsn", file },
        Source::TlsReport => NextStep::WhyFile { option: "--tls-report", file },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::CauseId;

    #[test]
    fn a_summary_counts_waiting_and_bounced_messages_apart() {
        let scope = Scope {
            destination: "mail.test:25".to_owned(),
            connector: None,
            failed: 3,
            attempts: 3,
            everywhere: None,
            split: None,
            works_with: None,
        };
        let fails = "mail.test:25 fails in a way that fits no known cause: all 3 attempts failed";
        assert_eq!(summary(CauseId::Unknown.cause(), &scope, 0, 0), fails);
        assert_eq!(
            summary(CauseId::Unknown.cause(), &scope, 2, 1),
            format!("{fails}. 2 messages waiting, 1 message bounced")
        );
    }

    #[test]
    fn chance_is_shown_as_one_in_a_number() {
        assert_eq!(chance(4e-96), "less than 1 in a million");
        assert_eq!(chance(0.01), "about 1 in 100");
    }
}
