//! The fleet's store: a PostgreSQL server that many nodes share.
//!
//! ```text
//!   accept  ──> all that wait in one statement ───────────> writers (2)     writer.rs, accept.rs
//!   settle  ──> all that wait in two round trips ─────────> writers         writer.rs, settle.rs
//!   claim   ──> skips what others have locked ────────────> leases (1)      claim.rs
//!   renewals, reports: what keeps this node alive ────────> leases          lease.rs, member.rs
//!   commands, notices, incidents, retention ──────────────> clerk (1)
//!   lists, counts, bodies ────────────────────────────────> readers (2)        outside.rs: bodies elsewhere
//!   traces, events, one pass over the queue ──────────────> searchers (2)   search.rs
//! ```
//!
//! Each node has these connections and no more. The queue is small and the history append-only (schema_1.sql). Time is
//! the server's; keys are the node's own (keys.rs). What is lost with a connection is asked for by another one (lane.rs).

mod accept;
mod access;
mod bodies;
mod change_log;
mod changes;
mod claim;
mod command;
mod configuration;
mod error;
mod events;
mod finish;
mod fleet;
mod health;
mod history;
mod incidents;
mod inquiry;
mod keys;
mod lane;
mod lease;
mod load;
mod mark;
mod member;
pub(crate) mod migration;
mod notice;
mod outside;
mod owner;
mod partitions;
mod place;
mod queue;
mod restored;
mod row;
mod schema;
mod search;
mod session;
mod settings;
mod settle;
mod shares;
mod tally;
mod tokens;
mod unfit;
mod waiting;
mod withhold;
mod witness;
mod writer;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use claim::Bounds;
pub use health::{BodiesHealth, ServerHealth, Standby, TableHealth};
use keys::Keys;
use lane::{Admit, Lane};
use partitions::Day;
use schema::Use;
use session::{Connector, Newest};
pub use settings::{PostgresSettings, PostgresTls, without_password};
pub use unfit::PostgresError;
pub use witness::WITNESS_FILE;
use witness::Witness;
use writer::{Accept, Settle, Writer};

use crate::{Clock, Result, StoreTimes, fault_log::FaultLog, outside::Outside};

/// The store of a fleet, as a node or a command has it.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    accepts: Writer<Accept>,
    settlements: Writer<Settle>,
    writers: Arc<Lane>,
    leases: Arc<Lane>,
    clerk: Arc<Lane>,
    readers: Arc<Lane>,
    /// On a standby, if there is one for that.
    searchers: Arc<Lane>,
    /// The queue is read where it is up to date.
    queue_searchers: Arc<Lane>,
    /// The place of large bodies, if that is not the database.
    outside: Option<Arc<Outside>>,
    outside_faults: Mutex<FaultLog>,
    /// No bodies are deleted, and the log says so.
    keeps_bodies: AtomicBool,
    /// Of the member that joined last through this store.
    epoch: AtomicI64,
    keys: Keys,
    bounds: Bounds,
    unknown_leases: lease::Unknown,
    witness: Arc<Witness>,
    times: Arc<StoreTimes>,
    /// The last day that was made ahead.
    days_made: AtomicI64,
    /// When that was looked at last.
    days_looked: AtomicI64,
}

/// What mail or an operator waits for is read within this time.
const READ_MAX: Duration = Duration::from_secs(60);
/// What is a command's, or retention's, may take this long; nothing of the mail waits for it.
const LONG: Duration = Duration::from_secs(600);

/// Mail must be on the server's disk, whatever its default is, also after that default changes. A node that has vanished holds
/// no locks for long.
macro_rules! durable {
    ($more:literal) => {
        concat!(
            "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                 ELSE current_setting('synchronous_commit') END, false);
             SET default_transaction_isolation = 'read committed';
             SET idle_in_transaction_session_timeout = '20s'; SET tcp_keepalives_idle = 10;
             SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;",
            $more
        )
    };
}

const DURABLE: &str = durable!("");
/// Plans that do not change with the statistics of tables that fill and empty all day.
const PINNED: &str = durable!(
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_mergejoin = off; SET jit = off;"
);
const CLAIMING: &str = durable!(
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_mergejoin = off;
     SET enable_hashjoin = off; SET enable_bitmapscan = off; SET jit = off;"
);
const SEARCHING: &str = "SET statement_timeout = '2s'; SET jit = off;";
const READING: &str = "SET jit = off;";

impl PostgresStore {
    /// Opens the store of a node, and brings an older schema forward.
    pub async fn open(settings: &PostgresSettings) -> Result<Self> {
        Self::open_by(settings, Clock::system()).await
    }

    /// The same by another clock than the server's, for tests.
    pub async fn open_by(settings: &PostgresSettings, clock: Clock) -> Result<Self> {
        Self::start(settings, clock, Use::Node).await
    }

    /// Opens the store for commands, whether nodes run or not.
    pub async fn attach(settings: &PostgresSettings) -> Result<Self> {
        Self::attach_by(settings, Clock::system()).await
    }

    /// The same by another clock than the server's, for tests.
    pub async fn attach_by(settings: &PostgresSettings, clock: Clock) -> Result<Self> {
        Self::start(settings, clock, Use::Command).await
    }

    async fn start(settings: &PostgresSettings, clock: Clock, how: Use) -> Result<Self> {
        let primary = settings.primary()?;
        let standby = settings.standby()?;
        let newest = Newest::default();
        let first = Connector::to_primary(settings, primary.clone(), DURABLE, &newest)?;
        let witness = Witness::read(settings.witness.clone(), settings.accept_loss);
        schema::prepare(&first, how, &witness).await?;
        let (admit, recognise) = (admit(&witness), recognise(&witness));
        let lane = |setup, connections, admit: Option<&Admit>, read_max| -> Result<Arc<Lane>> {
            let connector = Connector::to_primary(settings, primary.clone(), setup, &newest)?;
            Ok(Lane::new(Arc::new(connector), admit.cloned(), clock.clone(), connections, read_max))
        };
        let queue_searchers = lane(SEARCHING, SEARCHERS, None, LONG)?;
        let searchers = match standby {
            Some(config) => {
                let connector = Connector::to_any(settings, config, SEARCHING)?;
                Lane::new(Arc::new(connector), None, clock.clone(), SEARCHERS, LONG)
            }
            None => Arc::clone(&queue_searchers),
        };
        let writers = lane(PINNED, WRITERS, Some(&admit), READ_MAX)?;
        let clerk = lane(DURABLE, 1, Some(&admit), READ_MAX)?;
        let outside = place::open(&clerk, settings.bodies.as_ref(), settings.accept_loss, how).await?;
        let times = Arc::<StoreTimes>::default();
        let store = Self(Arc::new(Inner {
            accepts: Writer::start(Arc::clone(&writers), Arc::clone(&times)),
            settlements: Writer::start(Arc::clone(&writers), Arc::clone(&times)),
            writers,
            leases: lane(CLAIMING, 1, Some(&admit), READ_MAX)?,
            clerk,
            readers: lane(READING, READERS, Some(&recognise), READ_MAX)?,
            searchers,
            queue_searchers,
            outside: outside.map(Arc::new),
            outside_faults: Mutex::default(),
            keeps_bodies: AtomicBool::new(false),
            epoch: AtomicI64::new(0),
            keys: Keys::new(),
            bounds: Bounds::default(),
            unknown_leases: lease::Unknown::default(),
            witness,
            times,
            days_made: AtomicI64::new(0),
            days_looked: AtomicI64::new(0),
        }));
        if store.0.leases.has_several_hosts() {
            store.look_for_primary_always();
        }
        Ok(store)
    }

    /// With several hosts, another one may have been promoted, and the old primary takes writes still. Nothing else would
    /// notice while commits wait there for a standby that has left it.
    fn look_for_primary_always(&self) {
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_FOR_PRIMARY).await;
                let Some(leases) = inner.upgrade().map(|inner| Arc::clone(&inner.leases)) else { return };
                leases.look_for_primary().await;
            }
        });
    }

    /// Nothing waits for it.
    fn make_days_beside(&self) {
        let (store, now) = (self.clone(), jiff::Timestamp::now().as_millisecond());
        // By this machine's clock, which decides only when to look.
        if self.0.days_looked.swap(now, Ordering::Relaxed) < now - LOOK_INTERVAL {
            tokio::spawn(async move {
                if let Err(error) = store.make_days().await {
                    tracing::warn!(%error, "failed to make the next days of the history; trying again");
                }
            });
        }
    }

    /// Makes the days of the history that are missing, once a day.
    async fn make_days(&self) -> Result<()> {
        let today = self.0.readers.read(|tx| async move { tx.now().await }).await.map(Day::of)?;
        if self.0.days_made.load(Ordering::Relaxed) < today.to {
            self.0.clerk.write(|tx| async move { partitions::make(&tx).await }).await?;
            self.0.days_made.store(today.to, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn times(&self) -> &StoreTimes {
        &self.0.times
    }

    /// Waits for what is under way, and closes the connections.
    pub async fn close(self) {
        self.0.accepts.close().await;
        self.0.settlements.close().await;
        self.0.writers.close(WRITERS as u32).await;
        self.0.leases.close(1).await;
        self.0.clerk.close(1).await;
    }
}

/// What changes the queue looks first whether the server has gone back in time.
fn admit(witness: &Arc<Witness>) -> Admit {
    let witness = Arc::clone(witness);
    Arc::new(move |tx| {
        let witness = Arc::clone(&witness);
        Box::pin(async move { restored::admit(&tx, &witness).await })
    })
}

/// What the node reads decides what it does: settings, plans, whether it is drained.
fn recognise(witness: &Arc<Witness>) -> Admit {
    let witness = Arc::clone(witness);
    Arc::new(move |tx| {
        let witness = Arc::clone(&witness);
        Box::pin(async move { witness.recognise(&tx).await })
    })
}

/// A host that answers later than the first one is given a second more: mail goes on within five.
const LOOK_FOR_PRIMARY: Duration = Duration::from_secs(4);
/// In milliseconds. Days are made a week ahead.
const LOOK_INTERVAL: i64 = 600_000;
const WRITERS: usize = 2;
const READERS: usize = 2;
const SEARCHERS: usize = 2;
