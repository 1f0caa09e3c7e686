//! Compares two runs of a case: with [rollout] self_defence off and on.

use std::{io::Write, path::Path, time::Duration};

use insight::views::CaseComparisonView;

use super::{queue_length, report::Report};
use crate::cli::{
    Screen, paragraph,
    table::{Cell, Column, Table},
};

pub(crate) struct Comparison {
    pub plain: Report,
    pub defended: Report,
}

/// Longest curve of the queue, in characters; two of them fit next to the titles at 80 columns.
const CURVE_MAX: usize = 20;

impl Comparison {
    pub(crate) fn view(&self, [plain, defended]: [Option<&Path>; 2]) -> CaseComparisonView {
        CaseComparisonView { plain: self.plain.view(plain), defended: self.defended.view(defended) }
    }

    pub(crate) fn write(&self, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
        let scenario = &self.plain.scenario;
        paragraph(&format!("{}: {}", scenario.name, scenario.story), "", screen, out)?;
        writeln!(out, "Destination: {}\n", self.plain.destination)?;
        const COLUMNS: [Column; 3] =
            [Column::whole(""), Column::whole("SELF-DEFENCE OFF"), Column::whole("SELF-DEFENCE ON")];
        Table::new(&COLUMNS, screen).write(&self.rows(), out)?;
        match self.defended.halted.as_ref().and_then(|halted| halted.rollout.halted.as_deref()) {
            Some(reason) => {
                writeln!(out, "\nWhy the rollout halted:")?;
                paragraph(&insight::sentence(reason), "  ", screen, out)?;
            }
            None => writeln!(out, "\nThe rollout did not halt: no destination failed because of it.")?,
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Vec<Cell>> {
        let both = [&self.plain, &self.defended];
        let most = both.iter().map(|report| report.most_queued).max().unwrap_or(0);
        let step = both.iter().map(|report| report.queue.len()).max().unwrap_or(0).div_ceil(CURVE_MAX);
        let row = |title: &str, value: &dyn Fn(&Report) -> String| {
            vec![Cell::new(title), Cell::new(value(&self.plain)), Cell::new(value(&self.defended))]
        };
        vec![
            row("queue over time", &|report| queue_length::draw(&report.queue, most, step)),
            row("maximum queue length", &|report| report.most_queued.to_string()),
            row("queued at the repair", &|report| report.queued_at_repair.to_string()),
            row("messages deferred at least once", &|report| {
                format!("{} of {}", report.tally.ways.iter().filter(|way| way.tries > 1).count(), report.tally.taken)
            }),
            row("longest wait", &|report| {
                let longest = report.tally.ways.iter().map(|way| way.waited).max().unwrap_or_default();
                format!("{} (scaled: {})", tenths(longest), report.scaled(longest))
            }),
            row("failed attempts", &|report| {
                report.tally.attempts.values().map(|attempts| attempts.failed).sum::<u64>().to_string()
            }),
            row("rollout halted", &|report| match &report.halted {
                Some(halted) => format!("after {}, {} messages", tenths(halted.after), halted.taken),
                None => "never".to_owned(),
            }),
        ]
    }
}

fn tenths(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
