//! One attempt that several sources tell of. A protocol log knows what was said, also behind encryption; a capture has the
//! handshake itself; a trace knows the message; the gateway's own history the TLS policy. Together they are one attempt,
//! not four.
//!
//! ```text
//!   capture ──hold──> by connection ─┐
//!   log, trace, … ──meet──────────── completed ──held──> by session id, by message ─┐
//!   history (the last source) ──meet─────────────────────────────────────── completed ──> Evidence
//! ```

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use capture::Session;
use jiff::Timestamp;
use protocol::{smtp::Phase, tls::HandshakeFacts};
use serde::Serialize;

use crate::{
    attempt::Attempt,
    evidence::{Connection, Evidence, Observed, Outcome, Place, Source},
    sources,
};

/// Clocks of two machines differ by no more; ports are not used again so soon, and no message is tried again so soon.
const APART_MAX: Duration = Duration::from_secs(300);
/// Attempts and sessions that wait for another source; what is beyond stands alone.
const HELD_MAX: usize = 200_000;
/// Smaller differences are those of a log that is written a little late.
const CLOCK_MS_MIN: u64 = 1000;

/// What came of joining.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Attempts that another source completed.
    pub attempts: u64,
    /// Attempts and sessions that were not compared with other sources, since too many wait already.
    pub alone: u64,
    /// Clocks that differ by more than a second.
    pub clocks: Vec<Clock>,
}

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
        write!(f, "the clock of {} is {by:.1} s {how} that of {}", self.capture, self.log)
    }
}

/// Who knows of an attempt already.
pub(crate) enum Met {
    Nobody,
    /// It waits for further sources.
    Held,
    /// No further source follows.
    Complete(Box<Attempt>),
}

#[derive(Debug, Default)]
pub(crate) struct Joining {
    pub is_last_source: bool,
    captured: Captured,
    held: Vec<Held>,
    /// Indices of `held`.
    by_session: HashMap<String, Vec<usize>>,
    /// By message, in each of its names, and recipient, all in lower case.
    by_message: HashMap<(String, String), Vec<usize>>,
    /// Those of which the source names no message: a protocol log has the envelope only.
    by_recipient: HashMap<String, Vec<usize>>,
    attempts: u64,
    alone: u64,
}

#[derive(Debug)]
struct Held {
    attempt: Attempt,
    /// It went into another one.
    is_told: bool,
    /// Others went into it.
    is_joined: bool,
}

impl Joining {
    pub(crate) fn hold_session(&mut self, session: Session, file: &str) -> Option<Session> {
        let rest = self.captured.keep(session, file);
        self.alone += u64::from(rest.is_some());
        rest
    }

    /// Completes an attempt by what is known of it. `places` is asked if it is needed.
    pub(crate) fn meet(&mut self, observed: &Observed<'_>, places: impl Fn() -> Vec<(Source, Place)>) -> Met {
        let index = self.find(observed);
        let captured = self.captured.find(observed, &places);
        let is_known = index.is_some() || captured.is_some();
        // What is of three sources counts once.
        self.attempts += u64::from(is_known && !index.is_some_and(|index| self.held[index].is_joined));
        let can_be_met = observed.session.is_some() || observed.recipient.is_some();
        if !is_known && (self.is_last_source || !can_be_met) {
            return Met::Nobody;
        }
        let mut attempt = Attempt::of(observed, places());
        if let Some((handshake, place)) = captured {
            attempt.handshake = attempt.handshake.or(handshake);
            attempt.places.push((Source::Capture, place));
        }
        if let Some(index) = index {
            self.held[index].is_told = true;
            attempt = together(attempt, self.held[index].attempt.clone());
        }
        if self.is_last_source {
            return Met::Complete(Box::new(attempt));
        }
        if self.held.len() >= HELD_MAX {
            self.alone += 1;
            return Met::Complete(Box::new(attempt));
        }
        self.hold(attempt, is_known);
        Met::Held
    }

    fn hold(&mut self, attempt: Attempt, is_joined: bool) {
        let index = self.held.len();
        if let Some(session) = &attempt.session {
            self.by_session.entry(session.clone()).or_default().push(index);
        }
        let names = names(&attempt.observed());
        if let (true, Some(recipient)) = (names.is_empty(), &attempt.recipient) {
            self.by_recipient.entry(recipient.to_ascii_lowercase()).or_default().push(index);
        }
        for name in names {
            self.by_message.entry(name).or_default().push(index);
        }
        self.held.push(Held { attempt, is_told: false, is_joined });
    }

    /// The attempt that another source tells of: of the same session, or else of the same message at the same time.
    fn find(&self, observed: &Observed<'_>) -> Option<usize> {
        let of_session = observed.session.and_then(|session| self.by_session.get(session));
        let fits = |index: &&usize| is_other(&self.held[**index].attempt, observed);
        // Several messages may go by one session, and one message to several recipients.
        let rank = |index: &&usize| {
            let Held { attempt, is_told, .. } = &self.held[**index];
            of_recipient(attempt, observed).map(|rank| (rank, *is_told))
        };
        let in_session = of_session.into_iter().flatten().filter(fits).filter(|index| rank(index).is_some());
        if let Some(index) = in_session.min_by_key(rank) {
            return Some(*index);
        }
        let names = names(observed);
        let of_message = names.iter().filter_map(|name| self.by_message.get(name));
        let of_recipient = names.first().and_then(|(_, recipient)| self.by_recipient.get(recipient));
        let same = of_message
            .chain(of_recipient)
            .flatten()
            .filter(fits)
            .filter(|index| !self.held[**index].is_told && is_same_hop(&self.held[**index], observed));
        let near = same.filter_map(|index| Some((apart(self.held[*index].attempt.at?, observed.at?), index)));
        near.filter(|(apart, _)| *apart <= APART_MAX).min().map(|(_, index)| *index)
    }

    /// What nobody else told of stands alone.
    pub(crate) fn finish(self, evidence: &mut Evidence) -> Joined {
        for held in self.held.iter().filter(|held| !held.is_told) {
            evidence.record_attempt(&held.attempt);
        }
        let clocks = self.captured.clocks();
        for (session, file) in self.captured.rest() {
            sources::capture::add_session(evidence, &session, &file);
        }
        Joined { attempts: self.attempts, alone: self.alone, clocks }
    }
}

/// What names message and recipient across systems.
fn names(observed: &Observed<'_>) -> Vec<(String, String)> {
    let Some(recipient) = observed.recipient.map(str::to_ascii_lowercase) else { return Vec::new() };
    let bare = |id: &str| id.trim_matches(['<', '>', ' ']).to_ascii_lowercase();
    let ids = [observed.message, observed.message_id].into_iter().flatten().map(bare);
    let mut names: Vec<_> = ids.map(|id| (id, recipient.clone())).collect();
    names.dedup();
    names
}

/// Another source that tells of an attempt with the same outcome.
fn is_other(attempt: &Attempt, observed: &Observed<'_>) -> bool {
    let failed = matches!(observed.outcome, Outcome::Failed { .. });
    let sources = attempt.places.iter().map(|(source, _)| *source).chain([attempt.source]);
    attempt.failure.is_some() == failed && sources.into_iter().all(|source| source != observed.source)
}

/// Within a session: 0 for the same recipient, 1 where one of them tells none, 2 for another one who shares its fate.
fn of_recipient(attempt: &Attempt, observed: &Observed<'_>) -> Option<u8> {
    match (&attempt.recipient, observed.recipient) {
        (Some(held), Some(recipient)) if held.eq_ignore_ascii_case(recipient) => Some(0),
        (None, _) | (_, None) => Some(1),
        // A recipient is refused for reasons of its own.
        _ if attempt.failure.as_ref().is_some_and(|failed| failed.phase == Some(Phase::Rcpt)) => None,
        _ => Some(2),
    }
}

/// A message passes several servers: an attempt is one server's to reach the next.
fn is_same_hop(held: &Held, observed: &Observed<'_>) -> bool {
    let host =
        |destination: Option<(&str, u16)>| destination.map(|(host, _)| host.trim_end_matches('.').to_ascii_lowercase());
    let held = held.attempt.observed();
    match (held.destination_address, observed.destination_address) {
        (Some(held), Some(address)) => return held == address,
        _ if [held.source, observed.source].contains(&Source::Dsn) => {}
        _ => return host(held.destination).is_some_and(|name| Some(name) == host(observed.destination)),
    }
    // A bounce names the server that refused, or none.
    match (host(held.destination), host(observed.destination)) {
        (Some(held), Some(host)) => held == host || held.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}

/// The words of the source that knows most, completed by the other.
fn together(a: Attempt, b: Attempt) -> Attempt {
    let (first, second) = if rank(a.source) <= rank(b.source) { (a, b) } else { (b, a) };
    let named = second.tls.clone().filter(|_| first.source == Source::ProtocolLog);
    let mut attempt = first.completed_by(second);
    // Exchange's protocol log names the bulk cipher only.
    attempt.tls = named.or(attempt.tls);
    attempt
}

fn rank(source: Source) -> u8 {
    match source {
        Source::Attempt => 0,
        Source::ProtocolLog => 1,
        Source::PostfixLog | Source::EximLog => 2,
        Source::TrackingLog => 3,
        Source::MessageTrace => 4,
        Source::Dsn => 5,
        Source::Capture | Source::Probe | Source::TlsReport => 6,
    }
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.duration_since(b).unsigned_abs()
}

/// Sessions of captures, found by their connection.
#[derive(Debug, Default)]
struct Captured {
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
    fn keep(&mut self, session: Session, file: &str) -> Option<Session> {
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
    fn find(
        &mut self,
        observed: &Observed<'_>,
        places: impl Fn() -> Vec<(Source, Place)>,
    ) -> Option<(Option<HandshakeFacts>, Place)> {
        let Connection { client, server, began } = observed.connection?;
        let sessions = self.sessions.get_mut(&(client, server))?;
        let near = sessions.iter_mut().filter(|captured| apart(began, captured.session.first) <= APART_MAX);
        let captured = near.min_by_key(|captured| apart(began, captured.session.first))?;
        // A connection counts once, whatever it carries. Only a protocol log tells when one began.
        if !captured.is_told
            && observed.source == Source::ProtocolLog
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

    fn clocks(&self) -> Vec<Clock> {
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

    /// Sessions that no log told of, each with its file.
    fn rest(self) -> impl Iterator<Item = (Session, String)> {
        let untold = self.sessions.into_values().flatten().filter(|captured| !captured.is_told);
        untold.map(|captured| (captured.session, captured.file))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use trace::protocol_log;

    use super::*;
    use crate::{
        Sign, Signs,
        sources::{capture as captures, protocol_log as logs},
    };

    fn captured() -> Session {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures/no-shared-cipher.pcap");
        let file = File::open(file).unwrap();
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
            session: SESSION.to_owned(),
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
        protocol_log::Session { id: SESSION.to_owned(), rows }
    }

    /// Attempts, and what came of joining, of a log and a capture.
    fn joined(seconds_later: i64, connections: usize) -> (Evidence, Joined) {
        let mut evidence = Evidence::default();
        evidence.join();
        let session = captured();
        let log = logged(&session, seconds_later);
        captures::hold_session(&mut evidence, session, "edge.pcap");
        for _ in 0..connections {
            logs::add_session(&mut evidence, &log, "SEND.LOG", None);
        }
        let joined = evidence.joined();
        (evidence, joined)
    }

    #[test]
    fn a_connection_that_log_and_capture_tell_of_is_one_attempt_with_its_handshake() {
        let attempts = |seconds_later| {
            let (evidence, joined) = joined(seconds_later, 1);
            (evidence.len(), joined.attempts, evidence.records[0].offer != 0)
        };
        assert_eq!(attempts(0), (1, 1, true));
        assert_eq!(attempts(200), (1, 1, true));
        // The same ports, used again.
        assert_eq!((attempts(3600).0, attempts(3600).1), (2, 0));
    }

    #[test]
    fn clocks_that_differ_are_told() {
        assert_eq!(joined(0, 1).1.clocks, []);
        let clocks = joined(200, 1).1.clocks;
        assert_eq!(clocks.len(), 1);
        assert_eq!(clocks[0].to_string(), "the clock of edge.pcap is 200.0 s behind that of SEND.LOG");
    }

    #[test]
    fn both_places_are_told() {
        let (evidence, _) = joined(1, 1);
        let finding = &crate::diagnose(&evidence)[0];
        assert_eq!(finding.evidence[0].place, "session 08DF4B497AB3A13A in SEND.LOG, edge.pcap stream 0");
    }

    const SESSION: &str = "08DF4B497AB3A13A";

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_764_000_000 + second).ok()
    }

    /// What a source tells of a failing attempt.
    fn failed(source: Source, second: i64) -> Observed<'static> {
        let text = "generic";
        let outcome = Outcome::Failed { phase: None, signs: Signs::default(), code: Some(451), enhanced: None, text };
        let destination_address = Some([192, 0, 2, 1].into());
        Observed { at: at(second), destination_address, outcome, ..Observed::by(source) }
    }

    fn of_message(source: Source, second: i64, message: &'static str) -> Observed<'static> {
        Observed { message: Some(message), recipient: Some("Bob@onprem.test"), ..failed(source, second) }
    }

    fn join(observed: &[Observed<'_>]) -> (usize, u64) {
        let mut evidence = Evidence::default();
        evidence.join();
        for observed in observed {
            if observed.source == Source::Attempt {
                evidence.last_source();
            }
            evidence.add(observed, || None);
        }
        let joined = evidence.joined();
        (evidence.len(), joined.attempts)
    }

    #[test]
    fn what_is_of_one_attempt_is_found_by_session_message_and_time() {
        use Source::{Attempt, Dsn, MessageTrace, ProtocolLog, TrackingLog};
        let session = |observed| Observed { session: Some(SESSION), ..observed };
        let recipient = |recipient, observed| Observed { recipient: Some(recipient), ..observed };
        let id = |id, observed| Observed { message_id: Some(id), ..observed };
        let host = |name, observed| Observed { destination: Some((name, 25)), destination_address: None, ..observed };
        let log = failed(ProtocolLog, 0);
        let trace = |second| of_message(MessageTrace, second, "<1@a.test>");
        let history = |second| of_message(Attempt, second, "0192-uuid");
        let worked = Observed { outcome: Outcome::Worked, ..trace(1) };
        let table: &[(&str, Vec<Observed<'_>>, (usize, u64))] = &[
            ("session", vec![session(log.clone()), session(trace(9))], (1, 1)),
            ("session of three", vec![session(log.clone()), session(trace(9)), session(history(9))], (1, 1)),
            ("another session", vec![session(log.clone()), trace(9)], (2, 0)),
            ("another outcome", vec![session(log.clone()), session(worked)], (2, 0)),
            ("message", vec![trace(0), id("1@A.test", history(2))], (1, 1)),
            ("message, much later", vec![trace(0), id("1@a.test", history(900))], (2, 0)),
            ("another message", vec![trace(0), id("2@a.test", history(2))], (2, 0)),
            ("another recipient", vec![trace(0), recipient("eve@a.test", id("1@a.test", history(2)))], (2, 0)),
            ("envelope", vec![recipient("bob@onprem.test", log.clone()), of_message(TrackingLog, 3, "<1@a>")], (1, 1)),
            ("another hop", vec![host("a.test", trace(0)), host("b.test", id("1@a.test", history(1)))], (2, 0)),
            (
                "hop unknown",
                vec![Observed { destination_address: None, ..trace(0) }, id("1@a.test", history(1))],
                (2, 0),
            ),
            (
                "bounce",
                vec![trace(0), Observed { destination_address: None, ..of_message(Dsn, 5, "1@a.test") }],
                (1, 1),
            ),
            ("one source", vec![trace(0), trace(0)], (2, 0)),
            // One message to two recipients by one session, which failed for both.
            ("recipients", vec![session(log), session(trace(1)), session(recipient("eve@a.test", trace(1)))], (2, 2)),
        ];
        for (name, observed, expected) in table {
            assert_eq!(join(observed), *expected, "{name}");
        }
    }

    #[test]
    fn sources_complete_each_other() {
        let mut evidence = Evidence::keeping(1);
        evidence.join();
        let signs = Signs::default().and(Sign::ConnectionReset);
        let text = "reset";
        let reset = Outcome::Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text };
        let log = Observed { session: Some(SESSION), outcome: reset, ..failed(Source::ProtocolLog, 0) };
        let policy = Some("modern");
        let trace = of_message(Source::MessageTrace, 1, "<1@a.test>");
        evidence.add(&log, || None);
        evidence.add(&Observed { session: Some(SESSION), tls_policy: policy, ..trace }, || None);
        evidence.joined();
        let finding = &crate::explain(&evidence)[0];
        assert_eq!((finding.finding.cause, finding.finding.messages_pending), ("handshake-reset", 1));
        let attempt = finding.failing()[0];
        assert_eq!((attempt.source, attempt.tls_policy.as_deref()), (Source::ProtocolLog, policy));
        let failure = attempt.failure.as_ref().unwrap();
        assert_eq!((failure.text.as_str(), failure.code), ("reset", Some(451)));
    }
}
