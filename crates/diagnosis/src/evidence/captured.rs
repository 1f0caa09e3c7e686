//! Sessions of captures that wait for a log of the same connection, and by how much the clocks of both differ.

use std::{collections::HashMap, fmt, net::SocketAddr, time::Duration};

use capture::Session;
use jiff::Timestamp;
use protocol::tls::HandshakeFacts;
use serde::Serialize;

use super::{
    attempt::{Attempt, Connection},
    source::{Place, Source},
};

/// Clocks of two machines differ by no more; ports are not used again so soon, and no message is tried again so soon.
pub(super) const APART_MAX: Duration = Duration::from_secs(300);
/// Attempts and sessions that wait for another source; what is beyond stands alone.
pub(super) const HELD_MAX: usize = 200_000;
/// Smaller differences are those of a log that is written a little late.
const CLOCK_MS_MIN: u64 = 1000;

/// By how much the clocks of two files differ, as the connections tell that both have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Clock {
    pub capture: String,
    pub log: String,
    /// The median; positive where the capture's clock is ahead.
    pub ahead_ms: i64,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.ahead_ms.unsigned_abs() as f64 / 1000.0;
        let how = if self.ahead_ms > 0 { "ahead of" } else { "behind" };
        write!(f, "the clock of {} is {by:.1} s {how} the clock of {}", self.capture, self.log)
    }
}

/// Sessions of captures, found by their connection.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// By client and server.
    sessions: HashMap<(SocketAddr, SocketAddr), Vec<CapturedSession>>,
    count: usize,
    /// By how many milliseconds a capture's clock is ahead of a log's, by the files.
    ahead_ms: HashMap<(String, String), Vec<i64>>,
}

#[derive(Debug)]
struct CapturedSession {
    session: Session,
    file: String,
    is_told: bool,
}

impl Captured {
    /// Keeps a session; where there is no room it is given back.
    pub(super) fn keep(&mut self, session: Session, file: &str) -> Option<Session> {
        if self.count >= HELD_MAX {
            return Some(session);
        }
        self.count += 1;
        let connection = (session.client, session.server);
        let captured = CapturedSession { session, file: file.to_owned(), is_told: false };
        self.sessions.entry(connection).or_default().push(captured);
        None
    }

    /// The handshake of the connection that an attempt went by, of several the nearest in time.
    pub(super) fn find(
        &mut self,
        attempt: &Attempt<'_>,
        places: impl Fn() -> Vec<(Source, Place)>,
    ) -> Option<(Option<HandshakeFacts>, Place)> {
        let Connection { client, server, began } = attempt.connection?;
        let sessions = self.sessions.get_mut(&(client, server))?;
        let near = sessions.iter_mut().filter(|captured| apart(began, captured.session.first) <= APART_MAX);
        let captured = near.min_by_key(|captured| apart(began, captured.session.first))?;
        // A connection counts once, whatever it carries. Only a protocol log tells when one began.
        if !captured.is_told
            && attempt.source.is_protocol_log()
            && let [(_, Place::Session { file: Some(log), .. })] = places().as_slice()
        {
            let ahead = captured.session.first.duration_since(began).as_millis();
            let files = (captured.file.clone(), log.clone());
            self.ahead_ms.entry(files).or_default().push(i64::try_from(ahead).unwrap_or(0));
        }
        captured.is_told = true;
        let place = Place::Stream { file: captured.file.clone(), stream: captured.session.stream };
        Some((captured.session.handshake.clone(), place))
    }

    pub(super) fn clocks(&self) -> Vec<Clock> {
        let median = |ahead: &Vec<i64>| {
            let mut ahead = ahead.clone();
            ahead.sort_unstable();
            ahead[ahead.len() / 2]
        };
        let clock = |((capture, log), ahead): (&(String, String), &Vec<i64>)| Clock {
            capture: capture.clone(),
            log: log.clone(),
            ahead_ms: median(ahead),
        };
        let mut clocks: Vec<Clock> =
            self.ahead_ms.iter().map(clock).filter(|clock| clock.ahead_ms.unsigned_abs() >= CLOCK_MS_MIN).collect();
        clocks.sort_by(|a, b| (&a.capture, &a.log).cmp(&(&b.capture, &b.log)));
        clocks
    }

    /// Sessions that are in no log, each with its file.
    pub(super) fn rest(self) -> impl Iterator<Item = (Session, String)> {
        let untold = self.sessions.into_values().flatten().filter(|captured| !captured.is_told);
        untold.map(|captured| (captured.session, captured.file))
    }
}

pub(super) fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.duration_since(b).unsigned_abs()
}
