//! TCP (RFC 9293): segments, the analysis of their sequence numbers, and the streams of bytes that they carry.

pub(crate) mod analysis;
pub(crate) mod copies;
pub(crate) mod coverage;
pub(crate) mod flow;
pub(crate) mod reassembly;
pub(crate) mod turns;

use crate::link::{u16_at, u32_at};

pub use analysis::Analysis;

/// Bits of the header's flags.
pub(crate) mod flag {
    pub(crate) const FIN: u16 = 0x01;
    pub(crate) const SYN: u16 = 0x02;
    pub(crate) const RST: u16 = 0x04;
    pub(crate) const PSH: u16 = 0x08;
    pub(crate) const ACK: u16 = 0x10;
    pub(crate) const URG: u16 = 0x20;
    pub(crate) const ECE: u16 = 0x40;
    pub(crate) const CWR: u16 = 0x80;
}

/// A segment's header and its available payload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment<'a> {
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: u16,
    pub window: u16,
    pub options: &'a [u8],
    /// Options of SYN.
    pub maximum_segment: Option<u16>,
    pub window_scale: Option<u8>,
    /// Payload length according to the IP header. The capture may have less.
    pub length: u32,
    pub payload: &'a [u8],
}

/// `None`: the header is invalid.
pub(crate) fn parse(bytes: &[u8], ip_length: usize) -> Option<Segment<'_>> {
    let header_length = usize::from(*bytes.get(12)? >> 4) * 4;
    if header_length < 20 || ip_length < header_length {
        return None;
    }
    let flags = u16_at(bytes, 12)? & 0x0fff;
    let mut segment = Segment {
        source_port: u16_at(bytes, 0)?,
        destination_port: u16_at(bytes, 2)?,
        sequence: u32_at(bytes, 4)?,
        acknowledgment: u32_at(bytes, 8)?,
        flags,
        window: u16_at(bytes, 14)?,
        options: bytes.get(20..header_length.min(bytes.len())).unwrap_or_default(),
        maximum_segment: None,
        window_scale: None,
        length: (ip_length - header_length) as u32,
        payload: bytes.get(header_length..).unwrap_or_default(),
    };
    if flags & flag::SYN != 0 {
        let options = segment.options;
        read_options(&mut segment, options);
    }
    Some(segment)
}

fn read_options(segment: &mut Segment<'_>, mut options: &[u8]) {
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => break,
            (1, _) => options = rest,
            (_, [length, ..]) if *length >= 2 && options.len() >= usize::from(*length) => {
                let (option, after) = options.split_at(usize::from(*length));
                match option {
                    [2, 4, a, b] => segment.maximum_segment = Some(u16::from_be_bytes([*a, *b])),
                    // RFC 7323 section 2.3: at most 14.
                    [3, 3, scale] => segment.window_scale = Some((*scale).min(14)),
                    _ => {}
                }
                options = after;
            }
            _ => break,
        }
    }
}

/// Sequence numbers wrap around (RFC 9293 section 3.4).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
