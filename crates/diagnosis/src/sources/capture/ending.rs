//! How a captured session ended, or who still waits for whom.

use std::time::Duration;

use capture::{Analysis, Session};
use protocol::tls::{Ending, Side};

use crate::evidence::Sign;

/// A client that ends a connection after this silence got no answer. Real clients wait longer.
const PATIENCE: Duration = Duration::from_millis(500);
/// A connection that is open when the capture ends may get its answer later. Servers seldom take so long.
const PATIENCE_OPEN: Duration = Duration::from_secs(60);
/// The same if the server's system accepts no more bytes: then the client cannot even end the connection.
const PATIENCE_FULL: Duration = Duration::from_secs(3);

/// The end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    CutByServer(Sign),
    /// The client ended the connection after it had waited.
    GivenUp,
    /// It was still open, and nothing was said for long.
    Silent,
    /// The client ended the connection, and did not wait for anything.
    Left,
    /// It was still open.
    Open,
}

impl End {
    pub(super) fn of(session: &Session) -> Self {
        let silence = silence(session);
        match session.ended {
            Some(ended) if ended.by == Side::Server => Self::CutByServer(match ended.how {
                Ending::Reset => Sign::ConnectionReset,
                Ending::Fin | Ending::Silence => Sign::ConnectionClosed,
            }),
            Some(_) if silence >= PATIENCE => Self::GivenUp,
            Some(_) => Self::Left,
            None if session.is_server_full && silence >= PATIENCE_FULL => Self::Silent,
            None if silence >= PATIENCE_OPEN && is_alive(session) => Self::Silent,
            None => Self::Open,
        }
    }

    /// What happened, if the session failed by its end.
    pub(super) fn sign(self) -> Option<Sign> {
        match self {
            Self::CutByServer(sign) => Some(sign),
            Self::GivenUp | Self::Silent => Some(Sign::TimedOut),
            Self::Left | Self::Open => None,
        }
    }

    /// The client waited for an answer.
    pub(super) fn has_waited(self) -> bool {
        matches!(self, Self::GivenUp | Self::Silent)
    }
}

pub(super) fn silence(session: &Session) -> Duration {
    Duration::from_micros(session.turns.silence_us)
}

pub(super) fn has_patience_ended(session: &Session) -> bool {
    silence(session) >= PATIENCE
}

/// The capture shows that nothing is missing after the last packet: the server's system has everything, or the client
/// sends it again.
fn is_alive(session: &Session) -> bool {
    session.is_client_acknowledged || session.analysis.of(Analysis::RETRANSMISSION) > 1
}
