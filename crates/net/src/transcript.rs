//! What is said on a connection, line by line, for whoever writes it down: the protocol log.

use std::net::SocketAddr;

use protocol::tls::{Ending, HandshakeFacts, Side};

/// One thing that happened on a connection. Content of messages is never among them.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The sending side tries to connect; there is no socket yet.
    Connecting,
    Connected {
        local: SocketAddr,
    },
    /// Why no connection came about, for people.
    ConnectFailed(&'a str),
    /// Why this side says no more of it, though the other side answers, for people.
    GivenUp(&'a str),
    /// One line that this side sent, without CRLF.
    Sent(&'a [u8]),
    /// One line from the other side, without its line end.
    Received(&'a [u8]),
    /// So many lines of the other side's reply, which said too much.
    Omitted {
        lines: u32,
    },
    /// Encrypted from here on.
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
    /// By this side.
    Local,
    /// By the other side, in an orderly way.
    Remote,
    /// By the other side, with a reset.
    RemoteReset,
}

impl Disconnected {
    /// How the other side ended a handshake; `None` if it did not.
    pub(crate) fn within(facts: &HandshakeFacts, other: Side) -> Option<Self> {
        match facts.ended.filter(|ended| ended.by == other)?.how {
            Ending::Reset => Some(Self::RemoteReset),
            Ending::Fin => Some(Self::Remote),
            Ending::Silence => None,
        }
    }
}

/// Writes one connection down. Called in the order of what happened; must not block.
pub trait Transcript: Send + 'static {
    fn write(&mut self, line: Line<'_>);
}
