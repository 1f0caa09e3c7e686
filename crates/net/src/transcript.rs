//! The commands, replies and events of a connection, line by line, for the protocol log.

use std::net::SocketAddr;

use protocol::tls::{Ending, HandshakeFacts, Side};

/// One event on a connection. It never contains message content.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// Gatepost connects, to send mail. There is no socket yet.
    Connecting,
    Connected {
        local: SocketAddr,
    },
    /// Why the connection failed, for people.
    ConnectFailed(&'a str),
    /// Why Gatepost stops although the remote host still answers, for people.
    GivenUp(&'a str),
    /// One line that Gatepost sent, without CRLF.
    Sent(&'a [u8]),
    /// One line from the remote host, without its line end.
    Received(&'a [u8]),
    /// Number of lines that were left out of a long reply.
    Omitted {
        lines: u32,
    },
    /// The connection is encrypted from here on.
    TlsStarted(&'a HandshakeFacts),
    /// The handshake failed; the text is the TLS library's reason.
    TlsFailed {
        facts: &'a HandshakeFacts,
        reason: &'a str,
    },
    Disconnected(Disconnected),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disconnected {
    /// Closed by Gatepost.
    Local,
    /// Closed by the remote host in an orderly way.
    Remote,
    /// Closed by the remote host with a reset.
    RemoteReset,
}

impl Disconnected {
    /// How the remote host, which is `other`, ended a handshake. `None` if it did not.
    pub(crate) fn within(facts: &HandshakeFacts, other: Side) -> Option<Self> {
        match facts.ended.filter(|ended| ended.by == other)?.how {
            Ending::Reset => Some(Self::RemoteReset),
            Ending::Fin => Some(Self::Remote),
            Ending::Silence => None,
        }
    }
}

/// Records one connection. Called in the order of events. Must not block.
pub trait Transcript: Send + 'static {
    fn write(&mut self, line: Line<'_>);
}
