//! A case that stays broken: mail keeps flowing, and people look for the cause and fix it, in the console or by command.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use insight::views::FindingView;
use node::fleet as rollouts;
use store::{Incident, Incidents as _, Queue as _, Right};
use tokio::time::{Instant, interval, sleep, timeout};
use uuid::Uuid;

use super::{destination::Destination, fleet::Fleet, play, scenario::Scenario, view::View};
use crate::cli::{Screen, counted};

/// How often the store is read.
const TICK: Duration = Duration::from_millis(500);
/// Mail flows for this long before the rollout begins, so that people see both.
const HEALTHY_FOR: Duration = Duration::from_secs(10);
/// After Ctrl-C, the queue has this long to drain.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// A message that has waited this long without an attempt is waiting, too.
const UNTRIED_AFTER: Duration = Duration::from_secs(60);
/// Name of the user who may use the console.
const USER: &str = "operator";
const INCIDENTS_MAX: u32 = 100;

/// Plays until Ctrl-C.
pub(crate) async fn hold(
    scenario: &Scenario,
    folder: &Path,
    screen: &Screen,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut view = View::new(screen);
    let destination = tokio::task::block_in_place(|| Destination::start(scenario, folder))?;
    let fleet = Fleet::start(scenario, &destination.host(), folder).await?;
    let console = scenario.console.context("the case has no console")?;
    writeln!(out, "Choose a password for the user {USER}, and look: {}", invite(&fleet, console).await?)?;
    writeln!(out, "For commands: export GATEPOST_CONFIG={}", folder.join("gatepost.toml").display())?;
    writeln!(out, "Press Ctrl-C to end the case.")?;
    out.flush()?;
    play::introduce(scenario, &destination, &mut view);

    let mut watch = Watch { fleet: &fleet, view, seen: Seen::default() };
    tokio::select! {
        sent = play::send(scenario, fleet.addresses(), 1..) => sent?,
        watched = watch.run(scenario) => watched?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    watch.drain().await?;
    watch.view.finish();
    fleet.stop().await;
    Ok(())
}

/// The same address with a free port, if it has none.
pub(crate) fn port_chosen(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("failed to listen on {address}; choose another address with --console"))?;
    Ok(listener.local_addr()?)
}

/// Invites a user who may do everything; the link.
async fn invite(fleet: &Fleet, console: SocketAddr) -> anyhow::Result<String> {
    let user = USER.parse().map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let base = format!("http://{console}");
    let invited = insight::invite(&fleet.store, &base, &user, Right::Administrator, "case".into()).await;
    Ok(invited.context("failed to invite a user")?.url)
}

struct Watch<'a> {
    fleet: &'a Fleet,
    view: View,
    seen: Seen,
}

/// What was reported already.
#[derive(Default)]
struct Seen {
    /// True: closed.
    incidents: BTreeMap<Uuid, bool>,
    plan: Option<u64>,
    /// A delivery has failed, and waits or has waited since.
    was_stuck: bool,
}

impl Watch<'_> {
    /// Begins the rollout after a while, and reports what happens. Ends only with an error.
    async fn run(&mut self, scenario: &Scenario) -> anyhow::Result<()> {
        let began = Instant::now();
        let (mut tick, mut is_broken) = (interval(TICK), false);
        loop {
            tick.tick().await;
            if !is_broken && began.elapsed() >= HEALTHY_FOR {
                is_broken = true;
                self.fleet.roll_out(scenario).await?;
            }
            self.look().await?;
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let store = &self.fleet.store;
        if let Some((stored, rollout)) = rollouts::in_force(store).await?
            && self.seen.plan != Some(stored.version)
        {
            self.seen.plan = Some(stored.version);
            let nodes = if rollout.nodes.is_empty() { "no node".to_owned() } else { rollout.nodes.join(", ") };
            let (from, to, by) = (&rollout.from, &rollout.to, &stored.by);
            self.view.say(&format!("rollout from \"{from}\" to \"{to}\": {nodes} moved, set by {by}"));
        }
        // Closed ones come after open ones, the newest first.
        for incident in store.incidents(INCIDENTS_MAX).await?.iter().rev() {
            self.report(incident);
        }
        let waiting: u64 = store.pending(UNTRIED_AFTER).await?.iter().map(|pending| pending.messages).sum();
        if waiting == 0 && self.seen.was_stuck {
            self.view.say("no message is waiting; press Ctrl-C to end the case");
        }
        self.seen.was_stuck = waiting > 0;
        Ok(())
    }

    fn report(&mut self, incident: &Incident) {
        let before = self.seen.incidents.insert(incident.id, incident.closed.is_some());
        match (before, incident.closed) {
            (None, None) => {
                let finding = serde_json::from_str::<FindingView>(&incident.finding);
                let summary = finding.map_or_else(|_| incident.cause.clone(), |finding| finding.summary);
                self.view.say(&format!("an incident has opened: {summary}"));
            }
            (None | Some(false), Some((_, because))) => {
                let peak = counted(incident.pending_peak, "message", "messages");
                self.view
                    .say(&format!("the incident {} has closed ({because}); at most {peak} waited", incident.cause));
            }
            _ => {}
        }
    }

    /// Waits for mail that is on its way. What is stuck stays.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let is_empty = timeout(DRAIN_PATIENCE, self.is_drained()).await.unwrap_or(Ok(false))?;
        let queue = if is_empty { "the queue is empty" } else { "mail is still in the queue" };
        self.view.say(&format!("ended; {queue}"));
        Ok(())
    }

    /// Waits until the queue is empty, unless mail is stuck.
    async fn is_drained(&self) -> anyhow::Result<bool> {
        loop {
            let is_empty = self.fleet.store.counts().await?.iter().all(|count| count.deliveries == 0);
            if is_empty || self.seen.was_stuck {
                return Ok(is_empty);
            }
            sleep(TICK).await;
        }
    }
}
