//! Recognises packets that are in a capture several times, because a router, a bridge or a mirror port was captured on
//! several sides.
//!
//! Copies have the same content: addresses, identification, numbers, flags and options. A packet is once at each place,
//! where a place is an interface, a link and a distance in hops. So the second one at another place is a copy, whatever
//! the order, and the second one at the same place is a repetition by the sender.

use std::collections::VecDeque;

use super::Segment;
use crate::{ip, link::hash};

/// Packets of a flow that are searched for a copy.
const KNOWN_MAX: usize = 128;
/// How long they are kept. Where several interfaces are captured, each one's packets are written in blocks, so that a copy may
/// stand far behind in the file.
const KNOWN_NS: i64 = 1_000_000_000;
/// Maximum delay of a copy. No sender retransmits so soon after a loss, and routers seldom hold packets so long.
const COPY_NS: i64 = 100_000_000;
/// The same for a copy at the same place, which only a mirror port makes.
const MIRRORED_NS: i64 = 5_000_000;
/// Maximum number of places of a packet. More copies are counted at none.
const PLACES_MAX: usize = 4;

/// Where a packet was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    pub interface: u32,
    pub hops: u8,
    /// Hash of the link-layer header before the IP packet.
    pub link: u64,
}

/// The parts of a packet that are the same in each copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Content {
    from: usize,
    id: u16,
    sequence: u32,
    acknowledgment: u32,
    flags: u16,
    window: u16,
    length: u32,
    /// Hash of the options. They have times, which differ in a repetition.
    options: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    content: Content,
    at_ns: i64,
    places: [Place; PLACES_MAX],
    places_count: usize,
}

/// The last packets of a flow.
#[derive(Debug, Default)]
pub(crate) struct Copies(VecDeque<Known>);

impl Copies {
    /// Memory in use.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Known>()
    }

    /// True if the same packet was seen a moment ago.
    pub(crate) fn is_copy(
        &mut self,
        from: usize,
        header: &ip::Header,
        place: Place,
        segment: &Segment<'_>,
        now_ns: i64,
    ) -> bool {
        let content = Content {
            from,
            id: header.id,
            sequence: segment.sequence,
            acknowledgment: segment.acknowledgment,
            flags: segment.flags,
            window: segment.window,
            length: segment.length,
            options: hash(segment.options),
        };
        while self.0.front().is_some_and(|known| now_ns.saturating_sub(known.at_ns) > KNOWN_NS) {
            self.0.pop_front();
        }
        for known in self.0.iter_mut().rev().filter(|known| known.content == content) {
            let apart_ns = now_ns.saturating_sub(known.at_ns).saturating_abs();
            if apart_ns <= COPY_NS && known.is_elsewhere(place) {
                known.add(place);
                return true;
            }
            // A sender that repeats itself takes another identification, unless it uses none.
            if apart_ns <= MIRRORED_NS && content.id != 0 {
                return true;
            }
        }
        if self.0.len() == KNOWN_MAX {
            self.0.pop_front();
        }
        let mut known = Known { content, at_ns: now_ns, places: [Place::default(); PLACES_MAX], places_count: 0 };
        known.add(place);
        self.0.push_back(known);
        false
    }
}

impl Known {
    fn is_elsewhere(&self, place: Place) -> bool {
        !self.places[..self.places_count].contains(&place)
    }

    fn add(&mut self, place: Place) {
        if let Some(free) = self.places.get_mut(self.places_count) {
            *free = place;
            self.places_count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const MS: i64 = 1_000_000;

    /// Whether each packet is a copy: identification, hops, interface and time in milliseconds.
    fn copies(packets: &[(u16, u8, u32, i64)]) -> Vec<bool> {
        let mut copies = Copies::default();
        let packet = |&(id, hops, interface, at_ms): &(u16, u8, u32, i64)| {
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let header = ip::Header { source: address, destination: address, protocol: ip::TCP, hops, id, length: 20 };
            let segment = Segment { sequence: 1, length: 10, ..Segment::default() };
            copies.is_copy(0, &header, Place { interface, hops, link: 0 }, &segment, at_ms * MS)
        };
        packets.iter().map(packet).collect()
    }

    #[test]
    fn a_packet_is_once_at_each_place() {
        // In and out of a router, whichever comes first.
        assert_eq!(copies(&[(7, 64, 0, 0), (7, 63, 1, 1)]), [false, true]);
        assert_eq!(copies(&[(7, 63, 1, 0), (7, 64, 0, 0)]), [false, true]);
        // A port of a bridge, the bridge, and the other port.
        assert_eq!(copies(&[(7, 64, 0, 0), (7, 64, 1, 0), (7, 64, 2, 0)]), [false, true, true]);
        // A mirror port that has both directions of a port.
        assert_eq!(copies(&[(7, 64, 0, 0), (7, 64, 0, 0)]), [false, true]);
        // Much later, or by another identification: the sender repeats it.
        assert_eq!(copies(&[(7, 64, 0, 0), (7, 63, 1, 300)]), [false, false]);
        assert_eq!(copies(&[(7, 64, 0, 0), (8, 64, 0, 1)]), [false, false]);
        // IPv6 has no identification: the router's copy of a repetition belongs to it.
        let repeated = [(0, 64, 0, 0), (0, 63, 1, 0), (0, 64, 0, 9), (0, 63, 1, 9)];
        assert_eq!(copies(&repeated), [false, true, false, true]);
        // One interface's packets are written before those of the other.
        let in_blocks = [(7, 64, 0, 0), (8, 64, 0, 150), (7, 63, 1, 1), (8, 63, 1, 151)];
        assert_eq!(copies(&in_blocks), [false, false, true, true]);
    }
}
