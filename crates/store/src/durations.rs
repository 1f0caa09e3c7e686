//! How long things took, counted by range for monitoring. Counting takes no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Counts of durations, one for each range.
#[derive(Debug)]
pub struct Durations {
    /// Upper ends of the ranges in seconds, ascending. A last range without an end follows.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

/// What [`Durations`] has counted until now.
#[derive(Clone, PartialEq, Debug)]
pub struct Counted {
    /// The upper end of each range in seconds with its count. The last end is infinite.
    pub ranges: Vec<(f64, u64)>,
    pub sum_s: f64,
}

impl Durations {
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    pub fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let range = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[range].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counted {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Counted {
            ranges: bounds.zip(counts).collect(),
            sum_s: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

impl Counted {
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }
}

/// What a store measures of itself.
#[derive(Debug)]
pub struct StoreTimes {
    /// Transactions of mail, each with all that was waiting for it, until they were durable or had failed.
    pub commits: Durations,
    /// Searches of the history.
    pub searches: Durations,
}

impl Default for StoreTimes {
    fn default() -> Self {
        Self {
            commits: Durations::new(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0]),
            searches: Durations::new(&[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_upper_end() {
        let durations = Durations::new(&[0.5, 1.0]);
        for milliseconds in [0, 500, 501, 1000, 1001, 90_000] {
            durations.note(Duration::from_millis(milliseconds));
        }
        let counted = durations.read();
        assert_eq!(counted.ranges, [(0.5, 2), (1.0, 2), (f64::INFINITY, 2)]);
        assert_eq!((counted.count(), counted.sum_s), (6, 93.002));
    }
}
