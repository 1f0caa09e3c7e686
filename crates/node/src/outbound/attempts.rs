//! The attempts of one lane that have not ended.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use net::send::Progress;
use store::RunningAttempt;
use tokio::time::Instant;
use trace::Doing;
use uuid::Uuid;

use super::{job::Job, lease::Ticket};

/// Attempts that run longer than this are reported, up to a maximum number.
const REPORTED_AFTER: Duration = Duration::from_secs(1);
const REPORTED_MAX: usize = 100;

#[derive(Default)]
pub(super) struct Attempts {
    /// Keyed by their number.
    running: HashMap<u64, Running>,
    last: u64,
}

struct Running {
    message: Uuid,
    began: Instant,
    progress: Arc<Progress>,
    ticket: Arc<Ticket>,
}

impl Attempts {
    /// Returns the number of the attempt.
    pub(super) fn begin(&mut self, job: &Job, progress: &Arc<Progress>) -> u64 {
        self.last += 1;
        let running = Running {
            message: job.message.network_message_id,
            began: Instant::now(),
            progress: Arc::clone(progress),
            ticket: Arc::clone(&job.ticket),
        };
        self.running.insert(self.last, running);
        self.last
    }

    pub(super) fn ended(&mut self, number: u64) {
        self.running.remove(&number);
    }

    /// Stops those that have not sent their final dot.
    pub(super) fn cut(&self) {
        self.running.values().for_each(|running| running.ticket.shut_down());
    }

    /// Those that have run for a while, the longest first.
    pub(super) fn report(&self) -> Vec<RunningAttempt> {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let mut lasting: Vec<&Running> =
            self.running.values().filter(|running| now.duration_since(running.began) >= REPORTED_AFTER).collect();
        lasting.sort_by_key(|running| running.began);
        let report = |running: &Running| {
            let doing = running.progress.now();
            let since = wall.checked_sub(now.duration_since(doing.since)).unwrap_or(wall);
            let doing = Doing { phase: doing.phase, since, destination: doing.destination };
            RunningAttempt { message: running.message, doing }
        };
        lasting.into_iter().take(REPORTED_MAX).map(report).collect()
    }
}
