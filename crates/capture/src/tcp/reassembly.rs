//! One direction's bytes in order, each once, with the holes told.

use std::collections::BTreeMap;

use super::is_after;

/// Bytes that wait for others before them; more, and the hole is given up.
const WAITING_MAX: usize = 256 * 1024;
/// What a segment that waits takes beside its bytes.
const SEGMENT_BYTES: usize = 80;
/// Half of all sequence numbers: what is closer than this lies ahead.
const HALF: u32 = 1 << 31;

/// What comes out.
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// So many bytes are not in the capture.
    Missing(u32),
}

/// Bytes of one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reassembly {
    next: Option<u32>,
    /// By sequence number. Numbers go round: [`Self::earliest`] knows which comes first.
    waiting: BTreeMap<u32, Vec<u8>>,
    waiting_bytes: usize,
}

impl Reassembly {
    /// Memory that is held, about.
    pub(crate) fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.waiting.len() * SEGMENT_BYTES
    }

    /// The SYN's number: the first byte has the next one.
    pub(crate) fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(sequence.wrapping_add(1));
    }

    /// A segment's payload; `length` is what it had on the wire.
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

    /// The other side has acknowledged up to here: what is missing before will not come.
    pub(crate) fn acknowledged(&mut self, acknowledgment: u32, out: &mut dyn FnMut(Piece<'_>)) {
        while self.earliest().is_some_and(|first| is_after(acknowledgment, first)) {
            self.give_up(out);
        }
    }

    /// Gives out what waits, holes and all.
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

    /// Takes a segment that begins at or before what comes next.
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

    /// The earliest of what waits; the map's order is that of the numbers, which go round once in a while.
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
        /// However a stream is cut, repeated and put out of order: it comes out as it was.
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
            // Whatever came before, the whole comes in the end, in pieces that lie end to end.
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
        // Cut by the capture's snap length.
        reassembly.push(6, b"i", 3, &mut take);
        reassembly.push(20, b"z", 1, &mut take);
        reassembly.finish(&mut take);
        assert_eq!(told, ["ab", "3", "gh", "i", "2", "11", "z"]);
    }
}
