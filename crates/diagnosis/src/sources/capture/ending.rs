//! How a captured session ended, or who waits for whom still.

use std::time::Duration;

use capture::Session;
use protocol::tls::{Ending, Side};

use crate::evidence::Sign;

/// A client that ends a connection after this silence got no answer; real clients wait longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The client gave up waiting, or waits still.
pub(super) fn has_waited(session: &Session) -> bool {
    cut_by_server(session).is_none() && Duration::from_micros(session.turns.silence_us) >= PATIENCE
}

pub(super) fn cut_by_server(session: &Session) -> Option<Sign> {
    let ended = session.ended.filter(|ended| ended.by == Side::Server)?;
    Some(if ended.how == Ending::Reset { Sign::ConnectionReset } else { Sign::ConnectionClosed })
}
