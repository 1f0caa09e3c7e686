//! Link layers: from a frame to the IP packet in it.

use serde::Serialize;

/// How frames begin (tcpdump.org's list of link-layer header types).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkType {
    Ethernet,
    /// BSD loopback: the address family in the byte order of the capturing machine.
    Null,
    /// OpenBSD loopback: the address family in network byte order.
    Loop,
    RawIp,
    LinuxCooked,
    LinuxCooked2,
    Other(u32),
}

impl LinkType {
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            // DLT_RAW has several numbers. 228 and 229 are for IPv4 and IPv6 only.
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            other => Self::Other(other),
        }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::RawIp => 101,
            Self::Loop => 108,
            Self::LinuxCooked => 113,
            Self::LinuxCooked2 => 276,
            Self::Other(number) => number as u16,
        }
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and their predecessor.
const VLANS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// The IP packet in a frame. `None`: there is none.
pub(crate) fn network(link: LinkType, frame: &[u8]) -> Option<&[u8]> {
    let (mut kind, mut rest) = match link {
        LinkType::Ethernet => (u16_at(frame, 12)?, frame.get(14..)?),
        LinkType::LinuxCooked => (u16_at(frame, 14)?, frame.get(16..)?),
        LinkType::LinuxCooked2 => (u16_at(frame, 0)?, frame.get(20..)?),
        LinkType::Null | LinkType::Loop => return frame.get(4..).filter(|rest| version(rest).is_some()),
        LinkType::RawIp => return Some(frame).filter(|rest| version(rest).is_some()),
        LinkType::Other(_) => return None,
    };
    while VLANS.contains(&kind) {
        kind = u16_at(rest, 2)?;
        rest = rest.get(4..)?;
    }
    matches!(kind, IPV4 | IPV6).then_some(rest)
}

pub(crate) fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|byte| byte >> 4).filter(|version| matches!(version, 4 | 6))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}
/// FNV-1a: link-layer headers and options are short, and the hash only shows whether two of them differ.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
