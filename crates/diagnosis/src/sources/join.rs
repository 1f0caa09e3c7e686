//! One connection that two sources tell of: a log knows what was said, also behind encryption; a capture has the handshake
//! itself. Together they are one attempt, not two.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use capture::Session;
use trace::protocol_log;

/// Clocks of two machines differ by no more, and ports are not used again so soon.
const APART_MAX: Duration = Duration::from_secs(300);
/// Sessions kept; what is beyond stands alone.
const SESSIONS_MAX: usize = 100_000;

/// Sessions of captures, found by their connection.
#[derive(Debug, Default)]
pub struct Captured {
    /// By client and server, with the name of the file.
    sessions: HashMap<(SocketAddr, SocketAddr), Vec<(Session, String)>>,
    count: usize,
}

impl Captured {
    /// Keeps a session; where there is no room it is given back.
    pub fn keep(&mut self, session: Session, file: &str) -> Option<Session> {
        if self.count >= SESSIONS_MAX {
            return Some(session);
        }
        self.count += 1;
        let connection = (session.client, session.server);
        self.sessions.entry(connection).or_default().push((session, file.to_owned()));
        None
    }

    /// The session that a log tells of, of several the nearest in time. It is told of once.
    pub fn take(&mut self, log: &protocol_log::Session) -> Option<Session> {
        let row = log.rows.iter().find(|row| row.local.parse::<SocketAddr>().is_ok())?;
        let connection = (row.local.parse().ok()?, row.remote.parse().ok()?);
        let at = row.at?;
        let sessions = self.sessions.get_mut(&connection)?;
        let apart = |session: &Session| at.duration_since(session.first).unsigned_abs();
        let near = sessions.iter().enumerate().filter(|(_, (session, _))| apart(session) <= APART_MAX);
        let (nearest, _) = near.min_by_key(|(_, (session, _))| apart(session))?;
        self.count -= 1;
        Some(sessions.swap_remove(nearest).0)
    }

    /// Sessions that no log told of, each with its file.
    pub fn rest(self) -> impl Iterator<Item = (Session, String)> {
        self.sessions.into_values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs::File, path::PathBuf};

    use super::*;
    use crate::{
        Evidence,
        sources::{capture as captures, protocol_log as logs},
    };

    fn captured() -> Session {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let samples = env::var_os("GATEPOST_SHARED").map_or_else(beside, PathBuf::from).join("samples/captures");
        let file = File::open(samples.join("zeek-tls-smtp-starttls.pcap")).unwrap();
        let mut sessions = Vec::new();
        let packets = capture::Packets::open(file).unwrap();
        capture::sessions(packets, capture::Options::default(), |session| sessions.push(session));
        sessions.remove(0)
    }

    /// What a log has of the same connection, by a clock that goes otherwise.
    fn logged(session: &Session, seconds_later: i64) -> protocol_log::Session {
        use protocol_log::RowKind as Kind;
        let row = |kind, data: &str, context: &str| protocol_log::Row {
            at: Some(session.first + Duration::from_secs(seconds_later.unsigned_abs())),
            session: "08DF".to_owned(),
            local: session.client.to_string(),
            remote: session.server.to_string(),
            kind,
            data: data.to_owned(),
            context: context.to_owned(),
            ..protocol_log::Row::default()
        };
        let rows = vec![
            row(Kind::Connect, "", ""),
            row(Kind::Sent, "EHLO edge.test", ""),
            row(Kind::Received, "250 mail.test", ""),
            row(Kind::Disconnect, "", "Remote"),
        ];
        protocol_log::Session { id: "08DF".to_owned(), rows }
    }

    fn attempts(seconds_later: i64) -> (usize, bool) {
        let session = captured();
        let log = logged(&session, seconds_later);
        let mut captured = Captured::default();
        assert!(captured.keep(session, "edge.pcap").is_none());
        let joined = captured.take(&log);
        let mut evidence = Evidence::default();
        let handshake = joined.as_ref().and_then(|session| session.handshake.as_ref());
        logs::add_session(&mut evidence, &log, "SEND.LOG", None, handshake);
        for (session, file) in captured.rest() {
            captures::add_session(&mut evidence, &session, &file);
        }
        let knows_offer = evidence.records[0].offer != 0;
        (evidence.len(), knows_offer)
    }

    #[test]
    fn a_connection_that_both_tell_of_is_one_attempt_with_its_handshake() {
        assert_eq!(attempts(0), (1, true));
        assert_eq!(attempts(200), (1, true));
        // The same ports, used again.
        assert_eq!(attempts(3600), (2, false));
    }

    #[test]
    fn it_is_told_of_once() {
        let session = captured();
        let log = logged(&session, 1);
        let mut captured = Captured::default();
        assert!(captured.keep(session, "edge.pcap").is_none());
        assert!(captured.take(&log).is_some());
        assert!(captured.take(&log).is_none());
    }
}
