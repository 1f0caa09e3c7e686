//! Attempts in full, for those who want to look at some of them. Of each way of failing the newest are kept, and of those
//! that worked: a million attempts leave no more behind than a few thousand.

use std::collections::HashMap;

use super::{
    attempt::Attempt,
    source::{Place, Source},
};

/// Ways of failing of which attempts are kept: foreign text must not fill the memory.
const WAYS_MAX: usize = 1000;

/// The newest attempts by group and symptom.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Of each; 0: none are wanted.
    limit: usize,
    attempts: HashMap<(u32, u32), Vec<Attempt<'static>>>,
}

impl Newest {
    pub(crate) fn of_each(limit: usize) -> Self {
        Self { limit, attempts: HashMap::new() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn add(
        &mut self,
        group: u32,
        symptom: u32,
        attempt: &Attempt<'_>,
        places: impl Fn() -> Vec<(Source, Place)>,
    ) {
        let is_full = self.attempts.len() >= WAYS_MAX && !self.attempts.contains_key(&(group, symptom));
        if self.limit == 0 || is_full {
            return;
        }
        let attempts = self.attempts.entry((group, symptom)).or_default();
        if attempts.len() < self.limit {
            attempts.push(attempt.kept(places()));
            return;
        }
        if let Some(oldest) = attempts.iter_mut().min_by_key(|kept| kept.at)
            && oldest.at < attempt.at
        {
            *oldest = attempt.kept(places());
        }
    }

    pub(crate) fn of(&self, group: u32, symptom: u32) -> &[Attempt<'static>] {
        self.attempts.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }
}
