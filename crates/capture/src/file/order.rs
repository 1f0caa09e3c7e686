//! Puts records in order of time. A capture of several interfaces has them in the order in which they reached the file,
//! which may be some hundred milliseconds late.
//!
//! ```text
//!   file ──in order──> queue ──────┐
//!     └─────late──> heap ──────────┴──the earlier one──> out, once something a second newer was read
//! ```

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
};

use super::Raw;

/// A record that is later than this keeps its place in the file.
const WINDOW_NS: i64 = 1_000_000_000;
/// Bytes of the file that wait at most.
pub(super) const WINDOW_BYTES: usize = 8 << 20;

/// Records that wait for earlier ones.
#[derive(Default)]
pub(super) struct Window {
    /// In order of time as in the file.
    queue: VecDeque<Raw>,
    /// Those that came after a newer one.
    late: BinaryHeap<Reverse<Late>>,
    /// No record of `late` is before this place in the file.
    late_from: u64,
    /// Time of the newest record that was read since none waited.
    newest_ns: i64,
    /// Time of the last record that was given out.
    given_ns: Option<i64>,
}

/// Of equal times, the first one in the file comes first.
struct Late(Raw);

impl Late {
    fn key(&self) -> (i64, u64) {
        (self.0.time_ns, self.0.number)
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

impl Window {
    /// True if more must be read before the next record is known. `read_to` is how far the file was read.
    pub(super) fn needs_more(&self, read_to: u64) -> bool {
        let Some(next_ns) = self.next_ns() else { return true };
        let is_within = self.newest_ns.saturating_sub(next_ns) < WINDOW_NS;
        is_within && read_to - self.begin().unwrap_or(read_to) < WINDOW_BYTES as u64
    }

    pub(super) fn push(&mut self, raw: Raw) {
        // A time far ahead of all others must not end the order for good.
        if self.queue.is_empty() && self.late.is_empty() {
            self.newest_ns = raw.time_ns;
        }
        match self.queue.back() {
            Some(last) if raw.time_ns < last.time_ns => {
                if self.late.is_empty() {
                    self.late_from = raw.at;
                }
                self.late.push(Reverse(Late(raw)));
            }
            _ => {
                self.newest_ns = self.newest_ns.max(raw.time_ns);
                self.queue.push_back(raw);
            }
        }
    }

    /// The earliest record, and whether it comes too late to be in order.
    pub(super) fn pop(&mut self) -> Option<(Raw, bool)> {
        let is_late = match (self.queue.front(), self.late.peek()) {
            (Some(first), Some(Reverse(Late(late)))) => (late.time_ns, late.number) < (first.time_ns, first.number),
            (None, late) => late.is_some(),
            (Some(_), None) => false,
        };
        let raw = if is_late { self.late.pop().map(|Reverse(Late(raw))| raw) } else { self.queue.pop_front() }?;
        let is_too_late = self.given_ns.is_some_and(|given_ns| raw.time_ns < given_ns);
        self.given_ns = self.given_ns.max(Some(raw.time_ns));
        Some((raw, is_too_late))
    }

    /// Where in the file the first record that waits is, or may be.
    pub(super) fn begin(&self) -> Option<u64> {
        let first = self.queue.front().map(|raw| raw.at);
        let late = (!self.late.is_empty()).then_some(self.late_from);
        first.into_iter().chain(late).min()
    }

    fn next_ns(&self) -> Option<i64> {
        let first = self.queue.front().map(|raw| raw.time_ns);
        let late = self.late.peek().map(|Reverse(Late(raw))| raw.time_ns);
        first.into_iter().chain(late).min()
    }
}
