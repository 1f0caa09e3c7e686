//! Attempts in full, for those who want to look at some of them. Of each way of failing the newest are kept, and of those
//! that worked, and a few of each policy, node and address: a million attempts leave no more behind than a few thousand.

use super::{
    attempt::Attempt,
    source::{Place, Source},
};
use crate::tables::HashMap;

/// Ways of failing of which attempts are kept: foreign text must not fill the memory.
const WAYS_MAX: usize = 1000;
/// Attempts kept of each way with other values, such as another policy or node: a difference must have attempts on both of
/// its sides, also where those of one side are older.
const VARIANTS_KEPT: usize = 3;

/// Attempts by group and symptom, and of these by what they may differ in.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Of each; 0: none are wanted.
    limit: usize,
    attempts: HashMap<(u32, u32), Kept>,
    variants: usize,
}

/// Of one way of failing, or of those that worked.
#[derive(Debug, Default)]
struct Kept {
    newest: Vec<Attempt<'static>>,
    /// By policy, node, addresses, host, TLS version and cipher suite.
    variants: HashMap<[u32; VARYING], Vec<Attempt<'static>>>,
}

/// The first dimensions are those of the way, not of the message.
const VARYING: usize = 7;

impl Newest {
    pub(crate) fn of_each(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// `values` are those of the record.
    pub(crate) fn add(
        &mut self,
        group: u32,
        symptom: u32,
        values: &[u32],
        attempt: &Attempt<'_>,
        places: impl Fn() -> Vec<(Source, Place)>,
    ) {
        let is_full = self.attempts.len() >= WAYS_MAX && !self.attempts.contains_key(&(group, symptom));
        if self.limit == 0 || is_full {
            return;
        }
        let kept = self.attempts.entry((group, symptom)).or_default();
        keep(&mut kept.newest, self.limit, attempt, &places);
        let Some(variant) = values.first_chunk::<VARYING>() else { return };
        if !kept.variants.contains_key(variant) {
            if self.variants >= WAYS_MAX {
                return;
            }
            self.variants += 1;
        }
        keep(kept.variants.entry(*variant).or_default(), VARIANTS_KEPT, attempt, &places);
    }

    /// Each once.
    pub(crate) fn of(&self, group: u32, symptom: u32) -> impl Iterator<Item = &Attempt<'static>> {
        let kept = self.attempts.get(&(group, symptom));
        let oldest = kept.and_then(|kept| kept.newest.iter().map(|attempt| attempt.at).min());
        // What is newer than the oldest of the newest is among them.
        let is_older = move |attempt: &&Attempt<'_>| oldest.is_some_and(|oldest| attempt.at < oldest);
        let newest = kept.into_iter().flat_map(|kept| &kept.newest);
        newest.chain(kept.into_iter().flat_map(|kept| kept.variants.values().flatten()).filter(is_older))
    }
}

/// Keeps the newest.
fn keep(
    attempts: &mut Vec<Attempt<'static>>,
    limit: usize,
    attempt: &Attempt<'_>,
    places: &impl Fn() -> Vec<(Source, Place)>,
) {
    if attempts.len() < limit {
        attempts.push(attempt.kept(places()));
        return;
    }
    if let Some(oldest) = attempts.iter_mut().min_by_key(|kept| kept.at)
        && oldest.at < attempt.at
    {
        *oldest = attempt.kept(places());
    }
}
