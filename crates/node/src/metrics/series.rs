//! Counters, alone or by labels. Counting takes no lock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Labels of a counter.
pub(crate) trait Labels: Clone + PartialEq {
    /// The labels under which these are counted once there are too many. There must be few of them.
    fn rest(&self) -> Self;
}

/// Counters by labels. The maximum keeps a destination, which chooses some labels, from filling the memory of this
/// node and of the programs that read its metrics.
#[derive(Debug)]
pub(crate) struct Series<L> {
    max: usize,
    known: ArcSwap<Vec<(L, Arc<Counter>)>>,
}

impl<L: Labels> Series<L> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: ArcSwap::default() }
    }

    /// Counts one under the labels that match. `make` returns them; it is called only the first time.
    pub(crate) fn count(&self, matches: impl Fn(&L) -> bool, make: impl FnOnce() -> L) {
        if let Some((_, counter)) = self.known.load().iter().find(|(labels, _)| matches(labels)) {
            return counter.add(1);
        }
        let new = make();
        let is_full = |known: &[(L, Arc<Counter>)]| known.len() >= self.max;
        let labels = if is_full(&self.known.load()) { new.rest() } else { new };
        let counter = Arc::<Counter>::default();
        // Another thread may have added the same labels meanwhile.
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|(known, _)| *known == labels) {
                known.push((labels.clone(), Arc::clone(&counter)));
            }
            known
        });
        if let Some((_, counter)) = self.known.load().iter().find(|(known, _)| *known == labels) {
            counter.add(1);
        }
    }

    pub(crate) fn read(&self) -> Vec<(L, u64)> {
        self.known.load().iter().map(|(labels, counter)| (labels.clone(), counter.read())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Labels for u32 {
        fn rest(&self) -> Self {
            u32::MAX
        }
    }

    #[test]
    fn labels_beyond_the_maximum_are_counted_together() {
        let series = Series::new(2);
        for labels in [1, 2, 1, 3, 4, 3, 2] {
            series.count(|known| *known == labels, || labels);
        }
        assert_eq!(series.read(), [(1, 2), (2, 2), (u32::MAX, 3)]);
    }

    #[test]
    fn nothing_is_lost_while_threads_count_at_once() {
        let series = Series::new(50);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..10_000).for_each(|count| series.count(|known| *known == count % 40, || count % 40));
                });
            }
        });
        assert_eq!(series.read().len(), 40);
        assert!(series.read().iter().all(|(_, count)| *count == 1000), "{:?}", series.read());
    }
}
