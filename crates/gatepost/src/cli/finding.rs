//! Prints findings for people, new ones and those read back from an incident's JSON.

use std::io::{self, Write};

use insight::views::FindingView;

use super::screen::{Colour, Screen, clean, counted, paragraph};

/// Writes a title such as `1. handshake-reset, certain (97%)`.
pub(crate) fn write_title(
    finding: &FindingView,
    number: usize,
    screen: &Screen,
    out: &mut dyn Write,
) -> io::Result<()> {
    let over = finding.over.as_ref().and_then(|over| over.since);
    let over = over.map(|since| format!(", over since {}", screen.time(since))).unwrap_or_default();
    let title = format!("{number}. {}{over}", clean(&insight::title(&finding.cause, finding.confidence)));
    writeln!(out, "{}", screen.paint(&title, Some(Colour::Bold)))
}

pub(crate) fn write(finding: &FindingView, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    paragraph(&finding.summary, "   ", screen, out)?;
    let notes = [insight::difference(finding), insight::ending(finding)];
    notes.into_iter().flatten().try_for_each(|note| paragraph(&note, "   ", screen, out))?;
    if let (Some(first), Some(last)) = (finding.first_seen, finding.last_seen) {
        let waiting = counted(finding.messages_pending, "message", "messages");
        let waiting = if finding.messages_known { format!("; {waiting} waiting") } else { String::new() };
        let seen = format!("Seen from {} to {}{waiting}.", screen.time(first), screen.time(last));
        paragraph(&seen, "   ", screen, out)?;
    }
    write_details(finding, screen, out)
}

/// Evidence, experiment, remedy and check.
pub(crate) fn write_details(finding: &FindingView, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    if !finding.evidence.is_empty() {
        writeln!(out, "\n   Evidence")?;
        for piece in &finding.evidence {
            paragraph(&format!("- {} ({})", piece.what, piece.place), "     ", screen, out)?;
        }
    }
    if let Some(experiment) = &finding.experiment {
        writeln!(out, "\n   {}", verdict(&experiment.verdict))?;
        // The evidence has no line of a probe that was not made.
        if experiment.steps.is_empty() {
            paragraph(&experiment.because, "     ", screen, out)?;
        }
        for step in experiment.steps.iter().chain(&experiment.nodes) {
            let works = if step.works { "works" } else { "fails" };
            paragraph(&format!("- {works} {}: {}", step.what, step.detail), "     ", screen, out)?;
        }
    }
    writeln!(out, "\n   Remedy")?;
    for remedy in &finding.remedy {
        paragraph(&format!("- {}: {}", remedy.side, remedy.action), "     ", screen, out)?;
    }
    writeln!(out, "\n   Check\n     {}", clean(&finding.check))
}

/// The verdict of an experiment by its id; another version may have written one that is not in the list.
fn verdict(id: &str) -> String {
    match id {
        "confirmed" => "The probe confirms the cause".to_owned(),
        "refuted" => "The probe rules the cause out".to_owned(),
        "undecided" => "The probe is inconclusive".to_owned(),
        "not-tested" => "The cause was not tested".to_owned(),
        other => format!("Probe: {}", clean(other)),
    }
}
