//! The nodes of a case: on one embedded store, all in this process; on a server, each is a process of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use node::{
    Running,
    config::{Config, Watch},
    fleet::{self, Basis, Change, Share},
};
use rustix::process::{Pid, Signal, kill_process};
use store::{Backend, Fleet as _, History as _, PostgresSettings, TraceQuery};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::scenario::Scenario;

pub(crate) struct Fleet {
    pub store: Backend,
    nodes: Vec<Running>,
    processes: Vec<Child>,
    addresses: Vec<SocketAddr>,
    /// Of the first node.
    config: Config,
}

/// Nodes follow a plan within two seconds; a busy machine may need longer.
const PLAN_PATIENCE: Duration = Duration::from_secs(15);
const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

impl Fleet {
    /// Starts nodes `mx1`, `mx2` and so on with a connector to `host`. Their configurations and data are in `folder`.
    pub(crate) async fn start(scenario: &Scenario, host: &str, folder: &Path) -> anyhow::Result<Self> {
        let store = open(scenario, folder).await?;
        refuse_mail_of_others(&store).await?;
        let names: Vec<String> = (1..=scenario.nodes).map(|number| format!("mx{number}")).collect();
        for name in &names {
            fs::write(file(folder, name), configuration(scenario, name, host))?;
            fs::create_dir(folder.join(name))?;
        }
        // The configuration that commands read by default.
        fs::copy(file(folder, "mx1"), folder.join("gatepost.toml"))?;
        let config = Config::load(&file(folder, "mx1"))?;
        let mut fleet = Self { store, nodes: Vec::new(), processes: Vec::new(), addresses: Vec::new(), config };
        if scenario.store.is_some() {
            fleet.start_processes(&names, folder).await?;
        } else {
            fleet.start_here(&names, folder).await?;
        }
        Ok(fleet)
    }

    async fn start_here(&mut self, names: &[String], folder: &Path) -> anyhow::Result<()> {
        for name in names {
            let (config, own) = (Config::load(&file(folder, name))?, folder.join(name));
            let running = Running::start(config, self.store.clone(), &own, console::Listeners::start).await;
            let running = running.with_context(|| format!("failed to start node {name}"))?;
            self.addresses.extend(&running.node.addresses);
            self.nodes.push(running);
        }
        Ok(())
    }

    /// One after the other, because the first one creates the tables.
    async fn start_processes(&mut self, names: &[String], folder: &Path) -> anyhow::Result<()> {
        for name in names {
            let log = fs::File::create(folder.join(name).join("log"))?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--config").arg(file(folder, name)).arg("serve").kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut process = command.spawn().with_context(|| format!("failed to start node {name}"))?;
            let deadline = Instant::now() + START_PATIENCE;
            let addresses = loop {
                let reports = self.store.reports().await?;
                if let Some(report) = reports.into_iter().find(|report| report.node == *name) {
                    break report.addresses;
                }
                if process.try_wait()?.is_some() || Instant::now() > deadline {
                    let log = fs::read_to_string(folder.join(name).join("log"))?;
                    bail!("node {name} does not start: {}", log.lines().last().unwrap_or("its log is empty"));
                }
                sleep(Duration::from_millis(50)).await;
            };
            self.addresses.extend(addresses);
            self.processes.push(process);
        }
        Ok(())
    }

    /// Begins the rollout of the case, if it has one, and waits until the nodes follow it.
    pub(crate) async fn roll_out(&self, scenario: &Scenario) -> anyhow::Result<()> {
        let Some((from, to, percent)) = scenario.rollout else { return Ok(()) };
        let change = Change::Set { from: from.to_owned(), to: to.to_owned(), share: Share::Percent(percent) };
        let version =
            fleet::change(&self.store, &self.config, change, Basis::InForce, "case", Timestamp::now()).await?;
        let deadline = Instant::now() + PLAN_PATIENCE;
        while !self.store.reports().await?.iter().all(|report| report.plan_version == Some(version)) {
            if Instant::now() > deadline {
                bail!("the nodes did not follow the rollout plan within {} s", PLAN_PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Addresses on which the nodes accept mail.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop(sleep(STOP_PATIENCE)).await;
        }
        for mut process in self.processes {
            if let Some(id) = process.id().and_then(|id| Pid::from_raw(id as i32)) {
                let _ = kill_process(id, Signal::TERM);
            }
            // One that does not end is killed when it is dropped.
            let _ = timeout(STOP_PATIENCE, process.wait()).await;
        }
        self.store.close().await;
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

async fn open(scenario: &Scenario, folder: &Path) -> anyhow::Result<Backend> {
    Ok(match &scenario.store {
        Some(url) => Backend::open_server(&PostgresSettings::new(url)?).await?,
        None => Backend::open(&folder.join("data"), "case")?,
    })
}

/// A case explains all that it finds in the history, so that its store must be its own.
async fn refuse_mail_of_others(store: &Backend) -> anyhow::Result<()> {
    let rows = store.trace(TraceQuery { limit: 1, ..TraceQuery::default() }).await?;
    if !rows.is_empty() {
        bail!("the store already has mail; name an empty database");
    }
    Ok(())
}

fn configuration(scenario: &Scenario, name: &str, host: &str) -> String {
    let Scenario { retry, connector, defended, .. } = scenario;
    let store = match &scenario.store {
        Some(url) => format!("data = \"{name}\"\n\n[store]\nurl = {url:?}\n\n"),
        None => "\n".to_owned(),
    };
    format!(
        "# Created by gatepost case run {case}.\n\n\
         [node]\nname = \"{name}\"\nhostname = \"{name}.gateway.test\"\n{store}\
         [inbound]\nlisten = [\"127.0.0.1:0\"]\n\n\
         # The folder that a case uses anyway. Named here so that reports of why quote from it.\n\
         [protocol_log]\nfolder = \"{name}/protocol-log\"\n\n\
         [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\n\
         [[connector]]\nname = \"onprem\"\nhosts = [\"{host}\"]\n{connector}\
         # All waits are short in a case. Back-off is too short to keep mail from a node that fails.\n\
         timeouts = {{ banner = \"1s\", ehlo = \"1s\", starttls = \"1s\", content = \"2s\", end_of_data = \"2s\" }}\n\n\
         [retry]\nschedule = [\"{retry}ms\"]\nexpire = \"1h\"\ndelay_notice = \"never\"\n\
         back_off_first = \"100ms\"\nback_off_max = \"100ms\"\n\n\
         [rollout]\nself_defence = {defended}\n{held}",
        case = scenario.name,
        retry = retry.as_millis(),
        held = scenario.console.map(|console| held(scenario, name, console)).unwrap_or_default(),
    )
}

/// The console of the first node, and incidents that open as soon after the beginning as retries are shortened.
fn held(scenario: &Scenario, name: &str, console: SocketAddr) -> String {
    let watch = Watch::default();
    let shortened = |time: &insight::units::Duration| scenario.shortened(**time).as_millis();
    let watch = format!(
        "\n[watch]\noldest = \"{}ms\"\noldest_named = \"{}ms\"\ninterval = \"1s\"\n",
        shortened(&watch.oldest),
        shortened(&watch.oldest_named)
    );
    let console = if name == "mx1" { format!("\n[console]\nlisten = [\"{console}\"]\n") } else { String::new() };
    watch + &console
}
