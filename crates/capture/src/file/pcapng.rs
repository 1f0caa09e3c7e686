//! pcapng: blocks, each with its length before and after (draft-ietf-opsawg-pcapng). A file may have several sections, in
//! either byte order, and several interfaces.

use super::{Input, Order, PACKET_MAX, Raw, cut};
use crate::{
    link::LinkType,
    note::{Note, Notes},
};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type, and length before and after.
const BLOCK_OVERHEAD: usize = 12;
/// Maximum size of a block whose content is read.
const BLOCK_MAX: usize = PACKET_MAX + 64 * 1024;
/// Maximum number of interfaces. No file needs more.
const INTERFACES_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Pcapng {
    order: Option<Order>,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snap_length: u32,
    units_per_second: u64,
    offset_s: i64,
}

pub(super) fn is_pcapng(start: &[u8]) -> bool {
    start.len() == 12 && start[..4] == SECTION_HEADER.to_be_bytes() && order_of(start).is_some()
}

fn order_of(section: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big].into_iter().find(|order| order.u32(section, 8) == BYTE_ORDER_MAGIC)
}

impl Pcapng {
    pub(super) fn next(&mut self, input: &mut Input, notes: &mut Notes) -> Option<Raw> {
        loop {
            let head = input.peek(BLOCK_OVERHEAD);
            if head.len() < BLOCK_OVERHEAD {
                if !head.is_empty() {
                    cut(notes);
                    input.skip(usize::MAX);
                }
                return None;
            }
            if head[..4] == SECTION_HEADER.to_be_bytes() {
                self.order = order_of(head);
                self.interfaces.clear();
            }
            let Some(order) = self.order else { return damaged(input, notes) };
            let (kind, length) = (order.u32(head, 0), order.u32(head, 4) as usize);
            if length < BLOCK_OVERHEAD || !length.is_multiple_of(4) {
                return damaged(input, notes);
            }
            let is_wanted = matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
            if !is_wanted {
                input.skip(length);
                continue;
            }
            if length > BLOCK_MAX {
                return damaged(input, notes);
            }
            if input.peek(length).len() < length {
                cut(notes);
                input.skip(usize::MAX);
                return None;
            }
            input.skip(length);
            let start = input.start - length;
            let place = input.offset + start as u64 + 8;
            let body = &input.buffer[start + 8..start + length - 4];
            if kind == INTERFACE {
                self.interface(order, body);
            } else if let Some(raw) = self.packet(order, kind, body, place, notes) {
                return Some(raw);
            }
        }
    }

    fn interface(&mut self, order: Order, body: &[u8]) {
        if body.len() < 8 || self.interfaces.len() >= INTERFACES_MAX {
            return;
        }
        let mut interface = Interface {
            link: LinkType::from_number(u32::from(order.u16(body, 0))),
            snap_length: order.u32(body, 4),
            units_per_second: 1_000_000,
            offset_s: 0,
        };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), order.u16(options, 2) as usize);
            let Some(value) = options.get(4..4 + length) else { break };
            match (code, value) {
                (0, _) => break,
                // if_tsresol: a power of ten, or of two where the highest bit is set.
                (9, [resolution]) => {
                    let power = u32::from(resolution & 0x7f);
                    let units =
                        if resolution & 0x80 == 0 { 10_u64.checked_pow(power) } else { 2_u64.checked_pow(power) };
                    interface.units_per_second = units.unwrap_or(1_000_000);
                }
                // if_tsoffset
                (14, value) if value.len() == 8 => {
                    let (a, b) = (u64::from(order.u32(value, 0)), u64::from(order.u32(value, 4)));
                    let whole = if order == Order::Little { b << 32 | a } else { a << 32 | b };
                    interface.offset_s = whole as i64;
                }
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
    }

    fn packet(&self, order: Order, kind: u32, body: &[u8], place: u64, notes: &mut Notes) -> Option<Raw> {
        let header = if kind == SIMPLE_PACKET { 4 } else { 20 };
        if body.len() < header {
            notes.add(Note::FileDamaged);
            return None;
        }
        let number = match kind {
            ENHANCED_PACKET => order.u32(body, 0) as usize,
            OLD_PACKET => order.u16(body, 0) as usize,
            _ => 0,
        };
        let Some(interface) = self.interfaces.get(number) else {
            notes.add(Note::UnknownInterface);
            return None;
        };
        let (time_ns, captured, length) = if kind == SIMPLE_PACKET {
            let length = order.u32(body, 0);
            let limit = if interface.snap_length == 0 { length } else { interface.snap_length.min(length) };
            (0, limit as usize, length)
        } else {
            let units = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
            (interface.time(units), order.u32(body, 12) as usize, order.u32(body, 16))
        };
        if body.len() - header < captured {
            notes.add(Note::FileDamaged);
            return None;
        }
        let (link, at) = (interface.link, place + header as u64);
        Some(Raw { number: 0, time_ns, link, interface: number as u32, length, at, captured })
    }
}

impl Interface {
    fn time(&self, units: u64) -> i64 {
        let per_second = self.units_per_second.max(1);
        let (seconds, fraction) = (units / per_second, units % per_second);
        let fraction_ns = match per_second {
            1_000_000 => fraction * 1000,
            1_000_000_000 => fraction,
            other => (u128::from(fraction) * 1_000_000_000 / u128::from(other)) as u64,
        };
        (seconds as i64).wrapping_add(self.offset_s).saturating_mul(1_000_000_000).saturating_add(fraction_ns as i64)
    }
}

fn damaged(input: &mut Input, notes: &mut Notes) -> Option<Raw> {
    notes.add(Note::FileDamaged);
    input.is_over = true;
    input.skip(usize::MAX);
    None
}
