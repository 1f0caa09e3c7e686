//! Plays a case from the start until the queue is empty.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use diagnosis::Explained;
use jiff::Timestamp;
use lab::Device;
use node::{config::Config, fleet as rollouts, prober::Prober};
use store::TraceQuery;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};
use trace::NextStep;

use super::{
    destination::Destination,
    fleet::Fleet,
    report::{Halted, Report},
    scenario::{STORY_RETRY, Scenario},
    tally::{Repair, Tally},
    view::View,
};
use crate::cli::{Screen, Shown};

/// How often the store is read.
const TICK: Duration = Duration::from_millis(500);
/// If the queue is not empty after this many retries, the case has failed.
const DRAIN_RETRIES_MAX: u32 = 20;

/// The folder with the data of a case.
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    pub(crate) fn new(case: &str, keep: bool) -> anyhow::Result<Self> {
        let now = Timestamp::now().strftime("%Y%m%d-%H%M%S");
        let path = std::env::temp_dir().join(format!("gatepost-{case}-{now}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("failed to create {}", path.display()))?;
        Ok(Self { path, keep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn kept(&self) -> Option<&Path> {
        self.keep.then_some(&self.path)
    }

    /// Keeps the folder after an error, because the log of the nodes shows what went wrong.
    pub(crate) fn keep_after(&mut self, error: anyhow::Error) -> anyhow::Error {
        self.keep = true;
        error.context(format!("failed to finish the case; its data and log are in {}", self.path.display()))
    }

    /// Prints how to look at the kept data.
    pub(crate) fn print_next_steps(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Some(path) = self.kept() else {
            return writeln!(out, "\nTo look at the case with trace and queue, run it with --keep.");
        };
        let config = path.join("gatepost.toml");
        writeln!(out, "\nThe data is kept in {}. To look at it:", path.display())?;
        writeln!(out, "  export GATEPOST_CONFIG={}", config.display())?;
        for step in
            [NextStep::QueueListBy("cause"), NextStep::TraceNewest(5), NextStep::PolicyLedger, NextStep::RolloutStatus]
        {
            writeln!(out, "  {step}")?;
        }
        writeln!(out, "  less {}/mx?/protocol-log/SmtpSend/*.LOG", path.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Writes the log of the nodes to a file, because the screen shows the case.
pub(crate) fn log_to(file: &Path) -> anyhow::Result<()> {
    let file = fs::File::create(file)?;
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::sync::Mutex::new(file));
    subscriber.try_init().map_err(|error| anyhow::anyhow!("failed to start the log: {error}"))
}

pub(crate) async fn play(scenario: &Scenario, folder: &Path, screen: &Screen) -> anyhow::Result<Report> {
    let mut view = View::new(screen);
    let mut destination = tokio::task::block_in_place(|| Destination::start(scenario, folder))?;
    let fleet = Fleet::start(scenario, &destination.host(), folder).await?;
    fleet.roll_out(scenario).await?;
    introduce(scenario, &destination, &mut view);
    let is = destination.is();

    let began = Instant::now();
    let mut play =
        Play { scenario, fleet: &fleet, view: &mut view, began, queue: Vec::new(), halted: None, repair: None };
    let sending = send(scenario, fleet.addresses(), 1..=scenario.messages);
    play.watch_until(sending).await??;
    play.watch_until(sleep(scenario.patience)).await?;

    let before = Tally::read(&fleet.store, None).await?;
    let mut gathered = insight::Gathered::for_findings();
    gathered.add_store(&fleet.store, TraceQuery { limit: u32::MAX, ..TraceQuery::default() }).await?;
    let mut findings = diagnosis::explain(&gathered.evidence);
    if let Some(first) = findings.first_mut() {
        play.view.say(&format!("finding before the repair: {}", first.finding.summary));
        play.put_to_the_test(first, folder).await?;
    }
    play.view.say(&format!("{} queued; repairing the destination", before.queued));
    let repair_began = Timestamp::now();
    tokio::task::block_in_place(|| destination.repair(scenario.repaired))?;
    play.repair = Some(Repair { began: repair_began, ended: Timestamp::now() });
    play.view.say("repaired; each waiting message goes with its next retry");
    let began = Instant::now();
    let tally = play.watch_until_empty().await?;
    let drained = began.elapsed();
    let Play { queue, halted, .. } = play;
    view.finish();
    fleet.stop().await;
    Ok(Report {
        scenario: scenario.clone(),
        destination: is,
        tally,
        queued_at_repair: before.queued,
        most_queued: queue.iter().copied().max().unwrap_or(0).max(before.queued),
        queue,
        halted,
        drained,
        findings: findings.into_iter().map(|explained| explained.finding).collect(),
    })
}

pub(super) fn introduce(scenario: &Scenario, destination: &Destination, view: &mut View) {
    let Scenario { nodes, messages, retry, .. } = scenario;
    view.say(&format!("{nodes} nodes on one store; the destination is {}", destination.is()));
    if let Some((from, to, percent)) = scenario.rollout {
        let defended = if scenario.defended { ", with [rollout] self_defence on" } else { "" };
        let begin = if scenario.console.is_some() { "in 10 s, " } else { "" };
        view.say(&format!(
            "rollout: {begin}{percent}% of the nodes move from the TLS policy \"{from}\" to \"{to}\"{defended}"
        ));
    }
    let shortened = STORY_RETRY.as_secs_f64() / retry.as_secs_f64();
    let messages = if scenario.console.is_some() { "messages".to_owned() } else { format!("{messages} messages") };
    view.say(&format!(
        "{messages} arrive; retry after {} s instead of 15 minutes ({shortened:.0} times as fast)",
        retry.as_secs_f64()
    ));
}

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

struct Play<'a> {
    scenario: &'a Scenario,
    fleet: &'a Fleet,
    view: &'a mut View,
    began: Instant,
    /// Length of the queue at each reading.
    queue: Vec<usize>,
    halted: Option<Halted>,
    repair: Option<Repair>,
}

impl Play<'_> {
    /// Probes the finding if nodes differ, or if attempts alone do not show the cause: from each node, then with one change
    /// at a time.
    async fn put_to_the_test(&mut self, explained: &mut Explained<'_>, folder: &Path) -> anyhow::Result<()> {
        let Scenario { rollout, device, defended, .. } = self.scenario;
        let needs_probe = rollout.is_some() || *device == Device::ImplicitTls;
        if !needs_probe || *defended {
            return Ok(());
        }
        let config = Config::load(&folder.join("gatepost.toml"))?;
        let prober = Prober {
            fleet: Some(&self.fleet.store),
            config: Some(&config),
            timeout: Some(PROBE_TIMEOUT),
            envelope: false,
        };
        let untried = prober.try_all(std::slice::from_mut(explained), &mut Shown::default()).await;
        for untried in untried {
            self.view.say(&untried);
        }
        if let Some(experiment) = &explained.finding.experiment {
            self.view.say(&format!("probe, {}: {}", experiment.verdict, experiment.because));
        }
        Ok(())
    }

    async fn look(&mut self) -> anyhow::Result<Tally> {
        let tally = Tally::read(&self.fleet.store, self.repair).await?;
        self.queue.push(tally.queued);
        self.look_at_rollout(tally.taken).await?;
        self.view.show(&tally, self.scenario.messages);
        Ok(tally)
    }

    async fn look_at_rollout(&mut self, taken: usize) -> anyhow::Result<()> {
        if !self.scenario.defended || self.halted.is_some() {
            return Ok(());
        }
        let Some((_, rollout)) = rollouts::in_force(&self.fleet.store).await? else { return Ok(()) };
        if let Some(reason) = &rollout.halted {
            self.view.say(&format!("the rollout halted automatically: {reason}"));
            self.halted = Some(Halted { after: self.began.elapsed(), taken, rollout });
        }
        Ok(())
    }

    async fn watch_until<T>(&mut self, event: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::pin!(event);
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                result = &mut event => return Ok(result),
                _ = tick.tick() => self.look().await?,
            };
        }
    }

    async fn watch_until_empty(&mut self) -> anyhow::Result<Tally> {
        let patience = self.scenario.retry * DRAIN_RETRIES_MAX + Duration::from_secs(30);
        let deadline = Instant::now() + patience;
        loop {
            let tally = self.look().await?;
            if tally.queued == 0 {
                return Ok(tally);
            }
            if Instant::now() > deadline {
                bail!("{} messages are still queued {} s after the repair", tally.queued, patience.as_secs());
            }
            sleep(TICK).await;
        }
    }
}

/// Sends one message after the other, to each node in turn.
pub(super) async fn send(
    scenario: &Scenario,
    nodes: Vec<SocketAddr>,
    numbers: impl Iterator<Item = usize>,
) -> anyhow::Result<()> {
    const FAILED: &str = "failed to send a message to a node";
    let mut pace = interval(scenario.pace);
    let mut sending = JoinSet::<std::io::Result<()>>::new();
    for number in numbers {
        pace.tick().await;
        while let Some(sent) = sending.try_join_next() {
            sent?.context(FAILED)?;
        }
        // A bounce would wait, because the domain of the sender does not exist.
        let sender = if scenario.device.refuses_for_good() { "" } else { "alice@partner.test" };
        let (node, content) = (nodes[number % nodes.len()], content(scenario, number));
        sending.spawn_blocking(move || lab::send(node, sender, &format!("user{number}@onprem.test"), &content));
    }
    while let Some(sent) = sending.join_next().await {
        sent?.context(FAILED)?;
    }
    Ok(())
}

fn content(scenario: &Scenario, number: usize) -> String {
    let Scenario { name, message_bytes, .. } = scenario;
    let line = "A line of a message that somebody waits for.\r\n";
    format!(
        "From: Alice <alice@partner.test>\r\nTo: user{number}@onprem.test\r\nSubject: Message {number}\r\n\
         Message-ID: <{number}.{name}@partner.test>\r\n\r\n{}",
        line.repeat(message_bytes.div_ceil(line.len()))
    )
}
