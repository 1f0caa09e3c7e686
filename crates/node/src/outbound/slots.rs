//! The slots of a rate that this node has: when it may send its next messages. The store gives them out, so that the rate
//! holds for all nodes together.

use std::{collections::VecDeque, time::Duration};

use store::{SLOTS_AHEAD, Share};
use tokio::time::Instant;

/// A slot that was not used in time is lost. Otherwise a node would save them, and send a burst.
const SLOT_LASTS: Duration = Duration::from_secs(2);
/// Jobs are not kept for a slot that is further away.
const KEPT_FOR: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Slots {
    /// In order of time.
    free: VecDeque<Instant>,
    /// When the fleet has another slot; `None` until the store has said it.
    next: Option<Instant>,
    /// Slots that this node gets at once.
    max: usize,
}

impl Slots {
    /// Adds what the store has just given.
    pub(super) fn add(&mut self, share: &Share, interval: Duration, now: Instant) {
        self.free.extend((0..share.slots).map(|index| now + share.first_in + interval * index));
        self.next = Some(now + share.next_in);
        self.max = share.slots_max as usize;
    }

    /// Uses a slot, if one has come.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.free.front().is_some_and(|slot| *slot + SLOT_LASTS < now) {
            self.free.pop_front();
        }
        let has_come = self.free.front().is_some_and(|slot| *slot <= now);
        if has_come {
            self.free.pop_front();
        }
        has_come
    }

    /// How many jobs to hold.
    pub(super) fn room(&self, now: Instant) -> usize {
        let more = if self.next.is_some_and(|next| next <= now + SLOTS_AHEAD) { self.max } else { 0 };
        self.free.len() + more
    }

    pub(super) fn count(&self) -> usize {
        self.free.len()
    }

    /// How many of the waiting jobs have no slot.
    pub(super) fn missing(&self, waiting: usize) -> usize {
        waiting.saturating_sub(self.free.len())
    }

    /// True if asking the store would give some.
    pub(super) fn are_to_be_had(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next < now + SLOTS_AHEAD)
    }

    /// When to look again.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.free.front().copied().or(self.next).map(|slot| slot.max(now + Duration::from_millis(10)))
    }

    /// True if jobs that have no slot are not to wait for one here.
    pub(super) fn are_far(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next > now + KEPT_FOR)
    }

    /// True if none comes within this time.
    pub(super) fn limit(&self, now: Instant, within: Duration) -> bool {
        self.next(now).is_some_and(|slot| slot > now + within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(slots: u32, first_in: u64, next_in: u64) -> Share {
        let [first_in, next_in] = [first_in, next_in].map(Duration::from_secs);
        Share { connector: "c".to_owned(), connections: 1, slots, first_in, next_in, slots_max: 3 }
    }

    #[test]
    fn slots_come_in_time_and_do_not_last() {
        let (mut slots, now, second) = (Slots::default(), Instant::now(), Duration::from_secs(1));
        assert!(!slots.take(now) && slots.room(now) == 0 && slots.next(now).is_none());
        slots.add(&share(3, 1, 4), second, now);
        assert_eq!((slots.room(now), slots.missing(5)), (3, 2));
        assert!(!slots.take(now));
        assert!(slots.take(now + second) && !slots.take(now + second));
        // The fleet's next slot is near: this node may hold more.
        assert!(slots.room(now + 2 * second) == 5 && !slots.limit(now + 2 * second, second));
        // The second slot is lost, the third one is not.
        let later = now + Duration::from_millis(4500);
        assert!(slots.take(later) && !slots.take(later));
    }

    #[test]
    fn jobs_are_not_kept_for_a_slot_that_is_far() {
        let (mut slots, now) = (Slots::default(), Instant::now());
        slots.add(&share(0, 0, 1800), Duration::from_secs(1800), now);
        assert!(slots.are_far(now) && slots.room(now) == 0 && !slots.are_to_be_had(now));
        let later = now + Duration::from_secs(1795);
        assert!(!slots.are_far(later) && slots.limit(later, Duration::from_secs(1)));
        let later = now + Duration::from_secs(1799);
        assert!(slots.room(later) == 3 && slots.are_to_be_had(later));
    }
}
