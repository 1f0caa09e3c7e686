//! Findings for people, whether they were made just now or are read back from an incident's JSON.

use std::io::{self, Write};

use insight::views::FindingView;

use super::screen::{Colour, Screen, clean, paragraph};

/// `1. handshake-reset, 97 % sure`.
pub(crate) fn write_title(
    finding: &FindingView,
    number: usize,
    screen: &Screen,
    out: &mut dyn Write,
) -> io::Result<()> {
    let sure = finding.confidence * 100.0;
    let title = format!("{number}. {}, {sure:.0} % sure", clean(&finding.cause));
    writeln!(out, "{}", screen.paint(&title, Some(Colour::Bold)))
}

pub(crate) fn write(finding: &FindingView, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    paragraph(&finding.summary, "   ", screen, out)?;
    if let (Some(first), Some(last)) = (finding.first_seen, finding.last_seen) {
        let seen =
            format!("Seen from {} to {}; {} pending.", screen.time(first), screen.time(last), finding.messages_pending);
        paragraph(&seen, "   ", screen, out)?;
    }
    if !finding.evidence.is_empty() {
        writeln!(out, "\n   Evidence")?;
        for piece in &finding.evidence {
            paragraph(&format!("- {} ({})", piece.what, piece.place), "     ", screen, out)?;
        }
    }
    if let Some(experiment) = &finding.experiment {
        writeln!(out, "\n   Probe: {}", clean(&experiment.verdict))?;
        for step in experiment.steps.iter().chain(&experiment.nodes) {
            let works = if step.works { "works" } else { "fails" };
            paragraph(&format!("- {works} {}: {}", step.what, step.detail), "     ", screen, out)?;
        }
    }
    writeln!(out, "\n   Remedy")?;
    for remedy in &finding.remedy {
        paragraph(&format!("- {}: {}", remedy.side, remedy.action), "     ", screen, out)?;
    }
    writeln!(out, "\n   Verify\n     {}", clean(&finding.check))
}
