//! How much mail a cause holds up or has cost: messages, not attempts or deliveries.

use super::group::Group;
use crate::{
    causes::Cause,
    evidence::{Delivery, Record, Sign, Symptom, Untried},
    tables::{HashMap, HashSet},
};

/// Messages whose last attempt failed by a cause; 0 if the source does not separate messages.
#[derive(Clone, Copy, Default)]
pub(super) struct Effects {
    pub waiting: u64,
    /// Of those that wait, without an attempt because their connector is paused, or deliveries there are suspended.
    pub untried: u64,
    pub bounced: u64,
    pub removed: u64,
}

/// How much mail is stuck by a cause.
pub(super) struct Stuck {
    /// Deliveries can be told apart.
    pub is_known: bool,
    /// Share of the deliveries that this cause was the last word on.
    pub share: f64,
    /// Share of the deliveries that ever failed by it.
    pub share_ever: f64,
    pub effects: Effects,
    /// When the first of the waiting messages failed for the first time.
    pub pending_since: Option<i64>,
}

impl Group<'_, '_> {
    /// Where a source does not tell deliveries apart, each attempt counts for one.
    pub(super) fn stuck(&self, cause: &Cause, failing: &[&Record]) -> Stuck {
        let told = deliveries(failing);
        let untried = self.untried(failing);
        if told.is_empty() && untried.is_empty() {
            let share = failing.len() as f64 / self.records.len() as f64;
            return Stuck {
                is_known: false,
                share,
                share_ever: share,
                effects: Effects::default(),
                pending_since: None,
            };
        }
        let is_of_cause = |record: &&Record| self.causes.of(record).is_some_and(|(known, _)| known == cause);
        let held: Vec<&Record> = told.iter().filter_map(|key| self.ending(*key)).filter(is_of_cause).collect();
        let (removed, held): (Vec<&Record>, Vec<&Record>) =
            held.into_iter().partition(|record| self.evidence.removed.contains(&record.delivery));
        let (pending, bounced): (Vec<&Record>, Vec<&Record>) =
            held.iter().copied().partition(|record| self.is_tried_on(record));
        let waiting: HashSet<Delivery> = pending.iter().map(|record| record.delivery).collect();
        let failed = failing.iter().filter(|record| waiting.contains(&record.delivery) && record.at != i64::MIN);
        let since = failed.map(|record| record.at).chain(untried.iter().map(|untried| untried.since)).min();
        let all = deliveries(&self.records).len().max(1);
        let share = |count: usize| (count + untried.len()) as f64 / (all + untried.len()) as f64;
        let keys = |records: &[&Record]| messages(records.iter().map(|record| record.delivery));
        let untried: Vec<Delivery> = untried.iter().map(|untried| untried.delivery).collect();
        Stuck {
            is_known: true,
            share: share(held.len()),
            share_ever: share(told.len()),
            effects: Effects {
                waiting: messages(waiting.into_iter().chain(untried.iter().copied())),
                untried: messages(untried.into_iter()),
                bounced: keys(&bounced),
                removed: keys(&removed),
            },
            pending_since: since,
        }
    }

    /// The last attempt of a delivery.
    pub(super) fn ending(&self, delivery: Delivery) -> Option<&Record> {
        self.endings.get(&delivery).copied()
    }

    /// The delivery was not given up after this attempt.
    fn is_tried_on(&self, record: &Record) -> bool {
        let tries_on = |symptom: &Symptom| {
            let is_final = symptom.code.is_some_and(|code| code >= 500) && !symptom.signs.has(Sign::TriedAgain);
            !is_final && !symptom.signs.has(Sign::GivenUp)
        };
        let has_expired = self.evidence.expired.contains(&record.delivery);
        !has_expired && self.evidence.symptoms.get(record.symptom).is_some_and(tries_on)
    }

    /// What waits since its connector, or its destination, failed last like these.
    fn untried(&self, failing: &[&Record]) -> Vec<Untried> {
        let symptoms: HashSet<u32> = failing.iter().map(|record| record.symptom).collect();
        let groups = self.numbers(failing);
        let keys = symptoms.iter().flat_map(|symptom| groups.iter().map(move |group| (*group, *symptom)));
        let paused = keys.flat_map(|(group, symptom)| self.evidence.untried(group, symptom)).copied();
        paused.chain(self.suspended(failing, &symptoms, &groups)).collect()
    }

    /// Deliveries that were suspended last, and not tried since.
    fn suspended(&self, failing: &[&Record], symptoms: &HashSet<u32>, groups: &[u32]) -> Vec<Untried> {
        let all = || groups.iter().flat_map(|group| self.evidence.suspended(*group));
        if all().next().is_none() {
            return Vec::new();
        }
        let known: HashSet<u32> = self.records.iter().map(|record| record.symptom).collect();
        let newest =
            |records: &[&Record]| records.iter().filter(|record| record.symptom != 0).map(|record| record.at).max();
        let is_newest = newest(failing) == newest(&self.records);
        // Words that no attempt has are those of the newest one.
        let is_these = |symptom: &u32| symptoms.contains(symptom) || (is_newest && !known.contains(symptom));
        let mut times: HashMap<Delivery, (i64, i64)> = HashMap::default();
        for (_, Untried { delivery, since }) in all().filter(|(symptom, _)| is_these(symptom)) {
            let (first, last) = times.entry(*delivery).or_insert((*since, *since));
            (*first, *last) = (*since.min(first), *since.max(last));
        }
        times.retain(|delivery, (_, last)| {
            self.ending(*delivery).is_none_or(|record| {
                // Its own attempt counts already.
                record.at < *last && !symptoms.contains(&record.symptom)
            })
        });
        times.into_iter().map(|(delivery, (since, _))| Untried { delivery, since }).collect()
    }
}

pub(super) fn deliveries(records: &[&Record]) -> HashSet<Delivery> {
    records.iter().map(|record| record.delivery).filter(|delivery| delivery.is_known()).collect()
}

pub(super) fn messages(deliveries: impl Iterator<Item = Delivery>) -> u64 {
    deliveries.map(Delivery::message).collect::<HashSet<u64>>().len() as u64
}

/// Messages, or attempts where the source does not separate messages.
pub(super) fn distinct(records: &[&Record]) -> usize {
    let (known, unknown): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|record| record.delivery.is_known());
    messages(known.iter().map(|record| record.delivery)) as usize + unknown.len()
}
