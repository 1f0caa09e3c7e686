//! The end of joining: adds attempts that only one source has.

use std::collections::BTreeMap;

use super::capture::Reader;
use crate::evidence::{Evidence, Joined};

impl Evidence {
    /// All sources were added.
    pub fn joined(&mut self) -> Joined {
        let Some(joining) = self.end_joining() else { return Joined::default() };
        let (joined, attempts, sessions) = joining.finish();
        for attempt in attempts {
            self.record_kept(&attempt);
        }
        let mut files = BTreeMap::<String, Vec<_>>::new();
        for (session, file) in sessions {
            files.entry(file).or_default().push(session);
        }
        for (file, mut sessions) in files {
            sessions.sort_by_key(|session| session.stream);
            let mut reader = Reader::new(&file);
            sessions.into_iter().for_each(|session| reader.add(self, session));
            reader.finish(self);
        }
        self.end_suspended();
        joined
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, fs::File, path::Path, time::Duration};

    use capture::Session;
    use jiff::Timestamp;
    use protocol::smtp::Phase;
    use trace::protocol_log;

    use super::*;
    use crate::{
        evidence::{Attempt, Failed, Sign, Signs, Source},
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
        captures::Reader::new("edge.pcap").hold(&mut evidence, session);
        for _ in 0..connections {
            logs::add_session(&mut evidence, Source::ProtocolLog, &log, "SEND.LOG", None);
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
        assert_eq!(clocks[0].to_string(), "the clock of edge.pcap is 200.0 s behind the clock of SEND.LOG");
    }

    #[test]
    fn both_places_are_told() {
        let (evidence, _) = joined(1, 1);
        let finding = &crate::diagnose(&evidence)[0];
        assert_eq!(finding.evidence[0].place, "session 08DF4B497AB3A13A in SEND.LOG, edge.pcap stream 0");
    }

    const MESSAGE_TRACE: Source = Source::Log(&trace::message_trace::MESSAGE_TRACE);
    const SESSION: &str = "08DF4B497AB3A13A";

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_764_000_000 + second).ok()
    }

    /// A failing attempt as a source has it.
    fn failed(source: Source, second: i64) -> Attempt<'static> {
        let text = "generic".into();
        let failure = Some(Failed { phase: None, signs: Signs::default(), code: Some(451), enhanced: None, text });
        let destination_address = Some([192, 0, 2, 1].into());
        Attempt { at: at(second), destination_address, failure, ..Attempt::by(source) }
    }

    fn of_message(source: Source, second: i64, message: &'static str) -> Attempt<'static> {
        Attempt { message: Some(message.into()), recipient: Some("Bob@onprem.test".into()), ..failed(source, second) }
    }

    fn join(observed: &[Attempt<'_>]) -> (usize, u64) {
        let mut evidence = Evidence::default();
        evidence.join();
        for observed in observed {
            if observed.source == Source::History {
                evidence.last_source();
            }
            evidence.add(observed, || None);
        }
        let joined = evidence.joined();
        (evidence.len(), joined.attempts)
    }

    #[test]
    fn what_is_of_one_attempt_is_found_by_session_message_and_time() {
        use Source::{Dsn, History, ProtocolLog};
        const TRACKING_LOG: Source = Source::Log(&trace::message_trace::TRACKING_LOG);
        let session = |observed| Attempt { session: Some(SESSION.into()), ..observed };
        let recipient = |recipient: &'static str, observed| Attempt { recipient: Some(recipient.into()), ..observed };
        let id = |id: &'static str, observed| Attempt { message_id: Some(id.into()), ..observed };
        let host = |name: &'static str, observed| Attempt {
            destination: Some((name.into(), Some(25))),
            destination_address: None,
            ..observed
        };
        let log = failed(ProtocolLog, 0);
        let trace = |second| of_message(MESSAGE_TRACE, second, "<1@a.test>");
        let history = |second| of_message(History, second, "0192-uuid");
        let worked = Attempt { failure: None, ..trace(1) };
        let table: &[(&str, Vec<Attempt<'_>>, (usize, u64))] = &[
            ("session", vec![session(log.clone()), session(trace(9))], (1, 1)),
            ("session of three", vec![session(log.clone()), session(trace(9)), session(history(9))], (1, 1)),
            ("another session", vec![session(log.clone()), trace(9)], (2, 0)),
            ("another outcome", vec![session(log.clone()), session(worked)], (2, 0)),
            ("message", vec![trace(0), id("1@A.test", history(2))], (1, 1)),
            ("message, much later", vec![trace(0), id("1@a.test", history(900))], (2, 0)),
            ("another message", vec![trace(0), id("2@a.test", history(2))], (2, 0)),
            ("another recipient", vec![trace(0), recipient("eve@a.test", id("1@a.test", history(2)))], (2, 0)),
            ("envelope", vec![recipient("bob@onprem.test", log.clone()), of_message(TRACKING_LOG, 3, "<1@a>")], (1, 1)),
            ("another hop", vec![host("a.test", trace(0)), host("b.test", id("1@a.test", history(1)))], (2, 0)),
            (
                "hop unknown",
                vec![Attempt { destination_address: None, ..trace(0) }, id("1@a.test", history(1))],
                (2, 0),
            ),
            ("bounce", vec![trace(0), Attempt { destination_address: None, ..of_message(Dsn, 5, "1@a.test") }], (1, 1)),
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
        let text = "reset".into();
        let reset = Some(Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text });
        let log = Attempt { session: Some(SESSION.into()), failure: reset, ..failed(Source::ProtocolLog, 0) };
        let policy = Some("modern");
        let trace = of_message(MESSAGE_TRACE, 1, "<1@a.test>");
        evidence.add(&log, || None);
        evidence.add(&Attempt { session: Some(SESSION.into()), tls_policy: policy.map(Cow::from), ..trace }, || None);
        evidence.joined();
        let finding = &crate::explain(&evidence)[0];
        assert_eq!((finding.finding.cause.as_str(), finding.finding.messages_pending), ("handshake-reset", 1));
        let attempt = finding.failing()[0];
        assert_eq!((attempt.source, attempt.tls_policy.as_deref()), (Source::ProtocolLog, policy));
        let failure = attempt.failure.as_ref().unwrap();
        assert_eq!((failure.text.as_ref(), failure.code), ("reset", Some(451)));
    }
}
