//! `gatepost why`: shows findings, the root cause first.

use std::io::Write;

use anyhow::{Context as _, bail};
use diagnosis::{Direction, Explained, Finding, Severity, explain};
use insight::{Asked, Mark, Report, WaitReasons, views::FindingView};
use node::{config::Config, inquiry, prober::Prober, protocol_log};
use store::{ChangeQuery, Store};

use super::{
    arguments::{Format, WhyArguments},
    finding, incident, overview,
    probe::Shown,
    screen::{Screen, clean, counted, paragraph},
    similar::no_match,
    under_way,
};

/// Changes that are read for a report.
const CHANGES_MAX: u32 = 1000;

/// True if any finding other than a warning is ongoing. `store` has the gateway's own history if that is asked for.
pub(crate) async fn run<S: Store>(
    arguments: &WhyArguments,
    store: Option<&S>,
    config: Option<&Config>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    check(arguments)?;
    let (mut files, mut asked) = read_files(arguments, config, store.is_some(), screen);
    if let (Some(config), Some(store)) = (config.filter(|_| arguments.inbound && arguments.reads_history()), store) {
        add_receive_logs(&mut files, store, config, arguments, screen).await?;
    }
    if files.end(store.is_none()) {
        note!("gatepost: the files have no attempts to deliver mail; showing why senders fail (--inbound)");
    }
    if let Some(store) = store {
        files.gathered.evidence.last_source();
        add_history(&mut files.gathered, &mut asked, store, config, arguments, screen).await?;
    }
    let notes = files.gathered.finish();
    let skipped = files.skipped.iter().map(|skipped| format!("skipped {skipped}"));
    for note in skipped.chain(notes).chain(senders(&files.gathered, arguments)) {
        note!("gatepost: {}", clean(&note));
    }
    let gathered = &files.gathered;
    if store.is_none() && gathered.evidence.is_empty() {
        let read = &gathered.read;
        let unread = if read.lines > 0 { format!(": {}", read.unread_in_words()) } else { String::new() };
        bail!("no delivery attempts found in the files{unread}");
    }
    if let Some(what) = asked.unmatched(&gathered.evidence) {
        let configured = config.into_iter().flat_map(Config::names);
        let known: Vec<&str> = gathered.evidence.names().into_iter().chain(configured).collect();
        return Err(no_match("no message, address, domain, connector or host is named", what, known));
    }
    if gathered.evidence.is_empty() {
        let what = if arguments.inbound { "no sessions of senders" } else { "no delivery attempts" };
        let remark = under_way(store, config, &asked, screen).await?;
        let remark = remark.map(|remark| format!(". {remark}")).unwrap_or_default();
        bail!("nothing was seen: there are {what} on record for this time, so nothing could be judged{remark}");
    }
    let mut findings = explain(&gathered.evidence);
    findings.retain(Explained::is_asked_about);
    if arguments.probe {
        probe(&mut findings, store, config, arguments).await;
    }
    print(&findings, &gathered.read, arguments, screen, out)?;
    if arguments.writes() {
        let attempts = insight::attempts(&findings);
        let mut excerpts = insight::Excerpts::default();
        excerpts.add_files(&attempts, screen.now, &screen.zone);
        if let (Some(store), Some(config)) = (store, config) {
            let folder = protocol_log::send_folder(&config.protocol_log, &config.node.data);
            let added = excerpts.add_store(store, &attempts, &folder).await;
            let elsewhere = added.context("failed to read the history of the quoted messages")?;
            inquiry::add_from_nodes(&mut excerpts, store, elsewhere).await?;
        }
        let mut report = Report::new(&findings, gathered, excerpts, &files.skipped, screen.now);
        if let Some(store) = store {
            report.changes = changes(store).await?;
        }
        write_files(&report, arguments)?;
    }
    if let Some(store) = store.filter(|_| arguments.output.format == Format::Table) {
        write_remarks(store, config, &asked, screen, out).await?;
    }
    // A warning is about mail that was delivered.
    let is_wrong = |finding: &Finding| finding.is_ongoing() && finding.severity == Severity::Stuck;
    Ok(findings.iter().any(|explained| is_wrong(&explained.finding)))
}

/// What no finding says: attempts that have not ended, and open incidents.
async fn write_remarks<S: Store>(
    store: &S,
    config: Option<&Config>,
    asked: &Asked<'_>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(remark) = under_way(Some(store), config, asked, screen).await? {
        writeln!(out)?;
        paragraph(&clean(&remark), "", screen, out)?;
    }
    if let Some(open) = incident::open_in_words(store).await.context("failed to read the incidents")? {
        writeln!(out, "\n{open}")?;
    }
    Ok(())
}

async fn under_way<S: Store>(
    store: Option<&S>,
    config: Option<&Config>,
    asked: &Asked<'_>,
    screen: &Screen,
) -> anyhow::Result<Option<String>> {
    let (Some(store), Some(config)) = (store, config) else { return Ok(None) };
    let remark = under_way::in_words(store, config, asked.connector.as_deref(), screen).await;
    remark.context("failed to read the queue")
}

/// Reads the files that are named, and what of them is asked about.
fn read_files<'a>(
    arguments: &'a WhyArguments,
    config: Option<&Config>,
    has_history: bool,
    screen: &Screen,
) -> (insight::Files, Asked<'a>) {
    let gathered = gathering(arguments);
    let gathered = if arguments.inbound { gathered.inbound() } else { gathered };
    let mut files = insight::Files::new(gathered, screen.now, screen.zone.clone());
    let opened = open(arguments, &mut files);
    let has_more = has_history || arguments.inbound;
    if opened.chunk_by(|a, b| a.source == b.source).count() + usize::from(has_more) > 1 {
        files.gathered.evidence.join();
    }
    let asked =
        Asked::new(arguments.what.as_deref(), config.into_iter().flat_map(Config::names), &mut files.gathered.evidence);
    for file in opened {
        files.add(file);
    }
    (files, asked)
}

/// Adds the sessions of senders that the nodes on this machine have logged, and says which logs they are.
async fn add_receive_logs<S: Store>(
    files: &mut insight::Files,
    store: &S,
    config: &Config,
    arguments: &WhyArguments,
    screen: &Screen,
) -> anyhow::Result<()> {
    let since = arguments.since.map(|since| since.timestamp(screen.now));
    let reports = store.reports().await.context("failed to read the nodes' reports")?;
    let nodes: Vec<String> = reports.into_iter().map(|report| report.node).collect();
    for folder in protocol_log::receive_folders(&config.protocol_log, &config.node.data, &nodes) {
        let count = files.add_receive_logs(&folder, since);
        let logs = counted(count as u64, "log", "logs");
        note!("gatepost: read {logs} of received mail in {}", clean(&folder.display().to_string()));
    }
    Ok(())
}

/// What the same files say of the other direction.
fn senders(gathered: &insight::Gathered, arguments: &WhyArguments) -> Option<String> {
    let failed = gathered.evidence.left_out().failed;
    let is_worth_it = failed > 0 && !arguments.inbound && gathered.evidence.direction() == Direction::Outbound;
    is_worth_it.then(|| {
        let attempts = counted(failed, "attempt", "attempts");
        format!("{attempts} of senders to deliver mail to this side failed; --inbound explains them")
    })
}

/// Opens the files, in the order in which they are read.
fn open(arguments: &WhyArguments, files: &mut insight::Files) -> Vec<insight::Opened> {
    let mut opened: Vec<_> = arguments.sources().filter_map(|(forced, path)| files.open(path, forced)).collect();
    opened.sort_by_key(insight::Opened::rank);
    opened
}

/// The newest changes, for pictures of times.
async fn changes<S: Store>(store: &S) -> anyhow::Result<Vec<Mark>> {
    let query = ChangeQuery { limit: CHANGES_MAX, ..ChangeQuery::default() };
    Ok(Mark::of(&store.changes(query).await.context("failed to read the change log")?))
}

/// Adds the gateway's own history, and the mail that waits because its connector is paused.
async fn add_history<S: Store>(
    gathered: &mut insight::Gathered,
    asked: &mut Asked<'_>,
    store: &S,
    config: Option<&Config>,
    arguments: &WhyArguments,
    screen: &Screen,
) -> anyhow::Result<()> {
    let since = arguments.since.map(|since| since.timestamp(screen.now));
    asked.look_in(store, since, &mut gathered.evidence).await?;
    gathered.add_store(store, asked.query(since)).await.context("failed to read the history")?;
    if let Some(config) = config {
        let reasons =
            WaitReasons::read(store, config, screen.now).await.context("failed to read the nodes' reports")?;
        let added = gathered.add_paused(store, &reasons, asked.connector.as_deref()).await;
        added.context("failed to read the queue")?;
    }
    Ok(())
}

/// Probes findings and reorders them by the result.
async fn probe<S: Store>(
    findings: &mut [Explained<'_>],
    store: Option<&S>,
    config: Option<&Config>,
    arguments: &WhyArguments,
) {
    let timeout = arguments.probe_timeout.map(|timeout| *timeout);
    let prober = Prober { fleet: store, config, timeout, envelope: arguments.envelope };
    let untried = prober.try_all(findings, &mut Shown::default()).await;
    for untried in untried {
        note!("gatepost: {}", clean(&untried));
    }
    // A refuted finding moves to the end; the others keep their order.
    findings.sort_by_key(|explained| (!explained.finding.is_ongoing(), !explained.finding.is_root_cause()));
}

/// Reports wrong arguments before anything is read.
fn check(arguments: &WhyArguments) -> anyhow::Result<()> {
    match (&arguments.report, &arguments.bundle) {
        (Some(report), Some(bundle)) if report == bundle => {
            bail!("--report and --bundle name the same file, {}; give each its own name", report.display())
        }
        _ => Ok(()),
    }
}

fn gathering(arguments: &WhyArguments) -> insight::Gathered {
    match (arguments.writes(), arguments.show_addresses) {
        (false, _) => insight::Gathered::for_findings(),
        (true, true) => insight::Gathered::for_report(insight::Addresses::shown()),
        (true, false) => insight::Gathered::for_report(insight::Addresses::default()),
    }
}

fn print(
    explained: &[Explained<'_>],
    read: &insight::Read,
    arguments: &WhyArguments,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let findings: Vec<&Finding> = explained.iter().map(|explained| &explained.finding).collect();
    match arguments.output.format {
        Format::Json => writeln!(out, "{}", insight::json::pretty(&insight::findings_json(&findings, read))?)?,
        Format::Table => {
            overview::write(&findings, arguments.all, screen, out)?;
            if findings.is_empty() {
                paragraph(&nothing(read, arguments.what.as_deref()), "", screen, out)?;
            }
        }
    }
    Ok(())
}

/// Writes the report and the bundle.
fn write_files(report: &Report<'_>, arguments: &WhyArguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.report {
        super::output::write(path, report.page().as_bytes())?;
    }
    if let Some(path) = &arguments.bundle {
        super::output::write(path, &insight::bundle(report)?)?;
    }
    Ok(())
}

/// What it means that there are no findings.
fn nothing(read: &insight::Read, what: Option<&str>) -> String {
    let about = what.map(|what| format!(" about {what}")).unwrap_or_default();
    let messages = counted(read.messages, "message", "messages");
    let messages = if read.messages > 0 { format!(" ({messages})") } else { String::new() };
    let none = format!("No findings{about} in {}{messages}.", counted(read.attempts, "attempt", "attempts"));
    match read.is_understood() {
        true => none,
        false => format!("{none} This does not mean that nothing is wrong: {}.", read.unread_in_words()),
    }
}

/// Writes findings for people.
pub(crate) fn write<'a>(
    findings: impl IntoIterator<Item = &'a Finding>,
    screen: &Screen,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (index, finding) in findings.into_iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let view = FindingView::from(finding);
        finding::write_title(&view, index + 1, screen, out)?;
        finding::write(&view, screen, out)?;
    }
    Ok(())
}
