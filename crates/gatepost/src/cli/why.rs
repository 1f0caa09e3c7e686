//! `gatepost why`: findings, the root cause first.

use std::io::Write;

use anyhow::{Context as _, bail};
use diagnosis::{Evidence, Finding, Source, diagnose};
use serde_json::json;
use store::{Store, TraceQuery};
use uuid::Uuid;

use super::{
    arguments::{Format, WhyArguments},
    finding::FindingView,
    incident,
    screen::{Screen, clean},
};
use crate::why;

/// True if something was found.
pub(crate) async fn run<S: Store>(
    arguments: &WhyArguments,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let message = arguments.what.as_deref().and_then(|what| what.parse::<Uuid>().ok());
    let mut query =
        TraceQuery { since: arguments.since.map(|since| since.timestamp(screen.now)), ..TraceQuery::default() };
    // Other mail of the same connector is what this message is held against.
    let mut wanted = arguments.what.clone();
    if let Some(id) = message {
        let record = store.message(id).await.context("failed to read the message")?;
        let Some(record) = record else { bail!("no message has the id {id}") };
        query.connector = record.deliveries.first().map(|record| record.delivery.connector.clone());
        query.since = query.since.map(|since| since.min(record.message.received));
        wanted = None;
    }
    let (evidence, read) = why::from_store(store, query).await.context("failed to read the history")?;
    let found = tell(&evidence, read, wanted.as_deref(), arguments, screen, out)?;
    if arguments.output.format == Format::Table
        && let Some(open) = incident::open_in_words(store).await.context("failed to read the incidents")?
    {
        writeln!(out, "\n{open}")?;
    }
    Ok(found)
}

/// The same from files.
pub(crate) fn run_foreign(arguments: &WhyArguments, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut files = why::Files::new(screen.now, screen.zone.clone());
    files.add(Source::ProtocolLog, &arguments.protocol_log);
    files.add(Source::MessageTrace, &arguments.message_trace);
    files.add(Source::TrackingLog, &arguments.tracking_log);
    files.add(Source::PostfixLog, &arguments.postfix_log);
    files.add(Source::EximLog, &arguments.exim_log);
    files.add(Source::Capture, &arguments.capture);
    for skipped in &files.skipped {
        eprintln!("gatepost: skipped {}", clean(skipped));
    }
    if files.evidence.is_empty() {
        bail!("there was nothing to explain in any of the files");
    }
    tell(&files.evidence, files.read, arguments.what.as_deref(), arguments, screen, out)
}

fn tell(
    evidence: &Evidence,
    read: why::Read,
    wanted: Option<&str>,
    arguments: &WhyArguments,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let mut findings = diagnose(evidence);
    if let Some(wanted) = wanted {
        findings.retain(|finding| is_about(finding, wanted));
    }
    match arguments.output.format {
        Format::Json => {
            let value = json!({ "findings": findings, "read": read });
            writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
        }
        Format::Table => {
            write(&findings, screen, out)?;
            if findings.is_empty() {
                writeln!(out, "Nothing wrong was found in {} attempts of {} messages.", read.attempts, read.messages)?;
            }
        }
    }
    Ok(!findings.is_empty())
}

/// By connector, or by host with a port or without.
fn is_about(finding: &Finding, wanted: &str) -> bool {
    let destination = finding.scope.destination.as_str();
    let host = destination.rsplit_once(':').map_or(destination, |(host, _)| host);
    finding.scope.connector.as_deref() == Some(wanted)
        || destination.eq_ignore_ascii_case(wanted)
        || host.eq_ignore_ascii_case(wanted)
}

/// Findings for people.
pub(crate) fn write(findings: &[Finding], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    for (index, finding) in findings.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let finding = FindingView::from(finding);
        finding.write_title(index + 1, screen, out)?;
        finding.write(screen, out)?;
    }
    Ok(())
}
