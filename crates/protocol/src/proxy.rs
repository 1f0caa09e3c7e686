//! The PROXY protocol, version 2: a proxy says first who its client is (haproxy.org, "The PROXY protocol", section 2.2).
//!
//! ```text
//!   signature 12 │ version, command 1 │ family, transport 1 │ length of the rest 2 │ addresses, ports │ options
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The part that each header begins with, in bytes.
pub const HEAD_BYTES: usize = 16;
/// Options may follow the addresses. No proxy needs more bytes for them.
const REST_BYTES_MAX: u16 = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Why a header cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotProxied {
    #[error("the connection does not begin with a header of the PROXY protocol, version 2")]
    NoHeader,
    #[error("the PROXY header has version {0}, and only version 2 is known")]
    Version(u8),
    #[error("the PROXY header has the unknown command {0}")]
    Command(u8),
    #[error("the PROXY header names no TCP client (family and transport {0:#04x})")]
    NotTcp(u8),
    #[error("the PROXY header has a length of {0} bytes, which does not fit what it says")]
    Length(u16),
}

/// The first part of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    from: From,
    rest_bytes: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    /// The proxy itself, which looks whether the server lives, or does not know its client.
    Proxy,
    Ipv4,
    Ipv6,
}

impl From {
    fn address_bytes(self) -> u16 {
        match self {
            Self::Proxy => 0,
            Self::Ipv4 => 12,
            Self::Ipv6 => 36,
        }
    }
}

impl Head {
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Result<Self, NotProxied> {
        let [.., version_and_command, family, high, low] = *bytes;
        if !bytes.starts_with(&SIGNATURE) {
            return Err(NotProxied::NoHeader);
        }
        if version_and_command >> 4 != 2 {
            return Err(NotProxied::Version(version_and_command >> 4));
        }
        let from = match (version_and_command & 0x0F, family) {
            (0, _) | (1, 0) => From::Proxy,
            (1, 0x11) => From::Ipv4,
            (1, 0x21) => From::Ipv6,
            (1, family) => return Err(NotProxied::NotTcp(family)),
            (command, _) => return Err(NotProxied::Command(command)),
        };
        let rest_bytes = u16::from_be_bytes([high, low]);
        if rest_bytes < from.address_bytes() || rest_bytes > REST_BYTES_MAX {
            return Err(NotProxied::Length(rest_bytes));
        }
        Ok(Self { from, rest_bytes })
    }

    /// How many bytes follow.
    pub fn rest_bytes(self) -> usize {
        self.rest_bytes.into()
    }

    /// The client, from what follows; `None`: the proxy speaks for itself.
    pub fn client(self, rest: &[u8]) -> Option<SocketAddr> {
        let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
        let (ip, port): (IpAddr, u16) = match self.from {
            From::Proxy => return None,
            From::Ipv4 => (Ipv4Addr::from(*rest.first_chunk::<4>()?).into(), port(8)?),
            From::Ipv6 => (Ipv6Addr::from(*rest.first_chunk::<16>()?).into(), port(32)?),
        };
        Some(SocketAddr::new(ip.to_canonical(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_and_command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Option<SocketAddr>, NotProxied> {
        let (head, rest) = bytes.split_first_chunk().expect("a whole head");
        let head = Head::read(head)?;
        assert_eq!(head.rest_bytes(), rest.len());
        Ok(head.client(rest))
    }

    #[test]
    fn a_header_names_the_client() {
        let ipv4 = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 25];
        let mut ipv6 = [0; 36];
        ipv6[..16].copy_from_slice(&"2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        ipv6[32..].copy_from_slice(&[0x12, 0x34, 0, 25]);
        let with_options: Vec<u8> = ipv4.into_iter().chain([3, 0, 4, 1, 2, 3, 4]).collect();
        for (bytes, expected) in [
            (header(0x21, 0x11, &ipv4), Ok(Some("192.0.2.9:4660"))),
            (header(0x21, 0x11, &with_options), Ok(Some("192.0.2.9:4660"))),
            (header(0x21, 0x21, &ipv6), Ok(Some("[2001:db8::9]:4660"))),
            // A check of the proxy itself, and one that does not know its client.
            (header(0x20, 0x00, &[]), Ok(None)),
            (header(0x20, 0x11, &ipv4), Ok(None)),
            (header(0x21, 0x00, &[]), Ok(None)),
            (header(0x21, 0x12, &ipv4), Err(NotProxied::NotTcp(0x12))),
            (header(0x21, 0x31, &[0; 216]), Err(NotProxied::NotTcp(0x31))),
            (header(0x22, 0x11, &ipv4), Err(NotProxied::Command(2))),
            (header(0x11, 0x11, &ipv4), Err(NotProxied::Version(1))),
            (header(0x21, 0x11, &ipv4[..11]), Err(NotProxied::Length(11))),
            (header(0x21, 0x11, &[0; 5000]), Err(NotProxied::Length(5000))),
            (b"EHLO client.test\r\n".to_vec(), Err(NotProxied::NoHeader)),
            (b"PROXY TCP4 192.0.2.9 10.0.0.1 4660 25\r\n".to_vec(), Err(NotProxied::NoHeader)),
        ] {
            let expected = expected.map(|client: Option<&str>| client.map(|client| client.parse().unwrap()));
            assert_eq!(read(&bytes), expected, "{bytes:?}");
        }
    }
}
