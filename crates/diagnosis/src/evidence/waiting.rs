//! Mail without an attempt of its own: its connector is paused, and the connector's last failure is why it waits.

use jiff::Timestamp;

use super::{Attempt, Evidence, record::Delivery, source::Place};
use crate::tables::HashSet;

/// A delivery that waits without an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untried {
    pub delivery: Delivery,
    /// Milliseconds since 1970.
    pub since: i64,
}

/// What waits at a place for what failed there.
#[derive(Debug, Default)]
pub(super) struct Suspended {
    deliveries: Vec<(u32, Untried)>,
    /// An attempt, if it turns out that none is on record.
    stands_in: Option<Box<Attempt<'static>>>,
}

impl Evidence {
    /// Adds deliveries (message, recipient, time of receipt) that wait without an attempt, because of the last failure of
    /// their connector. That attempt counts, unless another one failed in the same way.
    pub fn add_untried<'a>(
        &mut self,
        last_failure: &Attempt<'_>,
        deliveries: impl Iterator<Item = (&'a str, &'a str, Timestamp)>,
    ) {
        let known = self.records.len();
        let (group, symptom) = self.record(last_failure, Vec::new);
        let is_same = |record: &super::Record| (record.group, record.symptom) == (group, symptom);
        if symptom != 0 && self.records.iter().take(known).any(is_same) {
            self.records.truncate(known);
        }
        let mut untried = Vec::new();
        for (message, recipient, since) in deliveries {
            let delivery = self.delivery_of(Some(message), Some(recipient));
            untried.push(Untried { delivery, since: since.as_millisecond() });
            if let Some(about) = &mut self.about {
                let waits = Attempt {
                    message: Some(message.into()),
                    recipient: Some(recipient.into()),
                    ..Attempt::by(last_failure.source)
                };
                about.note(&waits, group, symptom);
            }
        }
        self.untried.entry((group, symptom)).or_default().extend(untried);
    }

    /// Adds a delivery that waits without an attempt of its own, because another one at the same place failed. If that one
    /// is not on record, this delivery counts as an attempt.
    pub fn add_suspended(&mut self, attempt: &Attempt<'_>, place: impl Fn() -> Option<Place> + Copy) {
        let Some(failed) = attempt.failure.as_ref().filter(|_| attempt.direction == self.direction) else { return };
        let (group, symptom) = (self.keys(attempt).group, self.symptom(attempt, failed));
        let suspended =
            Untried { delivery: self.delivery(attempt), since: attempt.at.map_or(i64::MIN, Timestamp::as_millisecond) };
        let waiting = self.suspended.entry(group).or_default();
        if suspended.delivery.is_known() {
            waiting.deliveries.push((symptom, suspended));
        }
        if let Some(about) = &mut self.about {
            about.note(attempt, group, symptom);
        }
        if self.failed_groups.contains(&group) || waiting.stands_in.is_some() {
            return;
        }
        if self.joining.is_none() {
            return self.add(attempt, place);
        }
        let places = place().map(|place| (attempt.source, place)).into_iter().collect();
        waiting.stands_in = Some(Box::new(attempt.kept(places)));
        self.told += 1;
    }

    /// All attempts are on record: what stands in for one that is missing becomes one.
    pub(crate) fn end_suspended(&mut self) {
        let stand_ins: Vec<_> = self.suspended.iter_mut().filter_map(|(_, waiting)| waiting.stands_in.take()).collect();
        for attempt in stand_ins {
            let group = self.keys(&attempt).group;
            if !self.failed_groups.contains(&group) {
                self.record_kept(&attempt);
            }
        }
    }

    /// All deliveries that were ever suspended.
    pub(crate) fn all_suspended(&self) -> HashSet<Delivery> {
        let all = self.suspended.values().flat_map(|waiting| &waiting.deliveries);
        all.map(|(_, suspended)| suspended.delivery).collect()
    }

    /// Deliveries that were suspended at a place, each with its symptom, once for each time.
    pub(crate) fn suspended(&self, group: u32) -> &[(u32, Untried)] {
        self.suspended.get(&group).map_or(&[], |waiting| &waiting.deliveries)
    }

    pub(crate) fn untried(&self, group: u32, symptom: u32) -> &[Untried] {
        self.untried.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }
}
