//! What a capture has of one direction: bytes that the receiver acknowledged, and that the file lacks, were missed by
//! the capture. They say nothing about the network. Lost segments are not acknowledged.

use super::is_after;

/// Gaps that are kept. A capture with more in one direction has missed packets.
const GAPS_MAX: usize = 64;
/// An acknowledgment cannot be further ahead: windows are smaller (RFC 7323 section 2.3).
const AHEAD_MAX: u32 = 1 << 30;

/// The sequence numbers of one direction that were captured. FIN and SYN have one each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    /// The next number after all that were captured.
    end: Option<u32>,
    /// Gaps before it, each with the number after it.
    gaps: Vec<(u32, u32)>,
    acknowledged: Option<u32>,
    has_overflowed: bool,
}

impl Coverage {
    pub(crate) fn see(&mut self, sequence: u32, count: u32) {
        let after = sequence.wrapping_add(count);
        match self.end {
            Some(end) if sequence == end => self.end = Some(after),
            None => self.end = Some(after),
            Some(end) if is_after(sequence, end) => {
                if self.gaps.len() < GAPS_MAX {
                    self.gaps.push((end, sequence));
                } else {
                    self.has_overflowed = true;
                }
                self.end = Some(after);
            }
            Some(end) => {
                self.fill(sequence, after);
                if is_after(after, end) {
                    self.end = Some(after);
                }
            }
        }
    }

    /// Gaps are in order, and apart.
    fn fill(&mut self, from: u32, to: u32) {
        let first = self.gaps.partition_point(|(_, end)| !is_after(*end, from));
        let count = self.gaps[first..].partition_point(|(begin, _)| is_after(to, *begin));
        let filled = &self.gaps[first..first + count];
        let Some(((begin, _), (_, end))) = filled.first().copied().zip(filled.last().copied()) else { return };
        let before = is_after(from, begin).then_some((begin, from));
        let after = is_after(end, to).then_some((to, end));
        if before.is_some() && after.is_some() && self.gaps.len() >= GAPS_MAX {
            self.has_overflowed = true;
            return;
        }
        self.gaps.splice(first..first + count, before.into_iter().chain(after));
    }

    /// The receiver has everything before this number.
    pub(crate) fn acknowledged(&mut self, number: u32) {
        if self.acknowledged.is_none_or(|known| is_after(number, known)) {
            self.acknowledged = Some(number);
        }
    }

    /// True if the receiver has bytes that the capture lacks.
    pub(crate) fn is_incomplete(&self) -> bool {
        let (Some(end), Some(acknowledged)) = (self.end, self.acknowledged) else { return false };
        let beyond = acknowledged.wrapping_sub(end);
        self.has_overflowed
            || (1..AHEAD_MAX).contains(&beyond)
            || self.gaps.iter().any(|(begin, _)| is_after(acknowledged, *begin))
    }

    /// Everything that was sent is acknowledged.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.end.is_some_and(|end| self.acknowledged.is_some_and(|acknowledged| !is_after(end, acknowledged)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments by first number and length, and what the other side acknowledged.
    fn coverage(segments: &[(u32, u32)], acknowledged: u32) -> Coverage {
        let mut coverage = Coverage::default();
        segments.iter().for_each(|(sequence, count)| coverage.see(*sequence, *count));
        coverage.acknowledged(acknowledged);
        coverage
    }

    #[test]
    fn only_acknowledged_bytes_are_missed_by_the_capture() {
        let missed = |segments: &[(u32, u32)], acknowledged| coverage(segments, acknowledged).is_incomplete();
        assert!(!missed(&[(0, 1), (1, 10), (11, 10)], 21));
        // Acknowledged before it is in the file, out of order, and repeated.
        assert!(!missed(&[(0, 1), (11, 10), (1, 10), (1, 20)], 21));
        // The last, and one between.
        assert!(missed(&[(0, 1), (1, 10)], 21));
        assert!(missed(&[(0, 1), (1, 10), (21, 10)], 31));
        assert!(missed(&[(0, 1), (1, 10), (21, 10), (15, 6)], 31));
        // Lost on the way: nobody acknowledged it.
        assert!(!missed(&[(0, 1), (1, 10), (21, 10)], 11));
        // Numbers wrap around.
        assert!(!missed(&[(u32::MAX - 4, 10), (5, 5)], 10));
        assert!(missed(&[(u32::MAX - 4, 5), (5, 5)], 10));
        assert!(coverage(&[(0, 10)], 10).is_acknowledged() && !coverage(&[(0, 10)], 9).is_acknowledged());
    }

    /// A stranger's capture decides how many there would be.
    #[test]
    fn gaps_are_limited() {
        let every_other: Vec<(u32, u32)> = (1..10_000).map(|number| (2 * number, 1)).collect();
        let apart: Vec<(u32, u32)> = [(0, 1), (30_000, 1)].into_iter().chain(every_other.iter().copied()).collect();
        for segments in [every_other, apart] {
            let coverage = coverage(&segments, 30_001);
            assert!(coverage.gaps.len() <= GAPS_MAX && coverage.is_incomplete(), "{} gaps", coverage.gaps.len());
        }
    }
}
