//! `gatepost rollout`: shows the TLS policy of each node and moves nodes to another one.

use std::io::Write;

use insight::{
    sentence,
    views::{RolloutNodeView, RolloutView, TroubleView},
};
use node::{
    config::Config,
    fleet::{self, Change, Rollout, Share, Trouble},
};
use store::{NodeReport, Store, StoredPlan};
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
            let status = Status::read(store, screen).await?;
            return match output.format {
                Format::Table => status.write(screen, out),
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
    fleet::change(store, config, change, &operator(), screen.now).await?;
    Status::read(store, screen).await?.write(screen, out)
}

struct Status {
    plan: Option<(StoredPlan, Rollout)>,
    nodes: Vec<NodeReport>,
}

impl Status {
    async fn read<S: Store>(store: &S, screen: &Screen) -> anyhow::Result<Self> {
        let plan = fleet::in_force(store).await?;
        let mut nodes = store.reports().await?;
        let members = fleet::members(&nodes, screen.now);
        nodes.retain(|report| members.contains(&report.node));
        Ok(Self { plan, nodes })
    }

    fn moves(&self, node: &str) -> bool {
        self.plan.as_ref().is_some_and(|(_, rollout)| rollout.moves(node))
    }

    fn view(&self) -> RolloutView {
        let node = |report: &NodeReport| RolloutNodeView {
            node: report.node.clone(),
            moved: self.moves(&report.node),
            plan_version: report.plan_version,
            plan_at: report.plan_at,
            last_seen: report.at,
        };
        let nodes = self.nodes.iter().map(node).collect();
        let Some((stored, rollout)) = &self.plan else { return RolloutView { nodes, ..RolloutView::default() } };
        RolloutView {
            version: Some(stored.version),
            at: Some(stored.at),
            by: Some(stored.by.clone()),
            from: Some(rollout.from.clone()),
            to: Some(rollout.to.clone()),
            percent: rollout.percent,
            halted: rollout.halted.clone(),
            trouble: rollout.trouble.as_ref().map(trouble_view),
            accepted: Some(rollout.accepted.clone()),
            nodes,
        }
    }

    fn write(&self, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
        match &self.plan {
            None => writeln!(out, "No rollout: every node uses the policies in its configuration.\n")?,
            Some((stored, rollout)) => {
                paragraph(&summary(stored, rollout, screen), "", screen, out)?;
                writeln!(out)?;
                write_halt(rollout, screen, out)?;
            }
        }
        const COLUMNS: [Column; 4] =
            [Column::cut("NODE", 8), Column::whole("MOVED"), Column::whole("PLAN"), Column::whole("LAST SEEN")];
        let rows = self.nodes.iter().map(|report| {
            let moved = match &self.plan {
                Some((_, rollout)) if rollout.moves(&report.node) => format!("to {}", rollout.to),
                Some(_) | None => "no".to_owned(),
            };
            let (current, is_other) = match &self.plan {
                Some((stored, _)) => (report.follows(stored), report.plan_version >= Some(stored.version)),
                None => (report.plan_version.is_none(), true),
            };
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

pub(crate) fn trouble_view(trouble: &Trouble) -> TroubleView {
    TroubleView {
        destination: trouble.destination.clone(),
        cause: trouble.cause.clone(),
        remedy: trouble.remedy.clone(),
        check: trouble.check.clone(),
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
