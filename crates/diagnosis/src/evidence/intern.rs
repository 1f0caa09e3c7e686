//! Texts and facts that many attempts share, kept once.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

use crate::tables::HashMap;

/// Values by number, from 1. 0 stands for "not observed".
#[derive(Debug)]
pub(crate) struct Interner<T> {
    /// By hash.
    numbers: HashMap<u64, u32>,
    values: Vec<T>,
    hasher: RandomState,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), values: Vec::new(), hasher: RandomState::default() }
    }
}

impl<T> Interner<T> {
    /// The number of what `key` stands for; `make` is asked where it is new.
    ///
    /// Keys are told apart by 64 bits of a keyed hash: among millions of values a mistake is as good as impossible.
    pub(crate) fn number<K: Hash + ?Sized>(&mut self, key: &K, make: impl FnOnce() -> T) -> u32 {
        let hash = self.hasher.hash_one(key);
        *self.numbers.entry(hash).or_insert_with(|| {
            self.values.push(make());
            u32::try_from(self.values.len()).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.values.get((number as usize).checked_sub(1)?)
    }
}
