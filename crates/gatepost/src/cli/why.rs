//! `gatepost why`: shows findings, the root cause first.

use std::io::Write;

use anyhow::{Context as _, bail};
use diagnosis::{Changed, Explained, Finding, explain};
use insight::{Id, Report, views::FindingView};
use node::{
    config::Config,
    fleet,
    inquiry::{self, Answer, Question, Sessions},
    protocol_log,
};
use store::{Store, TraceQuery};

use super::{
    arguments::{Format, WhyArguments},
    finding, ids, incident,
    screen::{Screen, clean, counted},
};

/// True if there are findings. `store` has the gateway's own history if that is asked for.
pub(crate) async fn run<S: Store>(
    arguments: &WhyArguments,
    store: Option<&S>,
    config: Option<&Config>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    check(arguments)?;
    let mut files = insight::Files::new(gathering(arguments), screen.now, screen.zone.clone());
    let opened = open(arguments, &mut files);
    if opened.chunk_by(|a, b| a.source == b.source).count() + usize::from(store.is_some()) > 1 {
        files.gathered.evidence.join();
    }
    for file in opened {
        files.add(file);
    }
    let mut wanted = arguments.what.as_deref();
    if let Some(store) = store {
        files.gathered.evidence.last_source();
        wanted = add_history(&mut files.gathered, store, arguments, screen).await?;
    }
    let notes = files.gathered.finish();
    let skipped = files.skipped.iter().map(|skipped| format!("skipped {skipped}"));
    for note in skipped.chain(notes) {
        eprintln!("gatepost: {}", clean(&note));
    }
    let gathered = &files.gathered;
    if store.is_none() && gathered.evidence.is_empty() {
        bail!("no delivery attempts found in the files");
    }
    let mut findings = findings(gathered, wanted);
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
            add_from_nodes(&mut excerpts, store, elsewhere).await?;
        }
        let mut report = Report::new(&findings, gathered, excerpts, &files.skipped, screen.now);
        if let Some(store) = store {
            report.plans = plans(store).await?;
        }
        write_files(&report, arguments)?;
    }
    if arguments.output.format == Format::Table
        && let Some(store) = store
        && let Some(open) = incident::open_in_words(store).await.context("failed to read the incidents")?
    {
        writeln!(out, "\n{open}")?;
    }
    Ok(!findings.is_empty())
}

/// Opens the files, in the order in which they are read.
fn open(arguments: &WhyArguments, files: &mut insight::Files) -> Vec<insight::Opened> {
    let mut opened: Vec<_> = arguments.sources().filter_map(|(forced, path)| files.open(path, forced)).collect();
    opened.sort_by_key(insight::Opened::rank);
    opened
}

/// The rollout in force, for pictures of times.
async fn plans<S: Store>(store: &S) -> anyhow::Result<Vec<Changed>> {
    let plan = fleet::in_force(store).await.context("failed to read the rollout")?;
    let plan = plan.map(|(stored, rollout)| {
        let share =
            rollout.percent.map_or_else(|| rollout.nodes.join(", "), |percent| format!("{percent}% of the nodes"));
        let what =
            format!("rollout from TLS policy {} to {}: {share} (plan {})", rollout.from, rollout.to, stored.version);
        Changed { at: stored.at, what }
    });
    Ok(plan.into_iter().collect())
}

/// Adds sessions that are in the protocol logs of other nodes.
async fn add_from_nodes<S: Store>(
    excerpts: &mut insight::Excerpts,
    store: &S,
    mut elsewhere: insight::Elsewhere,
) -> anyhow::Result<()> {
    let missing: Vec<String> = elsewhere.by_node.values().flatten().cloned().collect();
    if !missing.is_empty() {
        let question = Question::Sessions(Sessions { sessions: missing, since: elsewhere.since });
        let is_asked = |node: &str| elsewhere.by_node.contains_key(node);
        let answers =
            inquiry::ask(store, &question, is_asked).await.context("failed to ask the nodes for their logs")?;
        for (node, answer) in answers {
            if let Some(Answer::Logged(lines)) = answer {
                excerpts.add_quoted(&node, &lines, &mut elsewhere);
            }
        }
    }
    excerpts.leave_out(&elsewhere);
    Ok(())
}

/// Adds the gateway's own history. Returns what the findings are about, `None` for a message.
async fn add_history<'a, S: Store>(
    gathered: &mut insight::Gathered,
    store: &S,
    arguments: &'a WhyArguments,
    screen: &Screen,
) -> anyhow::Result<Option<&'a str>> {
    let mut wanted = arguments.what.as_deref();
    let since = arguments.since.map(|since| since.timestamp(screen.now));
    let mut query = TraceQuery { since, limit: u32::MAX, ..TraceQuery::default() };
    // Gatepost compares the message with other mail of the same connector.
    if let Some(id) = wanted.and_then(as_id) {
        let id = ids::message(id, store).await?;
        let record = store.message(id).await.context("failed to read the message")?;
        let Some(record) = record else { bail!("there is no message {id}") };
        query.connector = record.deliveries.first().map(|record| record.delivery.connector.clone());
        query.since = query.since.map(|since| since.min(record.message.received));
        wanted = None;
    }
    gathered.add_store(store, query).await.context("failed to read the history")?;
    Ok(wanted)
}

/// A message's id, or its beginning with dashes at their places: a host name rarely looks like that.
fn as_id(what: &str) -> Option<Id> {
    let id: Id = what.parse().ok()?;
    (id.whole().is_some() || what.as_bytes().get(8) == Some(&b'-')).then_some(id)
}

/// Probes findings and reorders them by the result.
async fn probe<S: Store>(
    findings: &mut [Explained<'_>],
    store: Option<&S>,
    config: Option<&Config>,
    arguments: &WhyArguments,
) {
    let timeout = arguments.probe_timeout.map(|timeout| *timeout);
    let prober = crate::prober::Prober { fleet: store, config, timeout, envelope: arguments.envelope };
    for untried in prober.try_all(findings).await {
        eprintln!("gatepost: {}", clean(&untried));
    }
    // A refuted finding moves to the end; the others keep their order.
    findings.sort_by_key(|explained| !explained.finding.is_root_cause());
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

fn findings<'a>(gathered: &'a insight::Gathered, wanted: Option<&str>) -> Vec<Explained<'a>> {
    let mut findings = explain(&gathered.evidence);
    if let Some(wanted) = wanted {
        findings.retain(|explained| is_about(&explained.finding, wanted));
    }
    findings
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
            write(findings.iter().copied(), screen, out)?;
            if findings.is_empty() {
                let attempts = counted(read.attempts, "attempt", "attempts");
                writeln!(out, "No findings in {attempts} ({}).", counted(read.messages, "message", "messages"))?;
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

/// Matches a connector, or a host with or without a port.
fn is_about(finding: &Finding, wanted: &str) -> bool {
    let destination = finding.scope.destination.as_str();
    let host = destination.rsplit_once(':').map_or(destination, |(host, _)| host);
    finding.scope.connector.as_deref() == Some(wanted)
        || destination.eq_ignore_ascii_case(wanted)
        || host.eq_ignore_ascii_case(wanted)
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
