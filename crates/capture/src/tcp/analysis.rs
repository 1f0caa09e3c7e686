//! The analysis of a segment by its sequence numbers, as Wireshark defines it in its user's guide ("TCP Analysis") and
//! as tshark 4.0 does it. The names are those of the fields `tcp.analysis.…`.

use serde::Serialize;

use super::{Segment, flag, is_after};

/// The set of properties of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Analysis(u16);

/// Defines each kind by its bit and its name.
macro_rules! kinds {
    ($($constant:ident $bit:literal $name:literal)*) => {
        impl Analysis {
            $(pub const $constant: Self = Self(1 << $bit);)*
            /// Every kind with its name, as after `tcp.analysis.`.
            pub const ALL: [(Self, &'static str); 14] = [$((Self::$constant, $name)),*];
        }
    };
}

kinds! {
    RETRANSMISSION 0 "retransmission"
    FAST_RETRANSMISSION 1 "fast_retransmission"
    SPURIOUS_RETRANSMISSION 2 "spurious_retransmission"
    OUT_OF_ORDER 3 "out_of_order"
    LOST_SEGMENT 4 "lost_segment"
    ACK_LOST_SEGMENT 5 "ack_lost_segment"
    DUPLICATE_ACK 6 "duplicate_ack"
    KEEP_ALIVE 7 "keep_alive"
    KEEP_ALIVE_ACK 8 "keep_alive_ack"
    ZERO_WINDOW 9 "zero_window"
    ZERO_WINDOW_PROBE 10 "zero_window_probe"
    ZERO_WINDOW_PROBE_ACK 11 "zero_window_probe_ack"
    WINDOW_UPDATE 12 "window_update"
    WINDOW_FULL 13 "window_full"
}

impl Analysis {
    pub fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if it contains nothing new.
    pub fn is_repetition(self) -> bool {
        const REPETITIONS: [Analysis; 5] = [
            Analysis::RETRANSMISSION,
            Analysis::FAST_RETRANSMISSION,
            Analysis::SPURIOUS_RETRANSMISSION,
            Analysis::KEEP_ALIVE,
            Analysis::ZERO_WINDOW_PROBE,
        ];
        REPETITIONS.into_iter().any(|kind| self.has(kind))
    }

    fn add(&mut self, kind: Self) {
        self.0 |= kind.0;
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(kind, _)| self.has(*kind)).map(|(_, name)| name)
    }
}

impl Serialize for Analysis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// How often each kind was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts([u32; 14]);

impl Counts {
    pub(crate) fn add(&mut self, analysis: Analysis) {
        if analysis.is_empty() {
            return;
        }
        for (count, (kind, _)) in self.0.iter_mut().zip(Analysis::ALL) {
            *count += u32::from(analysis.has(kind));
        }
    }

    pub fn of(&self, kind: Analysis) -> u32 {
        self.0.iter().zip(Analysis::ALL).find(|(_, (known, _))| *known == kind).map_or(0, |(count, _)| *count)
    }

    /// The kinds that were seen.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.0.iter().zip(Analysis::ALL).filter(|(count, _)| **count > 0).map(|(count, (_, name))| (name, *count))
    }
}

impl Serialize for Counts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// A retransmission within this time after the duplicate acknowledgments is a fast one.
const FAST_NS: i64 = 20_000_000;
/// Within this time a segment is out of order rather than retransmitted, if the round-trip time is unknown.
const OUT_OF_ORDER_NS: i64 = 3_000_000;

/// Any number of duplicate acknowledgments: the receiver may have seen more than the capture.
const UNSEEN: u32 = u32::MAX;

/// State of one direction. Numbers are `None` until the first segment.
#[derive(Clone, Debug, Default)]
struct Direction {
    base_sequence: Option<u32>,
    /// The highest next sequence number, and when it was seen.
    next_sequence: Option<u32>,
    next_sequence_ns: i64,
    /// The sequence number up to which nothing is missing.
    continuous: Option<u32>,
    last_acknowledgment: Option<u32>,
    last_acknowledgment_ns: i64,
    duplicate_acknowledgments: u32,
    window: u16,
    /// True if no acknowledgment arrived since the SYN.
    is_syn: bool,
    /// `None`: the SYN was not seen.
    window_scale: Option<Option<u8>>,
    last: Analysis,
}

/// State of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Analyzer {
    directions: [Direction; 2],
    syn_ns: Option<i64>,
    round_trip_ns: Option<i64>,
}

impl Analyzer {
    /// True for a SYN with a different initial sequence number: the ports are used again.
    pub(crate) fn is_new_connection(&self, from: usize, segment: &Segment<'_>) -> bool {
        // In tshark 4.0, a SYN with ACK and a different number does not begin a connection.
        segment.flags & (flag::SYN | flag::ACK) == flag::SYN
            && self.directions[from].base_sequence.is_some_and(|base| base != segment.sequence)
    }

    pub(crate) fn see(&mut self, from: usize, segment: &Segment<'_>, now_ns: i64) -> Analysis {
        let round_trip_ns = self.round_trip_ns;
        let [a, b] = &mut self.directions;
        let (forward, reverse) = if from == 0 { (a, b) } else { (b, a) };
        let seen = judge(forward, reverse, segment, now_ns, round_trip_ns);
        remember(forward, segment, now_ns, seen);
        self.time_handshake(segment, now_ns);
        seen
    }

    /// The first round trip: from the SYN to the acknowledgment that ends the handshake.
    fn time_handshake(&mut self, segment: &Segment<'_>, now_ns: i64) {
        match segment.flags & (flag::SYN | flag::ACK) {
            flag::SYN => self.syn_ns = Some(now_ns),
            flag::ACK if self.round_trip_ns.is_none() => {
                self.round_trip_ns = self.syn_ns.map(|syn_ns| now_ns - syn_ns).filter(|time| *time > 0);
            }
            _ => {}
        }
    }
}

fn judge(
    forward: &mut Direction,
    reverse: &mut Direction,
    segment: &Segment<'_>,
    now_ns: i64,
    round_trip_ns: Option<i64>,
) -> Analysis {
    let Segment { sequence, acknowledgment, flags, window, length, .. } = *segment;
    note_beginning(forward, reverse, segment);
    let mut seen = Analysis::default();
    let is_plain = flags & (flag::SYN | flag::FIN | flag::RST) == 0;
    let is_next = forward.next_sequence == Some(sequence);
    let is_same_acknowledgment = forward.last_acknowledgment == Some(acknowledgment);

    if length == 1 && is_next && reverse.next_sequence.is_some() && reverse.window == 0 {
        seen.add(Analysis::ZERO_WINDOW_PROBE);
        let mut seen = after_probe(forward, reverse, segment, seen);
        repeated(forward, reverse, segment, now_ns, round_trip_ns, &mut seen);
        return seen;
    }
    if window == 0 && is_plain {
        seen.add(Analysis::ZERO_WINDOW);
    }
    if let Some(next) = forward.next_sequence
        && is_after(sequence, next)
        && flags & flag::RST == 0
    {
        seen.add(Analysis::LOST_SEGMENT);
    }
    if length <= 1 && is_plain && forward.next_sequence.is_some_and(|next| sequence == next.wrapping_sub(1)) {
        seen.add(Analysis::KEEP_ALIVE);
    }
    let is_pure = length == 0 && is_plain && is_next && is_same_acknowledgment;
    if is_pure && window > 0 && window != forward.window {
        seen.add(Analysis::WINDOW_UPDATE);
    }
    if length > 0 && is_plain && fills_window(reverse, segment) {
        seen.add(Analysis::WINDOW_FULL);
    }
    if is_pure && window > 0 && window == forward.window && reverse.last.has(Analysis::KEEP_ALIVE) {
        seen.add(Analysis::KEEP_ALIVE_ACK);
        return after_probe(forward, reverse, segment, seen);
    }
    let answers_probe = reverse.last.has(Analysis::ZERO_WINDOW_PROBE);
    if length == 0
        && window == 0
        && forward.window == 0
        && is_next
        && is_plain
        && answers_probe
        && is_same_acknowledgment
    {
        seen.add(Analysis::ZERO_WINDOW_PROBE_ACK);
        return after_probe(forward, reverse, segment, seen);
    }
    if is_pure && window > 0 && window == forward.window {
        forward.duplicate_acknowledgments = forward.duplicate_acknowledgments.wrapping_add(1).max(1);
        seen.add(Analysis::DUPLICATE_ACK);
    }
    let mut seen = after_probe(forward, reverse, segment, seen);
    if (length > 0 || flags & (flag::SYN | flag::FIN) != 0) && !seen.has(Analysis::KEEP_ALIVE) {
        repeated(forward, reverse, segment, now_ns, round_trip_ns, &mut seen);
    }
    seen
}

/// Where the numbers of both sides begin, as far as this segment shows it.
fn note_beginning(forward: &mut Direction, reverse: &mut Direction, segment: &Segment<'_>) {
    let Segment { sequence, acknowledgment, flags, .. } = *segment;
    let is_syn = flags & flag::SYN != 0;
    forward.base_sequence.get_or_insert(if is_syn { sequence } else { sequence.wrapping_sub(1) });
    if flags & flag::ACK != 0 {
        // The numbers of the opposite direction began somewhere before.
        reverse.base_sequence.get_or_insert(acknowledgment.wrapping_sub(1));
    }
    if is_syn {
        forward.window_scale = Some(segment.window_scale);
    }
}

/// Checks that apply to probes too: new acknowledgments, and acknowledgments of bytes that the capture lacks.
fn after_probe(
    forward: &mut Direction,
    reverse: &mut Direction,
    segment: &Segment<'_>,
    mut seen: Analysis,
) -> Analysis {
    if forward.last_acknowledgment != Some(segment.acknowledgment) {
        forward.duplicate_acknowledgments = 0;
    }
    if segment.flags & flag::ACK != 0
        && let Some(continuous) = reverse.continuous
        && is_after(segment.acknowledgment, continuous)
    {
        let is_behind_the_last = reverse.continuous == reverse.next_sequence;
        if !is_behind_the_last || reverse.duplicate_acknowledgments == 0 {
            seen.add(Analysis::ACK_LOST_SEGMENT);
        }
        if is_behind_the_last {
            reverse.duplicate_acknowledgments = UNSEEN;
        }
        reverse.continuous = reverse.next_sequence;
    }
    seen
}

/// True if the segment ends exactly where the receiver's window ends.
fn fills_window(reverse: &Direction, segment: &Segment<'_>) -> bool {
    let (Some(scale), Some(acknowledged)) = (reverse.window_scale, reverse.last_acknowledgment) else { return false };
    // RFC 7323 section 2.2: the window of a SYN is not scaled.
    let scale = if reverse.is_syn { 0 } else { scale.unwrap_or(0) };
    let window = u32::from(reverse.window) << scale;
    segment.sequence.wrapping_add(segment.length) == acknowledged.wrapping_add(window)
}

/// A segment with no new sequence numbers: retransmitted, or out of order.
fn repeated(
    forward: &Direction,
    reverse: &Direction,
    segment: &Segment<'_>,
    now_ns: i64,
    round_trip_ns: Option<i64>,
    seen: &mut Analysis,
) {
    let Segment { sequence, flags, length, .. } = *segment;
    let end = sequence.wrapping_add(length);
    if length > 0
        && reverse.last_acknowledgment.is_some_and(|acknowledged| acknowledged != 0 && !is_after(end, acknowledged))
    {
        seen.add(Analysis::SPURIOUS_RETRANSMISSION);
        seen.add(Analysis::RETRANSMISSION);
        return;
    }
    let Some(next) = forward.next_sequence else { return };
    // It begins one byte before the end and is longer than one byte: the byte of a probe, followed by new bytes.
    let is_old = is_after(next, sequence) && !(length > 1 && sequence == next.wrapping_sub(1));
    if !is_old {
        return;
    }
    let is_asked_for = reverse.duplicate_acknowledgments >= 2 && reverse.last_acknowledgment == Some(sequence);
    if is_asked_for && now_ns - reverse.last_acknowledgment_ns < FAST_NS {
        seen.add(Analysis::FAST_RETRANSMISSION);
        seen.add(Analysis::RETRANSMISSION);
        return;
    }
    let counted = u32::from(flags & (flag::SYN | flag::FIN) != 0);
    let is_soon = now_ns - forward.next_sequence_ns < round_trip_ns.unwrap_or(OUT_OF_ORDER_NS);
    if is_soon && next != end.wrapping_add(counted) {
        seen.add(Analysis::OUT_OF_ORDER);
    } else {
        seen.add(Analysis::RETRANSMISSION);
    }
}

fn remember(forward: &mut Direction, segment: &Segment<'_>, now_ns: i64, seen: Analysis) {
    let Segment { sequence, acknowledgment, flags, window, length, .. } = *segment;
    let is_syn = flags & flag::SYN != 0;
    let counted = u32::from(is_syn || flags & flag::FIN != 0);
    let end = sequence.wrapping_add(length).wrapping_add(counted);
    let is_probe = seen.has(Analysis::ZERO_WINDOW_PROBE);
    if forward.next_sequence.is_none_or(|next| is_after(end, next)) && !is_probe {
        forward.next_sequence = Some(end);
        forward.next_sequence_ns = now_ns;
    }
    if forward.continuous.is_none_or(|continuous| continuous == sequence) && !is_probe {
        forward.continuous = forward.next_sequence;
    }
    forward.window = window;
    if flags & (flag::SYN | flag::ACK) != 0 {
        forward.is_syn = is_syn;
    }
    forward.last = seen;
    forward.last_acknowledgment = Some(acknowledgment);
    forward.last_acknowledgment_ns = now_ns;
}
