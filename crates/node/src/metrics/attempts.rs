//! What became of the attempts of one connector.

use std::{sync::Arc, time::Duration};

use protocol::smtp::Failure;
use store::{Counted, Durations, Outcome};
use trace::Attempt;

use super::{
    causes::{Failed, FailedAs, Failures},
    series::{Counter, Labels, Series},
};

/// Of one connector. A test of the console counts what all metrics come to.
const FAILED_AS_MAX: usize = 50;
const TLS_MAX: usize = 25;

const DURATIONS_S: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];

const DELIVERED: &str = "delivered";
const DEFERRED: &str = "deferred";
const BOUNCED: &str = "bounced";
/// The attempt went on with the next host.
const HOST_FAILED: &str = "host-failed";

/// The TLS of attempts, as metrics name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsAs {
    pub policy: String,
    /// `none`: no TLS was agreed on.
    pub version: String,
    pub cipher: String,
    pub outcome: &'static str,
}

const NONE: &str = "none";
const OTHER: &str = "other";

impl Labels for TlsAs {
    fn rest(&self) -> Self {
        let other = || OTHER.to_owned();
        Self { policy: other(), version: other(), cipher: other(), outcome: self.outcome }
    }
}

#[derive(Debug)]
pub(crate) struct AttemptCounts {
    durations: Durations,
    delivered: Counter,
    failed: Arc<Series<FailedAs>>,
    tls: Series<TlsAs>,
}

/// The same at one moment.
#[derive(Clone, Debug)]
pub struct AttemptFigures {
    pub durations: Counted,
    pub delivered: u64,
    pub failed: Vec<(FailedAs, u64)>,
    pub tls: Vec<(TlsAs, u64)>,
}

impl Default for AttemptCounts {
    fn default() -> Self {
        Self {
            durations: Durations::new(&DURATIONS_S),
            delivered: Counter::default(),
            failed: Arc::new(Series::new(FAILED_AS_MAX)),
            tls: Series::new(TLS_MAX),
        }
    }
}

impl AttemptCounts {
    /// One connection's part in an attempt, whatever the number of recipients.
    pub(crate) fn note_duration(&self, attempt: &Attempt) {
        self.durations.note(Duration::from_millis(attempt.duration_ms));
    }

    /// What became of one delivery.
    pub(super) fn note(&self, attempt: &Attempt, outcome: &Outcome, failures: &Failures) {
        match outcome {
            Outcome::Delivered { .. } => {
                self.delivered.add(1);
                self.note_tls(attempt, DELIVERED);
            }
            Outcome::Deferred { failure, .. } => self.note_failure(attempt, failure, DEFERRED, failures),
            Outcome::Failed { failure, .. } => self.note_failure(attempt, failure, BOUNCED, failures),
            // No attempt was made.
            Outcome::Returned { .. } | Outcome::Postponed { .. } => {}
        }
    }

    pub(super) fn note_host_failed(&self, attempt: &Attempt, failure: &Failure, failures: &Failures) {
        self.note_failure(attempt, failure, HOST_FAILED, failures);
    }

    fn note_failure(&self, attempt: &Attempt, failure: &Failure, outcome: &'static str, failures: &Failures) {
        self.note_tls(attempt, outcome);
        failures.count(Failed {
            series: Arc::clone(&self.failed),
            outcome,
            failure: failure.clone(),
            handshake: attempt.handshake.clone(),
            is_encrypted: attempt.tls.is_some(),
        });
    }

    fn note_tls(&self, attempt: &Attempt, outcome: &'static str) {
        let agreed = attempt.tls.as_ref().map(|tls| (tls.version.as_str(), tls.cipher.as_str()));
        let (version, cipher) = agreed.unwrap_or((NONE, NONE));
        let policy = attempt.tls_policy.as_str();
        self.tls.count(
            |known| {
                known.outcome == outcome && known.version == version && known.cipher == cipher && known.policy == policy
            },
            || TlsAs { policy: policy.to_owned(), version: version.to_owned(), cipher: cipher.to_owned(), outcome },
        );
    }

    pub(super) fn read(&self) -> AttemptFigures {
        AttemptFigures {
            durations: self.durations.read(),
            delivered: self.delivered.read(),
            failed: self.failed.read(),
            tls: self.tls.read(),
        }
    }
}
