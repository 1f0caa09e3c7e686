//! Counts failed attempts by phase and cause.
//!
//! ```text
//!   a worker ──failure──> channel ──> one task: names the cause, counts
//!                 └─ full: counted at once, without a cause
//! ```
//!
//! Mail never waits for a cause, and a fault in naming one does not reach mail.

use std::sync::Arc;

use diagnosis::{CauseId, cause_of};
use protocol::{smtp::Failure, tls::HandshakeFacts};
use tokio::sync::{Mutex, mpsc};

use super::series::{Labels, Series};

/// Failures that wait for their cause.
const WAITING_MAX: usize = 1000;

/// How an attempt failed, as metrics name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailedAs {
    pub outcome: &'static str,
    pub phase: &'static str,
    pub cause: &'static str,
}

/// Instead of phase and cause, once a connector has too many of them.
const OTHER: &str = "other";

impl Labels for FailedAs {
    fn rest(&self) -> Self {
        Self { outcome: self.outcome, phase: OTHER, cause: OTHER }
    }
}

/// A failed attempt that is to be counted.
#[derive(Debug)]
pub(super) struct Failed {
    /// Of its connector.
    pub series: Arc<Series<FailedAs>>,
    pub outcome: &'static str,
    pub failure: Failure,
    pub handshake: Option<Arc<HandshakeFacts>>,
    pub is_encrypted: bool,
}

impl Failed {
    fn count(&self, cause: CauseId) {
        let labels = FailedAs { outcome: self.outcome, phase: self.failure.phase.name(), cause: cause.as_str() };
        self.series.count(|known| *known == labels, || labels);
    }
}

/// Failures on their way to be counted.
#[derive(Debug)]
pub(super) struct Failures {
    sender: mpsc::Sender<Failed>,
    receiver: Mutex<mpsc::Receiver<Failed>>,
}

impl Default for Failures {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Failures {
    pub(super) fn count(&self, failed: Failed) {
        if let Err(error) = self.sender.try_send(failed) {
            error.into_inner().count(CauseId::Unknown);
        }
    }

    pub(super) async fn name_causes_always(&self) {
        let mut receiver = self.receiver.lock().await;
        while let Some(failed) = receiver.recv().await {
            failed.count(cause_of(&failed.failure, failed.handshake.as_deref(), failed.is_encrypted));
        }
    }
}
