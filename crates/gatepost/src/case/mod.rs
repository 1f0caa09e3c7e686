//! Cases: a fleet of nodes, a destination that fails, mail, a repair, and a report. Nodes, store, servers and TLS are real;
//! only waits are shorter.
//!
//! ```text
//!   Scenario ──> Fleet (nodes on one store) ──mail──> Destination ──repaired──> queue drains ──> Report
//!                  └──read every half second──> Tally ──> View
//! ```

mod by_hand;
mod comparison;
mod destination;
mod fleet;
mod hold;
mod matrix;
mod play;
mod queue_length;
mod report;
mod scenario;
mod tally;
mod view;

use std::io::Write;

use insight::views::CaseView;
use serde_json::json;

pub(crate) use by_hand::{device, send};
pub(crate) use scenario::Scenario;

use crate::cli::{
    Format, Screen,
    table::{Cell, Column, Table},
};

/// `gatepost case list`
pub(crate) fn list(format: Format, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let scenarios = Scenario::all();
    if format == Format::Json {
        let view = |scenario: &Scenario| CaseView {
            case: scenario.name.clone(),
            story: scenario.story.clone(),
            nodes: scenario.nodes,
            messages: scenario.messages,
            cause: scenario.cause.map(str::to_owned),
        };
        let cases: Vec<_> = scenarios.iter().map(view).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "cases": cases }))?)?;
        return Ok(());
    }
    const COLUMNS: [Column; 4] =
        [Column::whole("CASE"), Column::number("NODES"), Column::number("MESSAGES"), Column::wrapped("STORY", 20)];
    let row = |scenario: &Scenario| {
        vec![
            Cell::new(&scenario.name),
            Cell::new(scenario.nodes.to_string()),
            Cell::new(scenario.messages.to_string()),
            Cell::new(&scenario.story),
        ]
    };
    let rows: Vec<_> = scenarios.iter().map(row).collect();
    Ok(Table::new(&COLUMNS, screen).write(&rows, out)?)
}

/// `gatepost case run NAME`, or all of them.
pub(crate) async fn run(
    name: Option<&str>,
    store: Option<&str>,
    keep: bool,
    format: Format,
    screen: &Screen,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let Some(name) = name else { return run_all(format, screen, out).await };
    let scenario = Scenario { store: store.map(str::to_owned), ..Scenario::find(name)? };
    let mut folder = play::Folder::new(&scenario.name, keep)?;
    play::log_to(&folder.path().join("gatepost.log"))?;
    let report = play_one(&scenario, &mut folder, screen).await?;
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report.view(folder.kept()))?)?,
        Format::Table => {
            report.write(screen, out)?;
            folder.print_next_steps(out)?;
        }
    }
    Ok(())
}

/// `gatepost case run NAME --defended`: plays the case again with self-defence, and compares both.
pub(crate) async fn run_defended(
    name: &str,
    keep: bool,
    format: Format,
    screen: &Screen,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let plain = Scenario::find(name)?;
    let defended = plain.defended()?;
    let mut folders = [play::Folder::new(name, keep)?, play::Folder::new(&format!("{name}-defended"), keep)?];
    play::log_to(&folders[1].path().join("gatepost.log"))?;
    let mut reports = Vec::new();
    for (scenario, folder) in [plain, defended].iter().zip(&mut folders) {
        reports.push(play_one(scenario, folder, screen).await?);
    }
    let [plain, defended] = <[_; 2]>::try_from(reports).map_err(|_| anyhow::anyhow!("failed to play both cases"))?;
    let comparison = comparison::Comparison { plain, defended };
    match format {
        Format::Json => {
            let kept = [folders[0].kept(), folders[1].kept()];
            writeln!(out, "{}", serde_json::to_string_pretty(&comparison.view(kept))?)?;
        }
        Format::Table => {
            comparison.write(screen, out)?;
            folders[1].print_next_steps(out)?;
        }
    }
    Ok(())
}

/// `gatepost case run NAME --hold`: leaves the case broken, for people.
pub(crate) async fn hold(
    name: &str,
    console: std::net::SocketAddr,
    keep: bool,
    screen: &Screen,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let scenario = Scenario::find(name)?.held(hold::port_chosen(console)?);
    let mut folder = play::Folder::new(&scenario.name, keep)?;
    play::log_to(&folder.path().join("gatepost.log"))?;
    let held = hold::hold(&scenario, folder.path(), screen, out).await;
    held.map_err(|error| folder.keep_after(error))?;
    if keep {
        folder.print_next_steps(out)?;
    }
    Ok(())
}

async fn play_one(scenario: &Scenario, folder: &mut play::Folder, screen: &Screen) -> anyhow::Result<report::Report> {
    let result = tokio::select! {
        report = play::play(scenario, folder.path(), screen) => report,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    result.map_err(|error| folder.keep_after(error))
}

/// Plays every case and shows the cause that Gatepost found for each.
async fn run_all(format: Format, screen: &Screen, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let log = play::Folder::new("all", false)?;
    play::log_to(&log.path().join("gatepost.log"))?;
    let mut reports = Vec::new();
    for scenario in Scenario::all() {
        let mut folder = play::Folder::new(&scenario.name, false)?;
        reports.push(play_one(&scenario, &mut folder, screen).await?);
    }
    match format {
        Format::Json => {
            let cases: Vec<_> = reports.iter().map(|report| report.view(None)).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "cases": cases }))?)?;
        }
        Format::Table => matrix::write(&reports, screen, out)?,
    }
    Ok(())
}
