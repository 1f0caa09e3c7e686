//! Which cause was named for which case: right ones apart from wrong ones.

use std::io::Write;

use super::report::Report;
use crate::cli::{
    Screen,
    table::{Cell, Colour, Column, Table},
};

/// Where no cause can be known from outside.
const NONE: &str = "none";

pub(crate) fn write(reports: &[Report], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::whole("CASE"),
        Column::whole("TRUE CAUSE"),
        Column::whole("NAMED FIRST"),
        Column::number("SURE"),
        Column::whole(""),
    ];
    let rows = reports.iter().map(|report| {
        let right = is_right(report);
        let sure = report.findings.first().map_or(0.0, |finding| finding.confidence);
        vec![
            Cell::new(&report.scenario.name),
            Cell::new(report.scenario.cause.unwrap_or(NONE)),
            Cell::new(report.named().unwrap_or(NONE)),
            Cell::new(format!("{:.0} %", sure * 100.0)),
            if right { Cell::coloured("right", Colour::Green) } else { Cell::coloured("WRONG", Colour::Red) },
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)?;
    let right = reports.iter().filter(|report| is_right(report)).count();
    writeln!(out, "\n{right} of {} cases were named rightly.", reports.len())
}

fn is_right(report: &Report) -> bool {
    report.named() == report.scenario.cause
}
