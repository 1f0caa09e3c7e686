//! IP packets to the TCP segments in them: IPv4 with fragments (RFC 791), IPv6 with extension headers (RFC 8200).

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    link::{u16_at, u32_at, version},
    note::{Note, Notes},
};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const ICMP6: u8 = 58;

/// The parts of an IP header that matter for TCP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// IPv4's identification; 0 for IPv6.
    pub id: u16,
    /// Number of bytes after this header according to the header. The capture may have fewer.
    pub length: usize,
}

/// Header and the available payload. `None` for fragments of an incomplete packet.
pub(crate) enum Parsed<'a> {
    Whole(Header, &'a [u8]),
    Reassembled(Header, Vec<u8>),
}

/// The place of a fragment.
struct Fragment {
    id: u32,
    offset: usize,
    more: bool,
}

pub(crate) fn parse<'a>(packet: &'a [u8], fragments: &mut Fragments, notes: &mut Notes) -> Option<Parsed<'a>> {
    let read = match version(packet)? {
        4 => v4(packet),
        _ => v6(packet),
    };
    let Some((header, payload, fragment)) = read else {
        notes.add(Note::BadHeader);
        return None;
    };
    match fragment {
        None => Some(Parsed::Whole(header, payload)),
        Some(fragment) => {
            fragments.add(header, &fragment, payload, notes).map(|(header, whole)| Parsed::Reassembled(header, whole))
        }
    }
}

/// The packet that an ICMP error quotes. Only its beginning is there.
pub(crate) fn quoted(packet: &[u8]) -> Option<(Header, &[u8])> {
    let (header, payload, fragment) = match version(packet)? {
        4 => v4(packet),
        _ => v6(packet),
    }?;
    fragment.is_none_or(|fragment| fragment.offset == 0).then_some((header, payload))
}

type Read<'a> = Option<(Header, &'a [u8], Option<Fragment>)>;

fn v4(packet: &[u8]) -> Read<'_> {
    let header_length = usize::from(packet[0] & 0x0f) * 4;
    if header_length < 20 || packet.len() < header_length {
        return None;
    }
    // 0 if the sender's network card splits the packet (TCP segmentation offload).
    let total = match usize::from(u16_at(packet, 2)?) {
        0 => packet.len(),
        total => total,
    };
    let length = total.checked_sub(header_length)?;
    let flags = u16_at(packet, 6)?;
    let (more, offset) = (flags & 0x2000 != 0, usize::from(flags & 0x1fff) * 8);
    let id = u16_at(packet, 4)?;
    let header = Header {
        source: IpAddr::V4(Ipv4Addr::from(u32_at(packet, 12)?)),
        destination: IpAddr::V4(Ipv4Addr::from(u32_at(packet, 16)?)),
        protocol: packet[9],
        hops: packet[8],
        id,
        length,
    };
    let payload = &packet[header_length..packet.len().min(header_length + length)];
    let fragment = (more || offset > 0).then_some(Fragment { id: u32::from(id), offset, more });
    Some((header, payload, fragment))
}

/// Maximum number of extension headers. More are an attack.
const EXTENSIONS_MAX: usize = 16;

fn v6(packet: &[u8]) -> Read<'_> {
    const HEADER: usize = 40;
    let fixed = packet.get(..HEADER)?;
    let address = |at: usize| -> IpAddr {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    // 0 for jumbograms, and for packets that the sender's network card splits.
    let mut length = match usize::from(u16_at(packet, 4)?) {
        0 => packet.len() - HEADER,
        length => length,
    };
    let (mut next, mut rest) = (fixed[6], &packet[HEADER..packet.len().min(HEADER + length)]);
    let mut fragment = None;
    for _ in 0..EXTENSIONS_MAX {
        let size = match next {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => (usize::from(*rest.get(1)?) + 1) * 8,
            // Authentication header.
            51 => (usize::from(*rest.get(1)?) + 2) * 4,
            44 => {
                let place = u16_at(rest, 2)?;
                let (offset, more) = (usize::from(place & 0xfff8), place & 1 != 0);
                if offset > 0 || more {
                    fragment = Some(Fragment { id: u32_at(rest, 4)?, offset, more });
                }
                8
            }
            _ => break,
        };
        next = *rest.first()?;
        rest = rest.get(size..)?;
        length = length.checked_sub(size)?;
        // After the fragment header of a later fragment comes its data.
        if fragment.is_some() {
            break;
        }
    }
    let header = Header { source: address(8), destination: address(24), protocol: next, hops: fixed[7], id: 0, length };
    Some((header, rest, fragment))
}

type Key = (IpAddr, IpAddr, u8, u32);

/// Fragments of packets that are not complete yet.
#[derive(Default)]
pub(crate) struct Fragments {
    waiting: HashMap<Key, Pieces>,
    order: VecDeque<Key>,
}

#[derive(Default)]
struct Pieces {
    /// Offset and bytes, by offset.
    pieces: Vec<(usize, Vec<u8>)>,
    bytes: usize,
    total: Option<usize>,
}

/// Maximum number of packets that wait for fragments. Beyond that the oldest are dropped.
const WAITING_MAX: usize = 256;
/// Maximum number of fragments of one packet, and of their bytes, with overlapping bytes counted twice. Further
/// fragments are skipped.
const PIECES_MAX: usize = 128;
const BYTES_MAX: usize = 2 * DATAGRAM_MAX;
/// Maximum size of an IP packet.
const DATAGRAM_MAX: usize = 65_535;

impl Fragments {
    fn add(
        &mut self,
        header: Header,
        fragment: &Fragment,
        payload: &[u8],
        notes: &mut Notes,
    ) -> Option<(Header, Vec<u8>)> {
        let key = (header.source, header.destination, header.protocol, fragment.id);
        if !self.waiting.contains_key(&key) {
            self.order.push_back(key);
            if self.order.len() > WAITING_MAX
                && let Some(oldest) = self.order.pop_front()
                && self.waiting.remove(&oldest).is_some()
            {
                notes.add(Note::FragmentsIncomplete);
            }
        }
        let pieces = self.waiting.entry(key).or_default();
        if !pieces.add(fragment, payload) {
            notes.add(Note::FragmentsLeftOut);
            return None;
        }
        let whole = pieces.whole()?;
        self.waiting.remove(&key);
        self.order.retain(|waiting| *waiting != key);
        Some((Header { length: whole.len(), ..header }, whole))
    }

    /// Number of packets that were never complete.
    pub(crate) fn finish(&mut self, notes: &mut Notes) {
        for _ in self.waiting.drain() {
            notes.add(Note::FragmentsIncomplete);
        }
    }
}

impl Pieces {
    /// False if the fragment is invalid or is one too many.
    fn add(&mut self, fragment: &Fragment, payload: &[u8]) -> bool {
        let end = fragment.offset + payload.len();
        if end > DATAGRAM_MAX || self.pieces.len() >= PIECES_MAX || self.bytes + payload.len() > BYTES_MAX {
            return false;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        self.bytes += payload.len();
        // If bytes overlap, the first ones stay.
        let place = self.pieces.partition_point(|(offset, _)| *offset <= fragment.offset);
        self.pieces.insert(place, (fragment.offset, payload.to_vec()));
        true
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let total = self.total?;
        let reach = self.pieces.iter().try_fold(0, |reach, (offset, bytes)| {
            // After that there is a gap.
            (*offset <= reach).then(|| reach.max(offset + bytes.len()))
        })?;
        if reach < total {
            return None;
        }
        let mut whole = Vec::with_capacity(total);
        for (offset, bytes) in &self.pieces {
            whole.extend_from_slice(bytes.get(whole.len() - offset..).unwrap_or_default());
        }
        whole.truncate(total);
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let total = (packet.len() + payload.len()) as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let flags = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn fragments_come_together_in_any_order() {
        let pieces = [packet(0, true, b"01234567"), packet(8, true, b"89abcdef"), packet(16, false, b"gh")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            let (mut fragments, mut notes) = (Fragments::default(), Notes::default());
            let mut found = None;
            for index in order {
                if let Some(Parsed::Reassembled(_, whole)) = parse(&pieces[index], &mut fragments, &mut notes) {
                    found = Some(whole);
                }
            }
            assert_eq!(found.as_deref(), Some(&b"0123456789abcdefgh"[..]), "{order:?}");
            assert_eq!(notes, Notes::default());
        }
    }

    proptest::proptest! {
        #[test]
        fn foreign_bytes_never_panic(packets in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..80), 0..20)) {
            let (mut fragments, mut notes) = (Fragments::default(), Notes::default());
            for mut packet in packets {
                if let Some(first) = packet.first_mut() {
                    *first = if *first & 1 == 0 { 0x45 } else { 0x60 };
                }
                let _ = parse(&packet, &mut fragments, &mut notes);
            }
            fragments.finish(&mut notes);
        }
    }
}
