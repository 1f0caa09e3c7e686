//! Findings for people: one table with a row for each cause, then the few findings that matter in full. Findings of one
//! cause at many destinations are told as one.

use std::io::{self, Write};

use diagnosis::{Finding, OverviewRow, Severity, overview};
use insight::views::FindingView;

use super::{
    finding,
    screen::{Colour, Screen, counted, grouped, paragraph},
    table::{Cell, Column, Table},
};

const COLUMNS: [Column; 7] = [
    Column::cut("CAUSE", 20),
    Column::number("HOSTS"),
    Column::number("ATTEMPTS"),
    Column::number("WAITING"),
    Column::number("BOUNCED"),
    Column::whole("SINCE"),
    Column::whole("STATE"),
];

/// More causes than this are only in the table.
const TOLD_MAX: usize = 5;
/// The destinations that are named of a cause at many.
const DESTINATIONS_MAX: usize = 5;

/// Findings of one cause that are told as one, the first in full.
type Told<'a> = Vec<&'a Finding>;

/// Writes the table and the findings that matter, or `all` of them.
pub(crate) fn write(findings: &[&Finding], all: bool, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let rows = overview(findings.iter().copied());
    Table::new(&COLUMNS, screen).write(&rows.iter().map(|row| cells(row, screen)).collect::<Vec<_>>(), out)?;
    let told = if all { findings.iter().map(|finding| vec![*finding]).collect() } else { that_matter(findings) };
    for (index, told) in told.iter().enumerate() {
        writeln!(out)?;
        write_told(told, index + 1, screen, out)?;
    }
    let shown: usize = told.iter().map(Vec::len).sum();
    if shown < findings.len() {
        writeln!(out)?;
        write_left_out(&rows, &told, screen, out)?;
    }
    if !findings.iter().any(|finding| finding.is_ongoing()) {
        writeln!(out, "\nNo finding is ongoing.")?;
    }
    Ok(())
}

fn cells(row: &OverviewRow, screen: &Screen) -> Vec<Cell> {
    let since = row.first_seen.map(|at| screen.short_time(at)).unwrap_or_default();
    let messages = |number: u64| if row.messages_known { grouped(number) } else { "-".to_owned() };
    vec![
        Cell::new(row.cause.as_str()),
        Cell::new(grouped(row.destinations)),
        Cell::new(grouped(row.attempts)),
        Cell::new(messages(row.messages_pending)),
        Cell::new(messages(row.messages_bounced)),
        Cell::new(since),
        if row.is_ongoing { Cell::coloured("ongoing", Colour::Red) } else { Cell::new("over") },
    ]
}

/// Warnings, and root causes that do not pass by themselves; if there are none, the next best.
fn that_matter<'a>(findings: &[&'a Finding]) -> Vec<Told<'a>> {
    let grades: [fn(&Finding) -> bool; 4] = [
        |finding| {
            finding.severity == Severity::Warning || (finding.is_root_cause() && !finding.cause.passes_by_itself())
        },
        |finding| finding.is_ongoing() && !finding.cause.passes_by_itself(),
        |finding| finding.is_ongoing() || finding.is_root_cause(),
        |_| true,
    ];
    let best = grades.into_iter().find(|grade| findings.iter().any(|finding| grade(finding)));
    let is_best = |finding: &&&Finding| best.is_some_and(|best| best(finding));
    let waiting = findings.iter().filter(is_best).map(|finding| finding.messages_pending).max().unwrap_or(0);
    // What holds up more mail than all that is sure is not left out for being less sure.
    let holds_up_more = |finding: &Finding| finding.messages_pending > waiting && !finding.cause.passes_by_itself();
    let mut told: Vec<Told<'a>> = Vec::new();
    for finding in findings.iter().filter(|finding| is_best(finding) || holds_up_more(finding)) {
        let is_alike = |known: &Finding| (known.cause, known.is_ongoing()) == (finding.cause, finding.is_ongoing());
        match told.iter_mut().find(|told| told.first().is_some_and(|first| is_alike(first))) {
            Some(alike) => alike.push(finding),
            None => told.push(vec![finding]),
        }
    }
    told.truncate(TOLD_MAX);
    told
}

fn write_told(told: &Told<'_>, number: usize, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    let Some((first, rest)) = told.split_first() else { return Ok(()) };
    let view = FindingView::from(*first);
    finding::write_title(&view, number, screen, out)?;
    if rest.is_empty() {
        return finding::write(&view, screen, out);
    }
    paragraph(&summary(told), "   ", screen, out)?;
    writeln!(out)?;
    for finding in told.iter().take(DESTINATIONS_MAX) {
        paragraph(&format!("- {}", finding.summary), "     ", screen, out)?;
    }
    if told.len() > DESTINATIONS_MAX {
        let more = told.len() - DESTINATIONS_MAX;
        paragraph(&format!("- and {more} more; add --all to see every one"), "     ", screen, out)?;
    }
    finding::write_details(&view, screen, out)
}

/// The sums over all destinations.
fn summary(told: &Told<'_>) -> String {
    let sum = |number: fn(&Finding) -> u64| told.iter().map(|finding| number(finding)).sum::<u64>();
    let (failed, attempts) = (sum(|finding| finding.scope.failed), sum(|finding| finding.scope.attempts));
    let effects = [
        (sum(|finding| finding.messages_pending), "waiting"),
        (sum(|finding| finding.messages_bounced), "bounced"),
        (sum(|finding| finding.messages_removed), "removed"),
    ];
    let effects = effects.into_iter().filter(|(number, _)| *number > 0);
    let effects: Vec<String> =
        effects.map(|(number, state)| format!("{} {state}", counted(number, "message", "messages"))).collect();
    let effects = if effects.is_empty() { String::new() } else { format!(" {}.", effects.join(", ")) };
    let destinations = counted(sum(|finding| finding.scope.destinations), "destination", "destinations");
    format!("{destinations}: {} of {} failed.{effects}", grouped(failed), counted(attempts, "attempt", "attempts"))
}

/// What the table has and the text has not.
fn write_left_out(rows: &[OverviewRow], told: &[Told<'_>], screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    let is_told = |row: &&OverviewRow| told.iter().flatten().any(|finding| finding.cause == row.cause);
    let left_out = || rows.iter().filter(|row| !is_told(row));
    let names = |passes: bool| {
        let rows = left_out().filter(|row| row.cause.passes_by_itself() == passes);
        rows.map(|row| row.cause.to_string()).collect::<Vec<_>>().join(", ")
    };
    for (names, why) in [(names(true), "usually passes without help"), (names(false), "less likely")] {
        if !names.is_empty() {
            paragraph(&format!("Not shown: {names} ({why})."), "", screen, out)?;
        }
    }
    paragraph("To show every finding, add --all.", "", screen, out)
}

#[cfg(test)]
mod tests {
    use diagnosis::{Attempt, Evidence, Failed, Sign, Signs, Source, diagnose};
    use jiff::{Timestamp, ToSpan, tz::TimeZone};
    use protocol::smtp::Phase;

    use super::*;

    fn printed(findings: &[Finding], all: bool) -> String {
        let now = "2026-07-30T12:00:00Z".parse().unwrap();
        let screen = Screen { width: Some(80), colour: false, zone: TimeZone::UTC, now };
        let mut out = Vec::new();
        write(&findings.iter().collect::<Vec<_>>(), all, &screen, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Destinations that refuse connections, and others that greylist; each has one message.
    fn findings(refusing: usize, greylisting: usize) -> Vec<Finding> {
        let start: Timestamp = "2026-07-30T11:00:00Z".parse().unwrap();
        let mut evidence = Evidence::default();
        for number in 0..refusing + greylisting {
            let (sign, phase, code) = match number < refusing {
                true => (Sign::ConnectionRefused, Phase::Connect, None),
                false => (Sign::Greylisted, Phase::Rcpt, Some(451)),
            };
            let signs = Signs::default().and(sign);
            let attempt = Attempt {
                at: Some(start + (number as i64).seconds()),
                message: Some(number.to_string().into()),
                destination: Some((format!("mail{number}.a-rather-long-name.example").into(), Some(25))),
                failure: Some(Failed { phase: Some(phase), signs, code, enhanced: None, text: "failed".into() }),
                ..Attempt::by(Source::History)
            };
            evidence.add(&attempt, || None);
        }
        diagnose(&evidence)
    }

    #[test]
    fn many_findings_are_a_table_and_one_text_for_each_cause() {
        let findings = findings(2, 400);
        let text = printed(&findings, false);
        let table = "\
CAUSE               HOSTS  ATTEMPTS  WAITING  BOUNCED  SINCE     STATE
connection-refused      2         2        2        0  11:00:00  ongoing
greylisted            400       400      400        0  11:00:02  ongoing
";
        assert!(text.starts_with(table), "{text}");
        for part in [
            "1. connection-refused, likely (",
            "   2 destinations: 2 of 2 attempts failed. 2 messages waiting.",
            "     - mail0.a-rather-long-name.example:25 refuses",
            "Not shown: greylisted (usually passes without help).",
            "To show every finding, add --all.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80) && text.lines().count() < 40, "{text}");
        assert!(printed(&findings, true).contains("402. greylisted"));
    }

    #[test]
    fn what_holds_up_most_of_the_mail_is_told_though_it_is_less_sure() {
        let unsure = |held: u64| {
            let mut findings = findings(1, 0);
            let mut unknown = findings[0].clone();
            unknown.cause = diagnosis::CauseId::Unknown;
            unknown.confidence = 0.2;
            unknown.messages_pending = held;
            findings.push(unknown);
            printed(&findings, false)
        };
        assert!(unsure(1).contains("Not shown: unknown (less likely)."), "{}", unsure(1));
        assert!(unsure(9).contains("2. cause unknown") && !unsure(9).contains("Not shown"), "{}", unsure(9));
    }

    #[test]
    fn what_passes_by_itself_is_told_once_if_there_is_nothing_else() {
        let text = printed(&findings(0, 12), false);
        assert!(text.contains("1. greylisted, ") && text.contains("and 7 more; add --all"), "{text}");
        assert!(!text.contains("2. ") && !text.contains("Not shown"), "{text}");
    }
}
