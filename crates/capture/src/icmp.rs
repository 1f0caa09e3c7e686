//! ICMP errors (RFC 792, RFC 4443): reports of devices on the path about a connection's packets.

use crate::{
    ip::ICMP6,
    link::{u16_at, u32_at},
};

const HEADER: usize = 8;

/// The error in words, and the packet that it is about. `None`: it is not an error.
pub(crate) fn error(protocol: u8, message: &[u8]) -> Option<(String, &[u8])> {
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let text = if protocol == ICMP6 {
        match (kind, code) {
            (1, _) => format!("destination unreachable (code {code})"),
            (2, _) => format!("packet too big (MTU {})", u32_at(message, 4)?),
            (3, _) => "hop limit exceeded".to_owned(),
            (4, _) => "parameter problem".to_owned(),
            _ => return None,
        }
    } else {
        match (kind, code) {
            (3, 0) => "network unreachable".to_owned(),
            (3, 1) => "host unreachable".to_owned(),
            (3, 3) => "port unreachable".to_owned(),
            (3, 4) => format!("fragmentation needed (MTU {})", u16_at(message, 6)?),
            (3, 9 | 10 | 13) => "prohibited by a filter".to_owned(),
            (3, _) => format!("destination unreachable (code {code})"),
            (4, _) => "source quench".to_owned(),
            (5, _) => "redirect".to_owned(),
            (11, _) => "time to live exceeded".to_owned(),
            (12, _) => "parameter problem".to_owned(),
            _ => return None,
        }
    };
    Some((text, message.get(HEADER..)?))
}
