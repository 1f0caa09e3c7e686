//! `gatepost policy impact`: shows which destinations would break under a policy.

use std::io::Write;

use diagnosis::Verdict;
use insight::{Effect, Impact};
use node::config::Config;
use protocol::host_port;
use store::Store;
use trace::NextStep;

use super::{
    arguments::{Format, ImpactArguments},
    screen::{Colour, Screen, clean, grouped, paragraph},
    table::{Cell, Column, Table},
};

/// True if something would break.
pub(crate) async fn run<S: Store>(
    arguments: &ImpactArguments,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let ImpactArguments { policy, days, output: _ } = arguments;
    let effect = node::impact(store, config, policy, *days, screen.now, |_| {}).await?;
    match arguments.output.format {
        Format::Json => writeln!(out, "{}", insight::json::pretty(&effect.view())?)?,
        Format::Table => write_effect(&effect, screen, out)?,
    }
    Ok(effect.breaks_any())
}

fn write_effect(effect: &Effect, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    if effect.impacts.is_empty() {
        writeln!(out, "No delivery attempts since {}.", screen.time(effect.since))?;
        return Ok(());
    }
    let sections = [
        ("BREAKS: mail would have been queued", effect.breaking(false).collect::<Vec<_>>(), Colour::Red),
        ("LOSES ENCRYPTION: mail would have gone in plaintext", effect.breaking(true).collect(), Colour::Red),
        ("UNDECIDED: run the probe to find out", effect.undecided().collect(), Colour::Yellow),
        ("WORKS", effect.working().collect(), Colour::Green),
    ];
    paragraph(&effect.summary(), "", screen, out)?;
    for (title, impacts, colour) in sections.into_iter().filter(|section| !section.1.is_empty()) {
        writeln!(out, "\n{}", screen.paint(title, Some(colour)))?;
        write_destinations(effect, &impacts, screen, out)?;
    }
    Ok(())
}

fn write_destinations(
    effect: &Effect,
    impacts: &[&Impact],
    screen: &Screen,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    const COLUMNS: [Column; 5] = [
        Column::cut("DESTINATION", 16),
        Column::cut("CONNECTOR", 8),
        Column::number("MESSAGES"),
        Column::number("A DAY"),
        Column::wrapped("THE SERVER", 20),
    ];
    let row = |impact: &&Impact| {
        let probe = format!("; {}", probe(impact));
        let check = if impact.foresight.verdict == Verdict::Undecided { probe.as_str() } else { "" };
        vec![
            Cell::new(host_port::join(&impact.host, Some(impact.port))),
            Cell::new(&impact.connector),
            Cell::new(grouped(impact.messages)),
            Cell::new(format!("{:.1}", effect.a_day(impact))),
            Cell::new(format!("{}{check}", impact.foresight.because)),
        ]
    };
    Table::new(&COLUMNS, screen).write(&impacts.iter().map(row).collect::<Vec<_>>(), out)
}

fn probe(impact: &Impact) -> String {
    clean(&NextStep::Probe(host_port::join(&impact.host, Some(impact.port))).to_string())
}
