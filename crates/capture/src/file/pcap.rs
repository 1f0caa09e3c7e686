//! The old format of libpcap: a header of 24 bytes, then packets with headers of 16 (draft-ietf-opsawg-pcap).

use super::{Input, Order, PACKET_MAX, Raw, cut};
use crate::{
    link::LinkType,
    note::{Note, Notes},
};

const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds of one unit of the fraction.
    fraction_ns: i64,
    link: LinkType,
}

impl Pcap {
    /// `None`: it is another kind of file, and nothing was consumed.
    pub(super) fn open(input: &mut Input) -> Option<Self> {
        let header = input.peek(FILE_HEADER);
        if header.len() < FILE_HEADER {
            return None;
        }
        let known = |order: Order| match order.u32(header, 0) {
            MICROSECONDS => Some((order, 1000)),
            NANOSECONDS => Some((order, 1)),
            _ => None,
        };
        let (order, fraction_ns) = known(Order::Little).or_else(|| known(Order::Big))?;
        // The upper bits describe frame check sequences.
        let link = LinkType::from_number(order.u32(header, 20) & 0xffff);
        input.skip(FILE_HEADER);
        Some(Self { order, fraction_ns, link })
    }

    pub(super) fn next(&mut self, input: &mut Input, notes: &mut Notes) -> Option<Raw> {
        let header = input.peek(PACKET_HEADER);
        if header.len() < PACKET_HEADER {
            if !header.is_empty() {
                cut(notes);
                input.skip(PACKET_HEADER);
            }
            return None;
        }
        let order = self.order;
        let (seconds, fraction) = (order.u32(header, 0), order.u32(header, 4));
        let (captured, length) = (order.u32(header, 8) as usize, order.u32(header, 12));
        if captured > PACKET_MAX {
            notes.add(Note::FileDamaged);
            input.is_over = true;
            input.skip(usize::MAX);
            return None;
        }
        if input.take(PACKET_HEADER + captured).is_none() {
            cut(notes);
            input.skip(usize::MAX);
            return None;
        }
        let time_ns = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.fraction_ns;
        let at = input.position() - captured as u64;
        Some(Raw { number: 0, time_ns, link: self.link, interface: 0, length, at, captured })
    }
}
