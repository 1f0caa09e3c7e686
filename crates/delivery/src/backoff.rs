//! How long a connector is paused after all its destinations failed.

use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackOffPolicy {
    pub first: Duration,
    pub max: Duration,
}

impl BackOffPolicy {
    /// The pause after a number of failures in a row (from 1). It doubles up to the maximum. `jitter` (0 to 1) shortens
    /// it by up to a tenth, so that the nodes of a fleet do not connect at the same time.
    pub fn delay(&self, consecutive_failures: u32, jitter: f64) -> Duration {
        let doublings = consecutive_failures.saturating_sub(1).min(20);
        let delay = self.first.saturating_mul(1 << doublings).min(self.max);
        delay.mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_maximum() {
        let policy = BackOffPolicy { first: Duration::from_secs(15), max: Duration::from_secs(300) };
        for (failures, seconds) in [(0, 15), (1, 15), (2, 30), (3, 60), (5, 240), (6, 300), (u32::MAX, 300)] {
            assert_eq!(policy.delay(failures, 0.0).as_secs(), seconds, "{failures}");
        }
        assert_eq!(policy.delay(6, 1.0).as_secs(), 270);
    }
}
