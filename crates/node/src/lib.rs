//! A node: accepts mail, stores it and delivers it, until it is told to stop.
//!
//! ```text
//!   inbound ──> store.accept ──> outbound ──> store.settle
//!       review, lease renewal, reports, the watch over the queue, the rollout's self-defence and answers to operators'
//!       inquiries beside them
//! ```

pub mod apply;
mod bodies;
mod clock;
pub mod config;
mod connectors;
mod content_memory;
mod defence;
mod destinations;
pub mod fleet;
mod following;
mod forecast;
mod header;
mod history;
mod impact;
mod inbound;
pub mod inquiry;
pub mod jobs;
pub mod metrics;
mod notices;
#[cfg(test)]
mod on_server;
mod open;
mod outbound;
pub mod policy;
mod preference;
pub mod prober;
pub mod protocol_log;
pub mod question;
mod readiness;
mod review;
mod running;
mod serve;
mod settings;
mod start;
pub mod validation;
mod watch;

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use delivery::{backoff::BackOffPolicy, route::Routes, schedule::Schedule};
use net::{resolve::Resolver, serve::OpenSessions, tls::TlsContext, webhook::Webhook};
use protocol::smtp::Address;
use store::{
    Backend, ChangeLog as _, Fleet as _, MEMBER_VALID, Member, NewChange, NodeState, Queue as _, StoreError, StoredPlan,
};
use trace::NextStep;

use crate::{
    config::{Config, File, INTERNET},
    destinations::Destinations,
    fleet::Rollout,
    forecast::Forecasts,
    jobs::Jobs,
    metrics::{Expiry, Metrics},
    protocol_log::ProtocolLogs,
    start::Followed,
};
use outbound::{Heard, LeaseTime, Outbound, Term};

pub use connectors::connectors;
pub use forecast::{FORECAST_DAYS, Forecast};
pub use impact::impact;
pub use open::{attach, open, refuse_folder, refuses_to_serve, server};
pub use outbound::addresses;
pub use policy::Under;
pub use readiness::NotReady;
pub use running::{Console, MakeAcceptor, Running};
pub use serve::serve;
pub use start::{Start, fleet_config, in_force};

/// Interval of a node's reports. A node that has not reported for 30 s counts as stopped.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);
/// A node follows a new rollout plan within this time.
const PLAN_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the check for deliveries that are due for a delay notice or have expired.
const REVIEW_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which notices to senders are created.
const NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// What all parts of a node share.
pub struct Node {
    pub name: String,
    /// This node in the store.
    pub member: Member,
    /// The host name in the greeting, Received fields and notices.
    pub(crate) hostname: String,
    pub store: Backend,
    pub config: ArcSwap<Config>,
    /// The file that the node was started with, as it was read last; `None` if the settings come from elsewhere.
    file: ArcSwapOption<File>,
    followed: ArcSwap<Followed>,
    pub(crate) outbound: Outbound,
    /// Replaced as a whole at a reload.
    pub(crate) tls: ArcSwap<TlsContext>,
    pub(crate) protocol_logs: ProtocolLogs,
    /// The receiver of incidents.
    webhook: ArcSwapOption<Webhook>,
    pub(crate) tasks: Tasks,
    heard: Heard,
    /// Until when the last report that reached the store lets the node count as alive; `None` before the first.
    alive_until: ArcSwapOption<Term>,
    /// The last report has failed.
    store_away: AtomicBool,
    /// Why the store does not count it as a member.
    disowned: ArcSwapOption<StoreError>,
    /// An operator has drained it.
    drained: AtomicBool,
    /// What was waiting in a restored store is held.
    holds_restored: AtomicBool,
    /// The addresses that it listens on, with the ports that the system chose.
    pub addresses: Vec<SocketAddr>,
    /// Bytes of message content that sessions hold in memory.
    content_memory: Arc<AtomicUsize>,
    /// The rollout that this node follows, as it is stored and as it was read.
    plan: ArcSwapOption<(StoredPlan, Rollout)>,
    /// A plan that this node cannot follow.
    plan_refused: ArcSwapOption<StoredPlan>,
    routes: ArcSwap<Routes>,
    resolver: ArcSwap<Resolver>,
    pub(crate) metrics: Metrics,
    /// Of clients; set before the node listens.
    sessions: OnceLock<OpenSessions>,
    certificates: ArcSwap<Vec<Expiry>>,
    random: RandomState,
    destinations: Destinations,
    pub jobs: Jobs,
    forecasts: Forecasts,
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

impl Node {
    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::clone(&self.resolver.load())
    }

    /// The connector for an address. Notices to senders outside the accepted domains have their own connector.
    pub fn connector_for(&self, address: &Address) -> String {
        if let Some(connector) = self.routes.load().connector_for(&address.domain_key()) {
            return connector.to_owned();
        }
        self.config.load().notices.connector.clone().unwrap_or_else(|| INTERNET.to_owned())
    }

    pub fn schedule(&self) -> Schedule {
        self.config.load().retry.as_schedule()
    }

    pub fn back_off_policy(&self) -> BackOffPolicy {
        let config = self.config.load();
        BackOffPolicy { first: *config.retry.back_off_first, max: *config.retry.back_off_max }
    }

    /// For spreading load only. It is not secure.
    pub fn random_u32(&self) -> u32 {
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        self.random.hash_one(COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) as u32
    }

    /// From 0 to 1.
    pub fn random(&self) -> f64 {
        f64::from(self.random_u32()) / f64::from(u32::MAX)
    }

    /// Of leases that are taken now.
    fn term(&self) -> Term {
        self.heard.until()
    }

    /// A change that cannot be recorded is in the log at least.
    pub(crate) async fn record(&self, change: NewChange) {
        let what = change.kind.to_string();
        if let Err(error) = self.store.record_change(change).await {
            tracing::warn!(%error, change = what, "failed to record a change");
        }
    }

    /// The same while nothing waits for it.
    pub(crate) fn record_beside(self: &Arc<Self>, change: NewChange) {
        let node = Arc::clone(self);
        self.tasks.spawn(async move { node.record(change).await });
    }

    async fn report(&self) {
        let connectors = self.outbound.reports();
        let (plan_version, plan_at) = self.plan.load().as_ref().map(|plan| (plan.0.version, plan.0.at)).unzip();
        let state = NodeState {
            connectors,
            plan_version,
            plan_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: self.addresses.clone(),
            is_drained: self.is_drained(),
            held: self.outbound.held().count() as u64,
            configuration: self.followed.load().report(),
        };
        let until = Term::from_now(MEMBER_VALID);
        let reported = self.store.report(&self.member, state).await;
        self.heard_from_store(reported.as_ref().err());
        match reported {
            Ok(is_drained) => {
                if self.store_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the store answers again");
                }
                self.alive_until.store(Some(Arc::new(until)));
                self.set_drained(is_drained);
                self.tell_of_restore();
            }
            // It was logged once.
            Err(error) if error.disowns() => {}
            Err(error) => {
                self.store_away.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "failed to report this node's state; trying again");
            }
        }
    }

    /// True if it takes no mail, and begins no delivery that it does not hold already.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    fn tell_of_restore(&self) {
        let holds = self.store.holds_restored();
        if self.holds_restored.swap(holds, Ordering::Relaxed) == holds {
            return;
        }
        if holds {
            tracing::warn!(
                "the store was restored from a backup: what was waiting in it is held until an operator answers: {}",
                NextStep::StoreRestored
            );
        } else {
            tracing::info!("an operator has said what is to become of restored mail");
            self.outbound.wake_all();
        }
    }

    fn set_drained(&self, is_drained: bool) {
        if self.drained.swap(is_drained, Ordering::Relaxed) == is_drained {
            return;
        }
        if is_drained {
            tracing::warn!("drained by an operator: taking no mail, and finishing what this node holds");
        } else {
            tracing::info!("resumed by an operator: taking mail again");
            self.outbound.wake_all();
        }
    }
}

fn routes(config: &Config) -> Routes {
    Routes::new(config.accepted_domains.iter().map(|domain| (domain.name.clone(), domain.connector.clone())))
}

/// Renews leases, ends those of silent nodes, reports, asks for shares, and follows plans. None of them waits for another.
async fn background(node: Arc<Node>) {
    let renew = async {
        let mut tick = tokio::time::interval(LeaseTime::on(&node.store).renewed_every);
        loop {
            tick.tick().await;
            renew_leases(&node).await;
        }
    };
    let report = async {
        let (mut tick, mut clock) = (tokio::time::interval(REPORT_INTERVAL), clock::Watch::start());
        loop {
            tick.tick().await;
            clock.look(&node).await;
            node.report().await;
        }
    };
    let follow = async {
        let mut tick = tokio::time::interval(PLAN_INTERVAL);
        loop {
            tick.tick().await;
            if let Err(error) = node.follow_plan().await {
                tracing::warn!(%error, "failed to read the rollout plan; keeping the current one");
            }
            preference::update(&node).await;
        }
    };
    tokio::join!(renew, report, follow, outbound::share_always(Arc::clone(&node)));
}

/// Reviews deliveries that were not attempted.
async fn review_always(node: Arc<Node>) {
    let mut tick = tokio::time::interval(REVIEW_INTERVAL);
    loop {
        tick.tick().await;
        review::run(&node).await;
    }
}

/// Sends the notices that senders are owed.
async fn notify_always(node: Arc<Node>) {
    let mut tick = tokio::time::interval(NOTICE_INTERVAL);
    loop {
        tick.tick().await;
        notices::run(&node).await;
    }
}

async fn renew_leases(node: &Arc<Node>) {
    let (held, term) = (node.outbound.held().all(), Term::from_now(LeaseTime::on(&node.store).term));
    let was_heard = node.term().is_valid();
    let renewed = node.store.renew(&node.member, held.clone()).await;
    node.heard_from_store(renewed.as_ref().err());
    match renewed {
        Ok(lost) => {
            node.heard.again(term);
            let lost = node.outbound.held().renewed(&held, &lost, term);
            if lost > 0 {
                tracing::warn!(deliveries = lost, "lost leases; other nodes deliver these messages now");
            }
        }
        Err(StoreError::NotAMember { .. }) => {
            node.heard.end();
            node.outbound.held().lose_all();
        }
        // The store that has its leases may be put back before they end.
        Err(error) if error.disowns() => {}
        Err(error) => tracing::warn!(%error, "failed to renew leases; trying again"),
    }
    // Where the store was away, all nodes were silent: they are heard before one of them judges.
    if !was_heard {
        return;
    }
    match node.store.expire_leases().await {
        Ok(0) => {}
        Ok(expired) => {
            tracing::warn!(deliveries = expired, "returned deliveries to the queue because their leases had ended")
        }
        Err(error) => tracing::warn!(%error, "failed to check for leases that have ended; trying again"),
    }
}
