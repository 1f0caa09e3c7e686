//! What occurs how often.

use crate::tables::HashMap;

use std::{cmp::Reverse, hash::Hash};

/// Each with its number, the most frequent first; of equally frequent ones, the smallest.
pub(super) fn by_frequency<K: Copy + Hash + Ord>(all: impl Iterator<Item = K>) -> Vec<(K, u64)> {
    let mut counts: HashMap<K, u64> = HashMap::default();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let mut counts: Vec<(K, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(one, count)| (Reverse(*count), *one));
    counts
}
