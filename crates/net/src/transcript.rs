//! The commands, replies and events of a connection, line by line, for the protocol log.

use std::net::SocketAddr;

use protocol::tls::{Ending, HandshakeFacts, Side};

/// One event on a connection. It never contains message content.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The sending side tries to connect. There is no socket yet.
    Connecting,
    Connected {
        local: SocketAddr,
    },
    /// Why the connection failed, for people.
    ConnectFailed(&'a str),
    /// Why this side stops although the other side still answers, for people.
    GivenUp(&'a str),
    /// One line that this side sent, without CRLF.
    Sent(&'a [u8]),
    /// One line from the other side, without its line end.
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
    /// Closed by this side.
    Local,
    /// Closed by the other side in an orderly way.
    Remote,
    /// Closed by the other side with a reset.
    RemoteReset,
}

impl Disconnected {
    /// How the other side ended a handshake. `None` if it did not.
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
