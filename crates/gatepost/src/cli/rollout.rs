//! `gatepost rollout`: shows the TLS policy of each node and moves nodes to another one.

use std::io::Write;

use insight::sentence;
use node::{
    config::Config,
    fleet::{self, Basis, Change, Rollout, Share, Status, Trouble},
};
use store::{Store, StoredPlan};
use trace::NextStep;

use super::{
    arguments::{Format, RolloutCommand},
    operator,
    screen::{Colour, Screen, clean, paragraph},
    table::{Cell, Column, Table},
};

pub(crate) async fn run<S: Store>(
    command: &RolloutCommand,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let change = match command {
        RolloutCommand::Status(output) => {
            let status = Status::read(store, screen.now).await?;
            return match output.format {
                Format::Table => Written(status).write(screen, out),
                Format::Json => Ok(writeln!(out, "{}", serde_json::to_string_pretty(&status.view())?)?),
            };
        }
        RolloutCommand::Set { from, to, percent, nodes } => {
            let share = percent.map_or_else(|| Share::Named(nodes.clone()), Share::Percent);
            Change::Set { from: from.clone(), to: to.clone(), share }
        }
        RolloutCommand::Halt { because } => Change::Halt { reason: because.clone() },
        RolloutCommand::Resume => Change::Resume,
    };
    fleet::change(store, config, change, Basis::InForce, &operator(), screen.now).await?;
    Written(Status::read(store, screen.now).await?).write(screen, out)
}

/// As people read it.
struct Written(Status);

impl Written {
    fn write(&self, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self(status) = self;
        match &status.plan {
            None => writeln!(out, "No rollout: every node uses the policies in its configuration.\n")?,
            Some((stored, rollout)) => {
                paragraph(&summary(stored, rollout, screen), "", screen, out)?;
                writeln!(out)?;
                write_halt(rollout, screen, out)?;
            }
        }
        const COLUMNS: [Column; 4] =
            [Column::cut("NODE", 8), Column::whole("MOVED"), Column::whole("PLAN"), Column::whole("LAST SEEN")];
        let rows = status.nodes.iter().map(|report| {
            let moved = match status.rollout() {
                Some(rollout) if rollout.moves(&report.node) => format!("to {}", rollout.to),
                Some(_) | None => "no".to_owned(),
            };
            let current = status.is_followed_by(report);
            let version = status.plan.as_ref().map(|(stored, _)| stored.version);
            let is_other = version.is_none() || report.plan_version >= version;
            let follows = match report.plan_version {
                None => "no plan yet".to_owned(),
                Some(version) if is_other && !current => format!("old version {version}"),
                Some(version) => format!("version {version}"),
            };
            vec![
                Cell::new(&report.node),
                Cell::new(moved),
                if current { Cell::new(follows) } else { Cell::coloured(follows, Colour::Yellow) },
                Cell::new(format!("{} ago", screen.age(report.at))),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            writeln!(out, "No node has reported recently.")?;
            return Ok(());
        }
        Ok(Table::new(&COLUMNS, screen).write(&rows, out)?)
    }
}

fn summary(stored: &StoredPlan, rollout: &Rollout, screen: &Screen) -> String {
    let share = match rollout.percent {
        Some(percent) => format!("{percent}%"),
        None => format!("nodes {}", rollout.nodes.join(", ")),
    };
    let (from, to) = (&rollout.from, &rollout.to);
    format!(
        "Rollout from {from} to {to}: {share}. Plan version {}, set on {} by {}.",
        stored.version,
        screen.time(stored.at),
        stored.by
    )
}

/// Why the rollout is halted, and what the operator can do.
fn write_halt(rollout: &Rollout, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    let Rollout { from, to, halted: Some(reason), trouble, .. } = rollout else { return Ok(()) };
    let Some(Trouble { destination, cause, remedy, check }) = trouble else {
        return writeln!(out, "HALTED: {} To continue: {}\n", clean(&sentence(reason)), NextStep::RolloutResume);
    };
    let title = format!("HALTED AUTOMATICALLY: {} ({cause})", clean(destination));
    writeln!(out, "{}", screen.paint(&title, Some(Colour::Bold)))?;
    paragraph(&sentence(reason), "   ", screen, out)?;
    writeln!(out, "\n   Remedy")?;
    for remedy in remedy {
        paragraph(&format!("- {remedy}"), "     ", screen, out)?;
    }
    let back = NextStep::RolloutBack { from: from.clone(), to: to.clone() };
    let commands = [
        ("Return all nodes to the old policy", back.to_string()),
        ("Continue anyway (the rollout does not halt for this destination again)", NextStep::RolloutResume.to_string()),
        ("Check", clean(check)),
    ];
    for (title, command) in commands {
        writeln!(out, "\n   {title}\n     {command}")?;
    }
    writeln!(out)
}
