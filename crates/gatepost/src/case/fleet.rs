//! The nodes of a case: on one store, in this process.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use node::{
    Running,
    config::Config,
    fleet::{self, Change, Share},
};
use store::{Backend, Fleet as _, History as _, PostgresSettings, TraceQuery};

use super::scenario::Scenario;

pub(crate) struct Fleet {
    pub store: Backend,
    nodes: Vec<Running>,
}

/// Nodes follow a plan within two seconds; a busy machine may need longer.
const PLAN_PATIENCE: Duration = Duration::from_secs(15);

impl Fleet {
    /// Starts nodes `mx1`, `mx2` and so on with a connector to `host`. Their configurations and data are in `folder`.
    pub(crate) async fn start(scenario: &Scenario, host: &str, folder: &Path) -> anyhow::Result<Self> {
        let store = open(scenario, folder).await?;
        refuse_mail_of_others(&store).await?;
        let mut fleet = Self { store, nodes: Vec::new() };
        for number in 1..=scenario.nodes {
            let name = format!("mx{number}");
            let file = folder.join(format!("{name}.toml"));
            fs::write(&file, configuration(scenario, &name, host))?;
            let own = folder.join(&name);
            fs::create_dir(&own)?;
            // On a server, each node has connections of its own, as if it were a process of its own.
            let store = if scenario.store.is_some() { open(scenario, folder).await? } else { fleet.store.clone() };
            let running = Running::start(Config::load(&file)?, store, &own, console::Listeners::start).await;
            fleet.nodes.push(running.with_context(|| format!("failed to start node {name}"))?);
        }
        // The configuration that commands read by default.
        fs::copy(folder.join("mx1.toml"), folder.join("gatepost.toml"))?;
        if let Some((from, to, percent)) = scenario.rollout {
            fleet.roll_out(from, to, percent).await?;
        }
        Ok(fleet)
    }

    async fn roll_out(&self, from: &str, to: &str, percent: u8) -> anyhow::Result<()> {
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let change = Change::Set { from: from.to_owned(), to: to.to_owned(), share: Share::Percent(percent) };
        let config = first.node.config.load_full();
        let version = fleet::change(&self.store, &config, change, "case", Timestamp::now()).await?;
        let deadline = tokio::time::Instant::now() + PLAN_PATIENCE;
        while !self.store.reports().await?.iter().all(|report| report.plan_version == Some(version)) {
            if tokio::time::Instant::now() > deadline {
                bail!("the nodes did not follow the rollout plan within {} s", PLAN_PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Addresses on which the nodes accept mail.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().flat_map(|node| node.node.addresses.iter().copied()).collect()
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop(tokio::time::sleep(Duration::from_secs(10))).await;
        }
        self.store.close().await;
    }
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
    let store = scenario.store.as_ref().map(|url| format!("[store]\nurl = {url:?}\n\n")).unwrap_or_default();
    format!(
        "# Created by gatepost case run {case}.\n\n\
         [node]\nname = \"{name}\"\nhostname = \"{name}.gateway.test\"\n\n{store}\
         [inbound]\nlisten = [\"127.0.0.1:0\"]\n\n\
         # The folder that a case uses anyway. Named here so that reports of why quote from it.\n\
         [protocol_log]\nfolder = \"{name}/protocol-log\"\n\n\
         [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\n\
         [[connector]]\nname = \"onprem\"\nhosts = [\"{host}\"]\n{connector}\
         # All waits are short in a case. Back-off is too short to keep mail from a node that fails.\n\
         timeouts = {{ banner = \"1s\", ehlo = \"1s\", starttls = \"1s\", content = \"2s\", end_of_data = \"2s\" }}\n\n\
         [retry]\nschedule = [\"{retry}ms\"]\nexpire = \"1h\"\ndelay_notice = \"never\"\n\
         back_off_first = \"100ms\"\nback_off_max = \"100ms\"\n\n\
         [rollout]\nself_defence = {defended}\n",
        case = scenario.name,
        retry = retry.as_millis(),
    )
}
