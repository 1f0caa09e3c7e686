//! Puts the bytes of one direction in order, each once, and reports gaps.

use std::collections::BTreeMap;

use super::is_after;

/// Maximum bytes that wait for missing ones. Beyond that, the gap is reported as missing.
const WAITING_MAX: usize = 256 * 1024;
/// Memory of a waiting segment besides its bytes.
const SEGMENT_BYTES: usize = 80;
/// Half of all sequence numbers: a number within this distance lies ahead.
const HALF: u32 = 1 << 31;

/// A piece of the output.
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// Number of bytes that are not in the capture.
    Missing(u32),
}

/// Bytes of one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reassembly {
    next: Option<u32>,
    /// Keyed by sequence number. Numbers wrap around, so [`Self::earliest`] finds the first one.
    waiting: BTreeMap<u32, Vec<u8>>,
    waiting_bytes: usize,
}

impl Reassembly {
    /// Approximate memory in use.
    pub(crate) fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.waiting.len() * SEGMENT_BYTES
    }

    /// Sets the SYN's number. The first byte has the next number.
    pub(crate) fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(sequence.wrapping_add(1));
    }

    /// Adds a segment's payload. `length` is its length on the wire.
    pub(crate) fn push(&mut self, sequence: u32, payload: &[u8], length: u32, out: &mut dyn FnMut(Piece<'_>)) {
        if length == 0 {
            return;
        }
        let next = *self.next.get_or_insert(sequence);
        if is_after(sequence, next) {
            self.wait(sequence, payload);
            if self.waiting_bytes > WAITING_MAX {
                self.give_up(out);
            }
            return;
        }
        self.advance(sequence, payload, length, out);
        self.drain(out);
    }

    /// Notes an acknowledgment: missing bytes before it will not arrive.
    pub(crate) fn acknowledged(&mut self, acknowledgment: u32, out: &mut dyn FnMut(Piece<'_>)) {
        while self.earliest().is_some_and(|first| is_after(acknowledgment, first)) {
            self.give_up(out);
        }
    }

    /// Returns all waiting bytes and gaps.
    pub(crate) fn finish(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(out);
        }
    }

    fn wait(&mut self, sequence: u32, payload: &[u8]) {
        let known = self.waiting.get(&sequence).map_or(0, Vec::len);
        if payload.len() > known {
            self.waiting_bytes += payload.len() - known;
            self.waiting.insert(sequence, payload.to_vec());
        }
    }

    /// Adds a segment that begins at or before the next expected byte.
    fn advance(&mut self, sequence: u32, payload: &[u8], length: u32, out: &mut dyn FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        let old = next.wrapping_sub(sequence);
        if old >= length {
            return;
        }
        let new = payload.get(old as usize..).unwrap_or_default();
        if !new.is_empty() {
            out(Piece::Bytes(new));
        }
        let missing = length - old - new.len() as u32;
        if missing > 0 {
            out(Piece::Missing(missing));
        }
        self.next = Some(sequence.wrapping_add(length));
    }

    /// The earliest waiting segment. The order of the map is not enough, because sequence numbers wrap around.
    fn earliest(&self) -> Option<u32> {
        let farthest_behind = self.next?.wrapping_add(HALF);
        let mut keys = self.waiting.range(farthest_behind..).chain(self.waiting.range(..farthest_behind));
        keys.next().map(|(sequence, _)| *sequence)
    }

    fn drain(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while let (Some(first), Some(next)) = (self.earliest(), self.next) {
            if is_after(first, next) {
                return;
            }
            let Some(bytes) = self.waiting.remove(&first) else { return };
            self.waiting_bytes -= bytes.len();
            self.advance(first, &bytes, bytes.len() as u32, out);
        }
    }

    fn give_up(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        if let (Some(first), Some(next)) = (self.earliest(), self.next)
            && is_after(first, next)
        {
            out(Piece::Missing(first.wrapping_sub(next)));
            self.next = Some(first);
        }
        self.drain(out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A stream that is cut, repeated and reordered comes out unchanged.
        #[test]
        fn the_stream_comes_out_as_it_was(
            length in 1usize..2000,
            begin in any::<u32>(),
            pieces in proptest::collection::vec((0usize..2000, 1usize..400), 1..40),
        ) {
            let stream: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let mut reassembly = Reassembly::default();
            reassembly.begin(begin);
            let mut got = Vec::new();
            let mut take = |piece: Piece<'_>| match piece {
                Piece::Bytes(bytes) => got.extend_from_slice(bytes),
                Piece::Missing(_) => panic!("nothing is missing"),
            };
            // Whatever came before, the whole stream follows at the end, in adjacent pieces.
            let all = (0..length).step_by(97).map(|at| (at, 97));
            for (at, count) in pieces.into_iter().chain(all) {
                let at = at % length;
                let bytes = &stream[at..length.min(at + count)];
                reassembly.push(begin.wrapping_add(1 + at as u32), bytes, bytes.len() as u32, &mut take);
            }
            prop_assert_eq!(got, stream);
        }
    }

    #[test]
    fn holes_are_told() {
        let mut reassembly = Reassembly::default();
        let mut told = Vec::new();
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => told.push(String::from_utf8_lossy(bytes).into_owned()),
            Piece::Missing(count) => told.push(count.to_string()),
        };
        reassembly.begin(u32::MAX - 1);
        reassembly.push(u32::MAX, b"ab", 2, &mut take);
        reassembly.push(4, b"gh", 2, &mut take);
        reassembly.acknowledged(4, &mut take);
        reassembly.acknowledged(6, &mut take);
        // Truncated by the snap length of the capture.
        reassembly.push(6, b"i", 3, &mut take);
        reassembly.push(20, b"z", 1, &mut take);
        reassembly.finish(&mut take);
        assert_eq!(told, ["ab", "3", "gh", "i", "2", "11", "z"]);
    }
}
