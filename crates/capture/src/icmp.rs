//! ICMP errors (RFC 792, RFC 4443): reports of devices on the path about a connection's packets.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    ip::ICMP6,
    link::{u16_at, u32_at},
};

const HEADER: usize = 8;

/// A device on the path, or the host itself, could not deliver a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    NetworkUnreachable,
    HostUnreachable,
    PortUnreachable,
    /// A filter refuses the packet ("communication administratively prohibited").
    Prohibited,
    /// Another reason, by its code.
    Unreachable(u8),
    /// The packet is larger than a link takes, and must not be cut (IPv4).
    FragmentationNeeded {
        mtu: u16,
    },
    /// The same in IPv6.
    PacketTooBig {
        mtu: u32,
    },
    TimeExceeded,
    HopLimitExceeded,
    SourceQuench,
    Redirect,
    ParameterProblem,
}

impl IcmpError {
    /// The MTU of a link that the packet does not fit.
    pub fn mtu(self) -> Option<u32> {
        match self {
            Self::FragmentationNeeded { mtu } => Some(mtu.into()),
            Self::PacketTooBig { mtu } => Some(mtu),
            _ => None,
        }
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkUnreachable => f.write_str("network unreachable"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::PortUnreachable => f.write_str("port unreachable"),
            Self::Prohibited => f.write_str("prohibited by a filter"),
            Self::Unreachable(code) => write!(f, "destination unreachable (code {code})"),
            Self::FragmentationNeeded { mtu } => write!(f, "fragmentation needed (MTU {mtu})"),
            Self::PacketTooBig { mtu } => write!(f, "packet too big (MTU {mtu})"),
            Self::TimeExceeded => f.write_str("time to live exceeded"),
            Self::HopLimitExceeded => f.write_str("hop limit exceeded"),
            Self::SourceQuench => f.write_str("source quench"),
            Self::Redirect => f.write_str("redirect"),
            Self::ParameterProblem => f.write_str("parameter problem"),
        }
    }
}

/// In words.
impl Serialize for IcmpError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error, and the packet that it is about. `None`: it is not an error.
pub(crate) fn error(protocol: u8, message: &[u8]) -> Option<(IcmpError, &[u8])> {
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let error = if protocol == ICMP6 {
        match (kind, code) {
            (1, 0) => IcmpError::NetworkUnreachable,
            (1, 1 | 5 | 6) => IcmpError::Prohibited,
            (1, 3) => IcmpError::HostUnreachable,
            (1, 4) => IcmpError::PortUnreachable,
            (1, _) => IcmpError::Unreachable(code),
            (2, _) => IcmpError::PacketTooBig { mtu: u32_at(message, 4)? },
            (3, _) => IcmpError::HopLimitExceeded,
            (4, _) => IcmpError::ParameterProblem,
            _ => return None,
        }
    } else {
        match (kind, code) {
            (3, 0) => IcmpError::NetworkUnreachable,
            (3, 1) => IcmpError::HostUnreachable,
            (3, 3) => IcmpError::PortUnreachable,
            (3, 4) => IcmpError::FragmentationNeeded { mtu: u16_at(message, 6)? },
            (3, 9 | 10 | 13) => IcmpError::Prohibited,
            (3, _) => IcmpError::Unreachable(code),
            (4, _) => IcmpError::SourceQuench,
            (5, _) => IcmpError::Redirect,
            (11, _) => IcmpError::TimeExceeded,
            (12, _) => IcmpError::ParameterProblem,
            _ => return None,
        }
    };
    Some((error, message.get(HEADER..)?))
}
