//! A node: takes mail in, keeps it in the store, sends it on, until it is told to stop.
//!
//! ```text
//!   inbound ──> store.accept ──> outbound ──> store.settle
//!                     review, lease renewal and reports beside them
//! ```

pub(crate) mod header;
mod inbound;
mod outbound;
mod review;
mod settings;

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use delivery::{backoff::BackOffPolicy, route::Routes, schedule::Schedule};
use jiff::Timestamp;
use net::{
    resolve::Resolver,
    send::TlsContext,
    serve::{Server, Settings, listen},
};
use protocol::{smtp::Address, tls::TlsPolicy};
use store::{Lease, NodeReport, SqliteStore, Store};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use crate::config::{Config, Deadline, INTERNET};
use outbound::Outbound;

/// How long a node holds what it has claimed without renewing.
const LEASE: Duration = Duration::from_secs(300);
/// Leases are renewed with much time to spare.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// Nodes report this often; one that has not for 30 s is taken for dead by those who look.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);
/// What a shutdown waits for messages under way.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(60);

/// What all parts of a node share.
pub(crate) struct Node<S: Store> {
    pub name: String,
    /// The name in banner, Received fields and notices.
    pub hostname: String,
    pub store: S,
    pub config: ArcSwap<Config>,
    pub outbound: Outbound,
    pub tls: TlsContext,
    pub tasks: Tasks,
    routes: ArcSwap<Routes>,
    resolver: ArcSwap<Resolver>,
    random: RandomState,
}

/// Tasks that a shutdown waits for.
#[derive(Default)]
pub(crate) struct Tasks(std::sync::Mutex<tokio::task::JoinSet<()>>);

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).spawn(task);
    }

    async fn finish(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl<S: Store> Node<S> {
    /// A lease taken now ends then.
    pub(crate) fn lease_end(&self) -> Timestamp {
        Timestamp::now() + LEASE
    }

    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::clone(&self.resolver.load())
    }

    /// The connector by which mail for an address leaves; notices to foreign senders have one of their own.
    pub(crate) fn connector_for(&self, address: &Address) -> String {
        if let Some(connector) = self.routes.load().connector_for(&address.domain_key()) {
            return connector.to_owned();
        }
        self.config.load().notices.connector.clone().unwrap_or_else(|| INTERNET.to_owned())
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let config = self.config.load();
        Schedule {
            intervals: config.retry.schedule.iter().map(|interval| **interval).collect(),
            expire: *config.retry.expire,
            delay_notice: match &config.retry.delay_notice {
                Deadline::After(delay) => Some(**delay),
                Deadline::Never => None,
            },
        }
    }

    pub(crate) fn back_off_policy(&self) -> BackOffPolicy {
        let config = self.config.load();
        BackOffPolicy { first: *config.retry.back_off_first, max: *config.retry.back_off_max }
    }

    /// Spreads load; nothing secret rests on it.
    pub(crate) fn random_u32(&self) -> u32 {
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        self.random.hash_one(COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) as u32
    }

    /// From 0 to 1.
    pub(crate) fn random(&self) -> f64 {
        f64::from(self.random_u32()) / f64::from(u32::MAX)
    }

    fn lease(&self) -> Lease {
        Lease { node: self.name.clone(), until: self.lease_end() }
    }

    async fn report(&self) {
        let report = NodeReport { node: self.name.clone(), at: Timestamp::now(), connectors: self.outbound.reports() };
        if let Err(error) = self.store.report(report).await {
            tracing::warn!(%error, "failed to report this node's state");
        }
    }
}

fn routes(config: &Config) -> Routes {
    Routes::new(config.accepted_domains.iter().map(|domain| (domain.name.clone(), domain.connector.clone())))
}

/// Runs a node until SIGTERM or SIGINT; SIGHUP reads the configuration anew.
pub(crate) async fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    let folder = config.node.data.clone();
    let store = SqliteStore::open(&folder, &config.node.name)?;
    let recovered = store.recover(&config.node.name, Timestamp::now()).await?;
    if recovered > 0 {
        tracing::warn!(deliveries = recovered, "took back deliveries that were under way when this node stopped");
    }
    let listen_addresses = config.inbound.listen.clone();
    let (settled, settled_receiver) = mpsc::channel(4096);
    let (stop, stopped) = watch::channel(false);
    let (settings, settings_receiver) = watch::channel(settings::settings(&config, &folder)?);
    let node = Arc::new(Node {
        name: config.node.name.clone(),
        hostname: config.node.hostname.clone(),
        store: store.clone(),
        outbound: Outbound::new(settled),
        tls: TlsContext::new(&TlsPolicy::BUILT_IN)?,
        tasks: Tasks::default(),
        routes: ArcSwap::from_pointee(routes(&config)),
        resolver: ArcSwap::from_pointee(resolver(&config)?),
        random: RandomState::new(),
        config: ArcSwap::from_pointee(config),
    });
    let settler = tokio::spawn(outbound::run_settler(Arc::clone(&node), settled_receiver));
    node.outbound.configure(&node, &node.config.load());
    let background = tokio::spawn(background(Arc::clone(&node)));
    node.report().await;
    let server = Arc::new(Server::new(inbound::Inbound(Arc::clone(&node)), settings_receiver, stopped));
    let mut listeners = tokio::task::JoinSet::new();
    for address in listen_addresses {
        let listener = listen(address).with_context(|| {
            format!("failed to listen on {address} ([inbound] listen): is another server running there?")
        })?;
        tracing::info!(%address, "listening for SMTP");
        let server = Arc::clone(&server);
        listeners.spawn(async move {
            if let Err(error) = server.run(listener).await {
                tracing::error!(%address, %error, "stopped listening");
            }
        });
    }
    tracing::info!(node = node.name, data = %folder.display(), "node is ready");
    until_told_to_stop(&node, path, &folder, &settings).await?;
    let _ = stop.send(true);
    let finish = finish(&node, listeners, background);
    let finished = tokio::select! {
        finished = tokio::time::timeout(SHUTDOWN_PATIENCE, finish) => finished.is_ok(),
        _ = stop_signal() => false,
    };
    if !finished {
        tracing::warn!("stopped with messages under way; their leases are taken back at the next start");
    }
    settler.abort();
    store.close().await;
    tracing::info!("node has stopped");
    Ok(())
}

/// Lets what is under way come to its end: sessions with a message, attempts, results.
async fn finish<S: Store>(
    node: &Arc<Node<S>>,
    mut listeners: tokio::task::JoinSet<()>,
    background: tokio::task::JoinHandle<()>,
) {
    tracing::info!("stopping: finishing what is under way");
    while listeners.join_next().await.is_some() {}
    node.outbound.close();
    node.tasks.finish().await;
    while !node.outbound.held().all().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    background.abort();
}

/// Renews leases, ends those of dead nodes, reviews what was not tried, and reports.
async fn background<S: Store>(node: Arc<Node<S>>) {
    let mut report = tokio::time::interval(REPORT_INTERVAL);
    let mut renew = tokio::time::interval(RENEW_INTERVAL);
    let mut review = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = report.tick() => node.report().await,
            _ = renew.tick() => renew_leases(&node).await,
            _ = review.tick() => review::run(&node).await,
        }
    }
}

async fn renew_leases<S: Store>(node: &Arc<Node<S>>) {
    let held = node.outbound.held().all();
    if !held.is_empty()
        && let Err(error) = node.store.renew(node.lease(), held).await
    {
        tracing::warn!(%error, "failed to renew leases");
    }
    match node.store.expire_leases(Timestamp::now()).await {
        Ok(0) => {}
        Ok(expired) => tracing::warn!(deliveries = expired, "took over deliveries whose lease had ended"),
        Err(error) => tracing::warn!(%error, "failed to look for leases that ended"),
    }
}

fn resolver(config: &Config) -> anyhow::Result<Resolver> {
    Resolver::new(&config.dns.servers, *config.dns.timeout).map_err(anyhow::Error::msg)
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn until_told_to_stop<S: Store>(
    node: &Arc<Node<S>>,
    path: &Path,
    folder: &Path,
    settings: &watch::Sender<Settings>,
) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stopped = &mut stop => return stopped,
            _ = hang_up.recv() => reload(node, path, folder, settings),
        }
    }
}

/// Takes a new configuration over as a whole, or not at all.
fn reload<S: Store>(node: &Arc<Node<S>>, path: &Path, folder: &Path, settings: &watch::Sender<Settings>) {
    match try_reload(node, path, folder, settings) {
        Ok(restart_needed) if restart_needed.is_empty() => tracing::info!("configuration reloaded"),
        Ok(restart_needed) => tracing::warn!(
            keys = restart_needed.join(", "),
            "configuration reloaded, but these keys take effect only after a restart"
        ),
        Err(error) => tracing::error!("configuration not reloaded, the old one stays in force: {error:#}"),
    }
}

fn try_reload<S: Store>(
    node: &Arc<Node<S>>,
    path: &Path,
    folder: &Path,
    settings: &watch::Sender<Settings>,
) -> anyhow::Result<Vec<&'static str>> {
    let config = Config::load(path)?;
    let new_settings = settings::settings(&config, folder)?;
    let new_resolver = resolver(&config)?;
    let restart_needed = node.config.load().restart_needed(&config);
    node.routes.store(Arc::new(routes(&config)));
    node.resolver.store(Arc::new(new_resolver));
    node.outbound.configure(node, &config);
    node.config.store(Arc::new(config));
    settings.send_replace(new_settings);
    Ok(restart_needed)
}
