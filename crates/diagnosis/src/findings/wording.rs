//! Findings in words: the summary, the difference, and the command that shows more.

use trace::NextStep;

use super::finding::Scope;
use crate::{
    causes::Cause,
    comparison::Split,
    evidence::{Dimension, Example, Source},
};

/// `deliveries`: how many this cause was the last word on, where the source tells them apart.
pub(super) fn summary(cause: &Cause, scope: &Scope, deliveries: Option<u64>) -> String {
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
    if let Some(deliveries) = deliveries.filter(|deliveries| *deliveries > 0) {
        summary.push_str(&format!("; {} held up by it", count(deliveries, "delivery", "deliveries")));
    }
    summary
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `96 of 96 attempts under the TLS policy modern failed, 104 of 104 under legacy worked`.
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
        Dimension::TlsPolicy => "under the TLS policy",
        Dimension::Node => "by node",
        Dimension::SourceAddress => "from address",
        Dimension::DestinationHost => "to host",
        Dimension::DestinationAddress => "to address",
        Dimension::TlsVersion => "with",
        Dimension::Cipher => "with cipher",
        Dimension::RecipientDomain => "for domain",
        Dimension::SenderDomain => "from domain",
        Dimension::MessageSize => "of",
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
