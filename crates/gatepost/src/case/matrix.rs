//! Compares the cause that Gatepost found with the true cause of each case.

use std::io::Write;

use super::report::Report;
use crate::cli::{
    Screen,
    table::{Cell, Colour, Column, Table},
};

/// The cause if nothing outside the device can show it.
const NONE: &str = "none";

pub(crate) fn write(reports: &[Report], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::whole("CASE"),
        Column::whole("TRUE CAUSE"),
        Column::whole("CAUSE FOUND"),
        Column::whole("CONFIDENCE"),
        Column::whole("RESULT"),
    ];
    let rows = reports.iter().map(|report| {
        let right = is_right(report);
        let first = report.findings.first();
        let sure = first.map(|finding| insight::confidence(finding.cause.as_str(), finding.confidence));
        vec![
            Cell::new(&report.scenario.name),
            Cell::new(report.scenario.cause.unwrap_or(NONE)),
            Cell::new(report.named().unwrap_or(NONE)),
            Cell::new(sure.unwrap_or_default()),
            if right { Cell::coloured("right", Colour::Green) } else { Cell::coloured("WRONG", Colour::Red) },
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)?;
    let right = reports.iter().filter(|report| is_right(report)).count();
    writeln!(out, "\nThe cause is right in {right} of {} cases.", reports.len())
}

fn is_right(report: &Report) -> bool {
    report.named() == report.scenario.cause
}
