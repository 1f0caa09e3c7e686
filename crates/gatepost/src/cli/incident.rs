//! `gatepost incident`: shows incidents, which are mail that is or was stuck.

use std::io::Write;

use anyhow::{Context as _, bail};
use insight::{
    Id, closed_in_words, json,
    views::{FindingView, IncidentView},
};
use store::{Incident, Store};
use trace::NextStep;

use super::{
    arguments::{Format, IncidentCommand},
    finding,
    screen::{Colour, Screen, counted, wrapped},
    table::{Cell, Column, Table},
};

/// Incidents to read when counting open ones or searching by the beginning of an id.
const LOOKED_AT_MAX: u32 = 1000;

pub(crate) async fn run<S: Store>(
    command: &IncidentCommand,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        IncidentCommand::List { limit, output } => {
            let incidents = store.incidents(*limit).await.context("failed to read the incidents")?;
            match output.format {
                Format::Table => list(&incidents, screen, out),
                Format::Json => {
                    let mut list = json::List::open("incidents", out)?;
                    incidents.iter().try_for_each(|incident| list.push(&IncidentView::from(incident)))?;
                    Ok(list.close("")?)
                }
            }
        }
        IncidentCommand::Show { id, output } => {
            let incident = find(*id, store).await?;
            match output.format {
                Format::Table => show(&incident, screen, out),
                Format::Json => Ok(writeln!(out, "{}", json::text(&IncidentView::from(&incident))?)?),
            }
        }
    }
}

async fn find<S: Store>(id: Id, store: &S) -> anyhow::Result<Incident> {
    const FAILED: &str = "failed to read the incident";
    if let Some(whole) = id.whole() {
        return store.incident(whole).await.context(FAILED)?.with_context(|| format!("there is no incident {id}"));
    }
    let mut incidents = store.incidents(LOOKED_AT_MAX).await.context(FAILED)?;
    incidents.retain(|incident| id.includes(incident.id));
    match incidents.len() {
        0 => bail!("there is no incident whose id begins with {id}"),
        1 => Ok(incidents.remove(0)),
        _ => bail!("several incidents have ids that begin with {id}; give more digits of the id"),
    }
}

fn list(incidents: &[Incident], screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    const COLUMNS: [Column; 8] = [
        Column::whole("ID"),
        Column::whole("STATE"),
        Column::cut("CONNECTOR", 9).spare(3),
        Column::cut("DESTINATION", 15).spare(1),
        Column::cut("CAUSE", 16),
        Column::whole("OPENED"),
        Column::number("WAITING"),
        Column::number("PEAK").spare(2),
    ];
    if incidents.is_empty() {
        return Ok(writeln!(out, "No incidents.")?);
    }
    let rows = incidents.iter().map(|incident| {
        let state = match incident.closed {
            None => Cell::coloured("open", Colour::Red),
            Some(_) => Cell::new("closed"),
        };
        vec![
            Cell::id(incident.id),
            state,
            Cell::new(&incident.connector),
            Cell::new(&incident.destination),
            Cell::new(&incident.cause),
            Cell::time(incident.opened, screen),
            Cell::new(incident.pending.to_string()),
            Cell::new(incident.pending_peak.to_string()),
        ]
    });
    Ok(Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)?)
}

fn show(incident: &Incident, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let title = format!("Incident {}: {}", incident.id, incident.cause);
    writeln!(out, "{}", screen.paint(&super::screen::clean(&title), Some(Colour::Bold)))?;
    let mut field = |name: &str, value: String| wrapped(&value, &format!("  {name:<14}"), &" ".repeat(16), screen, out);
    field("Connector", incident.connector.clone())?;
    field("Destination", incident.destination.clone())?;
    field("Opened", format!("{} by {}", screen.time(incident.opened), incident.node))?;
    field("State", state(incident, screen))?;
    let (pending, peak) = (incident.pending, incident.pending_peak);
    field("Waiting", format!("{} (peak {peak})", counted(pending, "message", "messages")))?;
    if let Some(oldest) = incident.oldest {
        field("Oldest", format!("received {} ({} ago)", screen.time(oldest), screen.age(oldest)))?;
    }
    writeln!(out)?;
    let finding: FindingView = serde_json::from_str(&incident.finding).unwrap_or_default();
    finding::write_title(&finding, 1, screen, out)?;
    Ok(finding::write(&finding, screen, out)?)
}

fn state(incident: &Incident, screen: &Screen) -> String {
    match incident.closed {
        None => format!("open, last seen {} ago", screen.age(incident.last_seen)),
        Some((at, because)) => {
            let because = closed_in_words(because);
            format!("closed {}: {because}", screen.time(at))
        }
    }
}

/// A line for the output of other commands; `None` if no incident is open.
pub(crate) async fn open_in_words<S: Store>(store: &S) -> store::Result<Option<String>> {
    let incidents = store.incidents(LOOKED_AT_MAX).await?;
    let open: Vec<&Incident> = incidents.iter().filter(|incident| incident.closed.is_none()).collect();
    Ok(match open.as_slice() {
        [] => None,
        [one] => Some(format!("An incident is open for {}: {}", one.connector, NextStep::IncidentShow(one.id))),
        several => Some(format!("{} incidents are open: {}", several.len(), NextStep::IncidentList)),
    })
}
