//! When a delivery is tried again, when its sender gets a delay notice, and when it expires.

use std::time::Duration;

use jiff::Timestamp;

/// The retry schedule of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Waits after the first attempt, the second, and so on. The last wait repeats. At least one.
    pub intervals: Vec<Duration>,
    /// Maximum age of a delivery in the queue.
    pub expire: Duration,
    /// When the sender gets a delay notice. `None`: never.
    pub delay_notice: Option<Duration>,
}

/// A wait varies by up to this share in both directions, so that deferred mail is not all due at once.
const JITTER: f64 = 0.1;

impl Schedule {
    /// When to try again after `attempts` attempts (at least one). `jitter` is from 0 to 1.
    pub fn next_due(&self, attempts: u32, now: Timestamp, jitter: f64) -> Timestamp {
        let index = (attempts.max(1) as usize - 1).min(self.intervals.len().saturating_sub(1));
        let interval = self.intervals.get(index).copied().unwrap_or(Duration::from_secs(900));
        let factor = 1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0);
        let jittered = Duration::try_from_secs_f64(interval.as_secs_f64() * factor).unwrap_or(interval);
        later(now, jittered)
    }

    pub fn expires_at(&self, received: Timestamp) -> Timestamp {
        later(received, self.expire)
    }

    /// When a new delivery must be reviewed, even without an attempt: at the delay notice or at expiry, whichever is
    /// first.
    pub fn first_review(&self, received: Timestamp) -> Timestamp {
        self.next_review(received, false)
    }

    /// The same for a delivery whose delay notice may have been sent.
    pub fn next_review(&self, received: Timestamp, delay_notified: bool) -> Timestamp {
        let expires = self.expires_at(received);
        match self.delay_notice {
            Some(delay) if !delay_notified => later(received, delay).min(expires),
            Some(_) | None => expires,
        }
    }

    pub(crate) fn delay_notice_at(&self, received: Timestamp) -> Option<Timestamp> {
        self.delay_notice.map(|delay| later(received, delay))
    }
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_interval_repeats_with_jitter() {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        let schedule = Schedule { intervals: vec![minutes(5), minutes(15)], expire: minutes(1440), delay_notice: None };
        let now = Timestamp::UNIX_EPOCH;
        for (attempts, jitter, seconds) in
            [(1, 0.5, 300), (2, 0.5, 900), (3, 0.5, 900), (99, 0.0, 810), (99, 1.0, 990), (0, 0.5, 300)]
        {
            assert_eq!(schedule.next_due(attempts, now, jitter).as_second(), seconds, "{attempts} {jitter}");
        }
    }

    #[test]
    fn reviews_come_for_the_notice_and_then_for_the_end() {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        let with = |delay_notice| Schedule { intervals: vec![hours(1)], expire: hours(24), delay_notice };
        let received = Timestamp::UNIX_EPOCH;
        assert_eq!(with(Some(hours(4))).first_review(received).as_second(), 4 * 3600);
        assert_eq!(with(Some(hours(4))).next_review(received, true).as_second(), 24 * 3600);
        assert_eq!(with(Some(hours(99))).first_review(received).as_second(), 24 * 3600);
        assert_eq!(with(None).first_review(received).as_second(), 24 * 3600);
    }
}
