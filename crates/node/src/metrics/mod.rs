//! What a node counts of its own work, for monitoring, and what it shows of the fleet.
//!
//! ```text
//!   inbound, attempts, webhook, logs ──count──> Metrics ──┐
//!   store: times, size; queue, incidents, plan ───────────┴──figures──> console
//! ```
//!
//! Invariants: counting takes no lock and never fails. No label has an address or the host of a destination, and each
//! metric has a bounded number of series.

mod attempts;
mod causes;
mod certificates;
mod fleet;
mod series;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use protocol::smtp::Failure;
use store::{Counted, Outcome};
use trace::Attempt;

use crate::Node;
use attempts::AttemptCounts;
pub use attempts::{AttemptFigures, TlsAs};
pub use causes::FailedAs;
use causes::Failures;
pub use certificates::Expiry;
pub(crate) use certificates::expiries;
pub use fleet::{FleetFigures, QueueFigures, REASONS};
pub(crate) use series::Counter;

/// The counters of a node, since its start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) accepted_bytes: Counter,
    /// Messages whose transfer began and that were not accepted.
    pub(crate) refused: Counter,
    pub(crate) calls: CallCounts,
    /// By connector; those that a reload has removed stay.
    attempts: ArcSwap<BTreeMap<String, Arc<AttemptCounts>>>,
    failures: Failures,
    fleet: fleet::LastRead,
}

/// Calls of the webhook.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    pub(crate) worked: Counter,
    pub(crate) failed: Counter,
    /// Failed, and were not made again.
    pub(crate) given_up: Counter,
}

/// All figures at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    pub node: String,
    pub version: &'static str,
    pub is_ready: bool,
    pub accepted: u64,
    pub accepted_bytes: u64,
    pub refused: u64,
    pub sessions_open: u64,
    /// By connector.
    pub attempts: BTreeMap<String, AttemptFigures>,
    /// By connector.
    pub connections_open: BTreeMap<String, u32>,
    pub commits: Counted,
    pub searches: Counted,
    /// `None`: the store is on a server.
    pub store_bytes: Option<u64>,
    /// Worked, failed, given up.
    pub calls: [(&'static str, u64); 3],
    pub lost_rows: u64,
    pub certificates: Arc<Vec<Expiry>>,
    /// `None`: the store does not answer in time.
    pub fleet: Option<FleetFigures>,
}

impl Metrics {
    /// The counters of a connector's attempts.
    fn of(&self, connector: &str) -> Arc<AttemptCounts> {
        if let Some(counts) = self.attempts.load().get(connector) {
            return Arc::clone(counts);
        }
        let new = Arc::<AttemptCounts>::default();
        self.attempts.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            known.entry(connector.to_owned()).or_insert_with(|| Arc::clone(&new));
            known
        });
        self.attempts.load().get(connector).map_or(new, Arc::clone)
    }

    /// One attempt of a job: what became of each of its deliveries, and the hosts that failed before.
    pub(crate) fn note_attempt<'a>(
        &self,
        attempt: &Attempt,
        outcomes: impl Iterator<Item = &'a Outcome>,
        failed_hosts: &[(Attempt, Failure)],
    ) {
        let counts = self.of(&attempt.connector);
        counts.note_duration(attempt);
        outcomes.for_each(|outcome| counts.note(attempt, outcome, &self.failures));
        for (attempt, failure) in failed_hosts {
            counts.note_host_failed(attempt, failure, &self.failures);
        }
    }
}

/// Names the causes of failed attempts, beside the mail.
pub(crate) async fn name_causes_always(node: Arc<Node>) {
    node.metrics.failures.name_causes_always().await;
}

impl Node {
    /// `None`: the store does not answer in time.
    pub async fn fleet_figures(self: &Arc<Self>) -> Option<FleetFigures> {
        fleet::figures(self).await
    }

    pub async fn figures(self: &Arc<Self>) -> Figures {
        let fleet = self.fleet_figures().await;
        let (metrics, config, times) = (&self.metrics, self.config.load(), self.store.times());
        // A counter that begins with 0 shows its first step.
        config.connector_names().for_each(|connector| drop(metrics.of(connector)));
        let attempts = metrics.attempts.load();
        let CallCounts { worked, failed, given_up } = &metrics.calls;
        Figures {
            node: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            is_ready: self.not_ready().is_none(),
            accepted: metrics.accepted.read(),
            accepted_bytes: metrics.accepted_bytes.read(),
            refused: metrics.refused.read(),
            sessions_open: self.sessions.get().map_or(0, |sessions| sessions.count() as u64),
            attempts: attempts.iter().map(|(connector, counts)| (connector.clone(), counts.read())).collect(),
            connections_open: self.outbound.connections(),
            commits: times.commits.read(),
            searches: times.searches.read(),
            store_bytes: self.store.bytes(),
            calls: [("worked", worked.read()), ("failed", failed.read()), ("given-up", given_up.read())],
            lost_rows: self.protocol_logs.lost_rows(),
            certificates: self.certificates.load_full(),
            fleet,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;
    use protocol::smtp::{FailureKind, Phase, Reply, TlsSummary};

    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            connector: "onprem".to_owned(),
            destination: None,
            local: None,
            tls_policy: "modern".to_owned(),
            plan_version: None,
            tls: Some(TlsSummary { version: "TLSv1.3".to_owned(), cipher: "TLS_AES_256_GCM_SHA384".to_owned() }),
            handshake: None,
            phases: Vec::new(),
            plaintext_because: None,
            session: String::new(),
            duration_ms: 12,
        }
    }

    fn delivered() -> Outcome {
        Outcome::Delivered { reply: Reply::new(250, None, "ok"), at: Timestamp::UNIX_EPOCH }
    }

    fn deferred(kind: FailureKind) -> Outcome {
        let failure = Failure::new(Phase::Connect, kind);
        Outcome::Deferred { failure, due_in: Duration::ZERO, review_in: Duration::ZERO, delay_notified: false }
    }

    #[tokio::test]
    async fn attempts_are_counted_by_what_became_of_them() {
        let metrics = Metrics::default();
        let outcomes = [delivered(), deferred(FailureKind::ConnectionRefused), delivered()];
        let host_failed = (attempt(), Failure::new(Phase::Connect, FailureKind::TimedOut { after_s: 30 }));
        metrics.note_attempt(&attempt(), outcomes.iter(), &[host_failed]);
        let _ = tokio::time::timeout(Duration::from_millis(100), metrics.failures.name_causes_always()).await;
        let figures = metrics.of("onprem").read();
        assert_eq!((figures.delivered, figures.durations.count()), (2, 1));
        let failed = |outcome, cause| (FailedAs { outcome, phase: "connect", cause }, 1);
        assert_eq!(
            figures.failed,
            [failed("deferred", "connection-refused"), failed("host-failed", "connection-timed-out")]
        );
        let tls: Vec<_> = figures.tls.iter().map(|(tls, count)| (tls.version.as_str(), tls.outcome, *count)).collect();
        assert_eq!(tls, [("TLSv1.3", "delivered", 2), ("TLSv1.3", "deferred", 1), ("TLSv1.3", "host-failed", 1)]);
    }

    /// Nobody reads the channel, as if the task had ended.
    #[test]
    fn no_failure_is_lost_while_causes_are_not_named() {
        let metrics = Metrics::default();
        let outcome = deferred(FailureKind::ConnectionRefused);
        (0..1500).for_each(|_| metrics.note_attempt(&attempt(), [&outcome].into_iter(), &[]));
        let failed = metrics.of("onprem").read().failed;
        assert_eq!(failed, [(FailedAs { outcome: "deferred", phase: "connect", cause: "unknown" }, 500)]);
    }

    /// A message costs about half a millisecond of processor time.
    #[test]
    fn counting_costs_little() {
        let metrics = Metrics::default();
        let (attempt, outcome, began) = (attempt(), delivered(), Instant::now());
        const COUNT: u32 = 100_000;
        (0..COUNT).for_each(|_| metrics.note_attempt(&attempt, [&outcome].into_iter(), &[]));
        let each = began.elapsed() / COUNT;
        println!("one attempt is counted in {each:?}");
        assert!(each < Duration::from_micros(10), "{each:?}");
    }
}
