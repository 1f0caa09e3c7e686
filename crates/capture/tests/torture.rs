//! Random connections that no real host would make: our answer about each segment must be the same as tshark's.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod common;

use std::{collections::BTreeSet, fs};

use common::{Told, by_tshark, by_us};
use gatepost_capture::{self as capture, Analysis};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % u64::from(bound)) as u32
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Default)]
struct End {
    /// The next sequence number.
    next: u32,
    /// The last segment.
    last: u32,
    last_length: u32,
    acknowledged: u32,
    window: u16,
}

struct Segment {
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    window: u16,
    length: u32,
}

struct Connection {
    port: u16,
    ends: [End; 2],
}

impl Connection {
    fn segment(&mut self, from: usize, random: &mut Random) -> Segment {
        let other = self.ends[1 - from];
        let end = &mut self.ends[from];
        let length = random.one_of(&[0, 0, 1, 1, 10, 100, 1000]);
        let mut segment =
            Segment { flags: ACK, sequence: end.next, acknowledgment: end.acknowledged, window: end.window, length };
        match random.below(100) {
            // In order, with or without a new acknowledgment.
            0..40 => segment.acknowledgment = other.next,
            40..50 => segment.length = 0,
            // The same again.
            50..58 => (segment.sequence, segment.length) = (end.last, end.last_length),
            // Bytes are missing before it.
            58..64 => segment.sequence = end.next.wrapping_add(random.one_of(&[1, 10, 1000])),
            // It is out of order, or is retransmitted in other pieces.
            64..70 => segment.sequence = end.next.wrapping_sub(random.one_of(&[1, 2, 10, 100, 2000])),
            // Acknowledges bytes that were never sent, or too few.
            70..76 => segment.acknowledgment = other.next.wrapping_add(random.one_of(&[1, 10, 1000])),
            76..79 => segment.acknowledgment = other.next.wrapping_sub(random.one_of(&[1, 10, 100])),
            79..84 => segment.window = 0,
            84..88 => segment.window = random.one_of(&[10, 100, 1000, 0xffff]),
            // A window probe, or a keep-alive.
            88..91 => segment.length = 1,
            91..94 => (segment.sequence, segment.length) = (end.next.wrapping_sub(1), random.below(2)),
            94..96 => segment.flags |= FIN,
            96 => segment.flags |= RST,
            97 => segment.flags = RST,
            98 => segment.flags |= SYN,
            _ => (segment.flags, segment.length) = (SYN, 0),
        }
        if segment.flags & SYN != 0 {
            segment.length = 0;
        }
        let counted = u32::from(segment.flags & (SYN | FIN) != 0);
        let after = segment.sequence.wrapping_add(segment.length + counted);
        if (after.wrapping_sub(end.next) as i32) > 0 {
            end.next = after;
        }
        (end.last, end.last_length) = (segment.sequence, segment.length);
        (end.acknowledged, end.window) = (segment.acknowledgment, segment.window);
        segment
    }
}

/// Raw IPv4.
fn packet(port: u16, from: usize, segment: &Segment) -> Vec<u8> {
    let (addresses, ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [port, 2500]);
    let mut tcp = Vec::new();
    tcp.extend(ports[from].to_be_bytes());
    tcp.extend(ports[1 - from].to_be_bytes());
    tcp.extend(segment.sequence.to_be_bytes());
    tcp.extend(segment.acknowledgment.to_be_bytes());
    let options: &[u8] = if segment.flags & SYN != 0 { &[2, 4, 5, 180, 1, 3, 3, 1] } else { &[] };
    tcp.extend([((20 + options.len()) as u8 / 4) << 4, segment.flags]);
    tcp.extend(segment.window.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend(options);
    tcp.resize(tcp.len() + segment.length as usize, b'x');
    let mut packet = vec![0x45, 0];
    packet.extend((20 + tcp.len() as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 6, 0, 0]);
    packet.extend(addresses[from]);
    packet.extend(addresses[1 - from]);
    packet.extend(tcp);
    packet
}

/// Of each connection.
const PACKETS: usize = 60;

/// A pcap file with nanoseconds, and a description of each packet.
fn make(seed: u64, connections: u16) -> (Vec<u8>, Vec<String>) {
    let mut random = Random(seed);
    let mut file = Vec::new();
    let mut rows = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 0x0004_0000, 101] {
        file.extend(word.to_le_bytes());
    }
    let mut time_ns = 1_000_000_000_000_u64;
    for number in 0..connections {
        let mut connection = Connection { port: 10_000 + number, ends: [End { window: 1000, ..End::default() }; 2] };
        // In some connections, sequence numbers wrap around.
        let first: u32 = random.one_of(&[100_000, 1_000_000, u32::MAX - 500]);
        connection.ends[0].next = first;
        connection.ends[1].next = first.wrapping_add(77_777);
        for end in &mut connection.ends {
            end.last = end.next;
        }
        connection.ends[0].acknowledged = connection.ends[1].next;
        connection.ends[1].acknowledged = first;
        let begins = random.below(4) > 0;
        for index in 0..PACKETS {
            let from = match index {
                0 => 0,
                1 => 1,
                _ => random.below(2) as usize,
            };
            let mut segment = connection.segment(from, &mut random);
            if begins && index < 2 {
                let other = connection.ends[1 - from].next;
                let end = &mut connection.ends[from];
                let sequence = if index == 0 { first } else { first.wrapping_add(77_777) };
                *end = End { next: sequence.wrapping_add(1), last: sequence, window: 1000, ..End::default() };
                let flags = if index == 0 { SYN } else { SYN | ACK };
                let acknowledgment = if index == 0 { 0 } else { other };
                end.acknowledged = if index == 0 { first.wrapping_add(77_778) } else { other };
                segment = Segment { flags, sequence, acknowledgment, window: 1000, length: 0 };
            }
            time_ns += random.one_of(&[100_000, 1_000_000, 2_500_000, 5_000_000, 15_000_000, 40_000_000, 300_000_000]);
            let packet = packet(connection.port, from, &segment);
            let length = packet.len() as u32;
            for word in [(time_ns / 1_000_000_000) as u32, (time_ns % 1_000_000_000) as u32, length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(packet);
            rows.push(format!(
                "{number} {} flags {:02x} seq {} len {} ack {} win {} at {} us",
                if from == 0 { 'c' } else { 's' },
                segment.flags,
                segment.sequence.wrapping_sub(if from == 0 { first } else { first.wrapping_add(77_777) }) as i32,
                segment.length,
                segment.acknowledgment.wrapping_sub(if from == 1 { first } else { first.wrapping_add(77_777) }) as i32,
                segment.window,
                time_ns / 1000,
            ));
        }
    }
    (file, rows)
}

/// The first different answer of each connection. Later differences may follow from it.
fn differences(theirs: &[Told], ours: &[Told], rows: &[String]) -> Vec<String> {
    let told = |told: &Told| (told.stream, told.length, told.analysis.clone());
    let differ = |index: &usize| told(&theirs[*index]) != told(&ours[*index]);
    let mut first: Vec<usize> = (0..rows.len()).filter(differ).collect();
    first.dedup_by_key(|index| *index / PACKETS);
    let show = |index: usize| {
        let begin = index.saturating_sub(8).max(index / PACKETS * PACKETS);
        let before: Vec<String> =
            (begin..=index).map(|index| format!("  {} {:?}", rows[index], theirs[index].analysis)).collect();
        format!("{}\n  ours: {:?}", before.join("\n"), told(&ours[index]))
    };
    first.into_iter().map(show).collect()
}

#[test]
fn mad_connections_are_told_as_tshark_tells_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for seed in 1..=5 {
        let (file, rows) = make(seed, 400);
        let path = folder.path().join("torture.pcap");
        fs::write(&path, file).unwrap();
        let (theirs, ours) = (by_tshark(&path, &[]), by_us(&path));
        assert_eq!((theirs.len(), ours.len()), (rows.len(), rows.len()));
        seen.extend(theirs.iter().flat_map(|told| told.analysis.clone()));
        let differences = differences(&theirs, &ours, &rows);
        assert!(differences.is_empty(), "seed {seed}: {}", differences.join("\n\n"));
    }
    // Every kind must occur.
    assert_eq!(seen, Analysis::ALL.iter().map(|(_, name)| *name).collect());
}
