//! A node from start to stop. The caller decides when: the signals of the process, or a case that simulates a fleet.

use std::{
    hash::RandomState,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use net::{
    resolve::Resolver,
    serve::{Listener, Prefixes, Server, Settings, listen},
    tls::{Acceptor, TlsContext},
};
use store::{Backend, Fleet as _, Joined, Member, NewChange, Queue as _, Room, by_node};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use trace::{
    ChangeKind,
    change::{Reload, Settings as SettingChanges},
};

use super::{
    Node, Tasks, background, bodies, clock, defence, destinations, history, inbound, inquiry, notify_always, outbound,
    outbound::{Heard, Outbound, Term},
    policy, review_always, routes, settings, watch as watching,
};
use crate::{
    config::{Config, reloaded, why_not_listening},
    destinations::Destinations,
    forecast::Forecasts,
    jobs::Jobs,
    metrics::{self, Metrics},
    protocol_log::ProtocolLogs,
    start::Start,
};

/// A shutdown waits this long for attempts. Then it stops the attempts that have not sent their final dot, and their
/// mail returns to the queue.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(5);

/// A shutdown waits this long until it is recorded.
const RECORD_PATIENCE: Duration = Duration::from_secs(2);

/// Reads the node's certificate, or creates one.
pub type MakeAcceptor<'a> = dyn Fn() -> anyhow::Result<Acceptor> + 'a;

/// The console that a node serves besides mail, on its own listeners. It stops when it is dropped.
pub trait Console {
    /// True if a listener uses the node's certificate.
    fn is_tls(&self) -> bool;

    /// Uses another certificate for new connections.
    fn renew(&self, certificate: Acceptor);
}

/// Who has asked for a reload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReloadedBy<'a> {
    /// A signal does not say whose it is.
    Signal,
    /// An operator has applied a configuration of the fleet.
    Fleet { version: Option<u64>, by: &'a str },
}

impl ReloadedBy<'_> {
    fn change(self, node: &str, settings: SettingChanges, restart_needed: &[&str]) -> NewChange {
        let (configuration, who) = match self {
            Self::Signal => (None, by_node(node)),
            Self::Fleet { version, by } => (version, by.to_owned()),
        };
        let restart_needed = restart_needed.iter().map(|key| (*key).to_owned()).collect();
        let kind = ChangeKind::Reloaded(Reload { settings, restart_needed, configuration });
        NewChange { node: Some(node.to_owned()), who, from: None, kind }
    }
}

/// A running node.
pub struct Running {
    pub node: Arc<Node>,
    console: Box<dyn Console>,
    /// Tasks that stop with the node.
    _beside: JoinSet<()>,
    folder: PathBuf,
    listeners: JoinSet<()>,
    background: JoinHandle<()>,
    defence: JoinHandle<()>,
    settler: JoinHandle<()>,
    stop: watch::Sender<bool>,
    settings: watch::Sender<Settings>,
}

impl Running {
    /// Starts a node on an open store. The node creates its own files in `folder`.
    pub async fn start<C: Console + 'static>(
        start: impl Into<Start>,
        store: Backend,
        folder: &Path,
        console: impl AsyncFnOnce(&Arc<Node>, Prefixes, &MakeAcceptor<'_>) -> anyhow::Result<C>,
    ) -> anyhow::Result<Self> {
        let start = start.into();
        let heard = Heard::new(Term::from_now(store.lease_term()));
        let joined = store.join(&start.config.node.name).await?;
        let member = joined.member.clone();
        let started = Self::start_as(joined, heard, start, store.clone(), folder, console).await;
        // Its name is free for the next try.
        if started.is_err()
            && let Err(error) = store.leave(&member).await
        {
            tracing::warn!(%error, "failed to leave the store in order");
        }
        started
    }

    async fn start_as<C: Console + 'static>(
        joined: Joined,
        heard: Heard,
        Start { config, file, followed }: Start,
        store: Backend,
        folder: &Path,
        console: impl AsyncFnOnce(&Arc<Node>, Prefixes, &MakeAcceptor<'_>) -> anyhow::Result<C>,
    ) -> anyhow::Result<Self> {
        let Joined { member, taken_back, is_drained } = joined;
        if taken_back > 0 {
            tracing::warn!(
                deliveries = taken_back,
                "returned deliveries to the queue that were in progress when this node stopped"
            );
        }
        clock::follow_since_last_report(&store, &config).await?;
        let (settled, settled_receiver) = mpsc::channel(4096);
        let (stop, stopped) = watch::channel(false);
        let (settings, settings_receiver) = watch::channel(settings::settings(&config, folder)?);
        // This comes before the first attempt: a node that cannot listen ends at once, and must have no attempt in
        // progress.
        let listeners = open_listeners(&config)?;
        let addresses = listeners.iter().map(|(address, _)| *address).collect();
        let mut node = new_node((member, heard), config, store, folder, Outbound::new(settled))?;
        node.addresses = addresses;
        node.file = ArcSwapOption::from_pointee(file);
        node.followed = ArcSwap::from_pointee(followed);
        // So does this: a node that was drained stays drained when it starts again.
        node.set_drained(is_drained);
        let node = Arc::new(node);
        let prefixes = settings::prefixes(&node.config.load());
        let console = console(&node, prefixes, &|| settings::acceptor(&node.config.load(), folder)).await?;
        // This comes before the first attempt too: after a restart, a node must not use the policy that it was moved
        // from.
        node.follow_plan().await.context("failed to read the rollout plan")?;
        let settler = tokio::spawn(outbound::run_settler(Arc::clone(&node), settled_receiver));
        node.outbound.configure(&node, &node.config.load());
        let background = tokio::spawn(background(Arc::clone(&node)));
        let defence = tokio::spawn(defence::run(Arc::clone(&node)));
        node.report().await;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        node.record(NewChange::of_node(&node.name, ChangeKind::Started { version })).await;
        let server = Arc::new(Server::new(inbound::Inbound(Arc::clone(&node)), settings_receiver, prefixes, stopped));
        let _ = node.sessions.set(server.open_sessions());
        // The console may have made the certificate.
        node.certificates.store(Arc::new(metrics::expiries(&node.config.load(), folder)));
        let mut beside = watching::start(&node);
        beside.spawn(metrics::name_causes_always(Arc::clone(&node)));
        beside.spawn(inquiry::answer::answer_always(Arc::clone(&node)));
        beside.spawn(review_always(Arc::clone(&node)));
        beside.spawn(notify_always(Arc::clone(&node)));
        beside.spawn(history::forget_always(Arc::clone(&node)));
        beside.spawn(bodies::clean_always(Arc::clone(&node)));
        beside.spawn(destinations::tell_always(Arc::clone(&node)));
        let mut running = Self {
            _beside: beside,
            node,
            console: Box::new(console),
            folder: folder.to_owned(),
            listeners: JoinSet::new(),
            background,
            defence,
            settler,
            stop,
            settings,
        };
        running.listen(&server, listeners);
        Ok(running)
    }

    fn listen(&mut self, server: &Arc<Server<inbound::Inbound>>, listeners: Vec<(SocketAddr, Listener)>) {
        for (address, listener) in listeners {
            tracing::info!(%address, "listening for SMTP");
            let server = Arc::clone(server);
            self.listeners.spawn(async move {
                if let Err(error) = server.run(listener).await {
                    tracing::error!(%address, %error, "stopped listening");
                }
            });
        }
    }

    /// Applies a new configuration completely or not at all. Returns the keys that require a restart.
    pub(crate) fn reload(&self, config: Config, by: ReloadedBy<'_>) -> anyhow::Result<Vec<&'static str>> {
        let node = &self.node;
        let new_settings = settings::settings(&config, &self.folder)?;
        let new_certificate = self.console.is_tls().then(|| settings::acceptor(&config, &self.folder)).transpose()?;
        let new_resolver = resolver(&config)?;
        let tls = TlsContext::default();
        policy::check_certificates(&config, &tls)?;
        let new_webhook = watching::webhook(&config)?;
        let before = node.config.load_full();
        let settings = reloaded(&before, &config);
        let restart_needed = before.restart_needed(&config);
        node.tls.store(Arc::new(tls));
        node.webhook.store(new_webhook.map(Arc::new));
        node.protocol_logs.configure(&config.protocol_log);
        node.routes.store(Arc::new(routes(&config)));
        node.resolver.store(Arc::new(new_resolver));
        node.certificates.store(Arc::new(metrics::expiries(&config, &self.folder)));
        node.outbound.configure(node, &config);
        node.config.store(Arc::new(config));
        // A plan that names a TLS policy that was missing can be followed now.
        node.plan_refused.store(None);
        self.settings.send_replace(new_settings);
        if let Some(certificate) = new_certificate {
            self.console.renew(certificate);
        }
        node.record_beside(by.change(&node.name, settings, &restart_needed));
        Ok(restart_needed)
    }

    /// Finishes work in progress, until `patience` ends: sessions with a message, attempts, results.
    pub async fn stop(mut self, patience: impl Future<Output = ()>) {
        let _ = self.stop.send(true);
        let finished = tokio::select! {
            () = self.finish() => true,
            () = patience => false,
        };
        self.background.abort();
        self.defence.abort();
        self.settler.abort();
        let stopped = NewChange::of_node(&self.node.name, ChangeKind::Stopped { unfinished: !finished });
        // A store that is away does not delay the stop.
        let _ = tokio::time::timeout(RECORD_PATIENCE, self.node.record(stopped)).await;
        if !finished {
            tracing::warn!("stopped with deliveries in progress; they return to the queue at the next start");
        } else if let Err(error) = self.node.store.leave(&self.node.member).await {
            tracing::warn!(%error, "failed to leave the store in order");
        }
        self.node.protocol_logs.close();
    }

    async fn finish(&mut self) {
        while self.listeners.join_next().await.is_some() {}
        self.node.outbound.close();
        let mut tasks = std::pin::pin!(self.node.tasks.finish());
        tokio::select! {
            () = &mut tasks => {}
            () = tokio::time::sleep(ATTEMPT_PATIENCE) => {
                self.node.outbound.cut();
                tasks.await;
            }
        }
        while !self.node.outbound.held().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Opens the listeners. Returns them with their addresses, including the ports that the system chose.
fn open_listeners(config: &Config) -> anyhow::Result<Vec<(SocketAddr, Listener)>> {
    let open = |address: SocketAddr| {
        let opened = listen(address).and_then(|listener| Ok((listener.address()?, listener)));
        opened.map_err(|error| anyhow::anyhow!("{}", why_not_listening(address, "[inbound] listen", &error)))
    };
    config.inbound.listen.iter().copied().map(open).collect()
}

/// A node that does nothing yet.
fn new_node(
    (member, heard): (Member, Heard),
    config: Config,
    store: Backend,
    folder: &Path,
    outbound: Outbound,
) -> anyhow::Result<Node> {
    let logs_give_way = {
        let store = store.clone();
        move || store.room() != Room::Enough
    };
    let tls = TlsContext::default();
    policy::check_certificates(&config, &tls)?;
    Ok(Node {
        name: config.node.name.clone(),
        jobs: Jobs::on(&config.node.name),
        member,
        heard,
        hostname: config.node.hostname.clone(),
        store,
        outbound,
        tls: ArcSwap::from_pointee(tls),
        plan_refused: ArcSwapOption::empty(),
        webhook: ArcSwapOption::new(watching::webhook(&config)?.map(Arc::new)),
        protocol_logs: ProtocolLogs::start(&config.protocol_log, folder, logs_give_way),
        tasks: Tasks::default(),
        content_memory: Arc::default(),
        alive_until: ArcSwapOption::empty(),
        store_away: AtomicBool::new(false),
        disowned: ArcSwapOption::empty(),
        drained: AtomicBool::new(false),
        holds_restored: AtomicBool::new(false),
        addresses: Vec::new(),
        plan: ArcSwapOption::empty(),
        routes: ArcSwap::from_pointee(routes(&config)),
        resolver: ArcSwap::from_pointee(resolver(&config)?),
        random: RandomState::new(),
        config: ArcSwap::from_pointee(config),
        metrics: Metrics::default(),
        sessions: OnceLock::new(),
        certificates: ArcSwap::default(),
        file: ArcSwapOption::empty(),
        followed: ArcSwap::default(),
        destinations: Destinations::default(),
        forecasts: Forecasts::default(),
    })
}

fn resolver(config: &Config) -> anyhow::Result<Resolver> {
    Resolver::new(&config.dns.servers, *config.dns.timeout).map_err(anyhow::Error::msg)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) struct NoConsole;

    impl Console for NoConsole {
        fn is_tls(&self) -> bool {
            false
        }

        fn renew(&self, _: Acceptor) {}
    }

    /// Stops what the node does on its own again and again.
    pub(crate) async fn without_background(running: &Running) {
        running.background.abort();
        while !running.background.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_node_of_the_same_name_is_refused_while_the_first_runs() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[node]\nname = \"mx1\"\nhostname = \"mx1.test\"\n[inbound]\nlisten = [\"127.0.0.1:0\"]\n\
                    [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
                    [[connector]]\nname = \"onprem\"\nhosts = [\"127.0.0.1:9\"]\n";
        let config = Config::parse(text, &folder.path().join("gatepost.toml")).unwrap();
        let store = Backend::open(&folder.path().join("data"), "fleet").unwrap();
        let start = || Running::start(config.clone(), store.clone(), folder.path(), async |_, _, _| Ok(NoConsole));
        let first = start().await.unwrap();
        let refused = start().await.map(|_| ()).unwrap_err().to_string();
        let process = std::process::id().to_string();
        assert!(refused.contains("another node named mx1 is running") && refused.contains(&process), "{refused}");
        first.stop(std::future::pending()).await;
        start().await.unwrap().stop(std::future::pending()).await;
        store.close().await;
    }
}
