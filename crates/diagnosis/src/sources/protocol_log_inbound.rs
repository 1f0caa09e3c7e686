//! Attempts of senders, from protocol logs of the receiving side, Exchange's or this gateway's: here this side answers.
//!
//! ```text
//!   <  command of the client          >  our reply
//!   a refusal, a handshake that fails, a connection that ends early ──> an attempt that failed, in that phase
//!   a message that we took ───────────────────────────────────────────> an attempt that worked
//! ```
//!
//! A session that ends after the greeting says nothing alone: only if one client does so again and again, it fails.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use jiff::Timestamp;
use protocol::{
    host_port,
    smtp::{EnhancedCode, Phase},
    tls::schannel,
};
use trace::protocol_log::{Row, RowKind, Session};

use super::{
    protocol_log::{address, cipher},
    words::domain,
};
use crate::evidence::{Attempt, Connection, Direction, Evidence, Failed, Place, Sign, Signs, Source, Speaker, Words};

/// Sessions of one client without mail: fewer are a scanner's, a monitor's or a test.
const QUIET_MIN: usize = 3;

/// Adds the attempts of a log; `file` is its name, for people, and `node` who wrote it, where that is known.
pub fn add_log(evidence: &mut Evidence, source: Source, sessions: &[Session], file: &str, node: Option<&str>) {
    let readings: Vec<Reading<'_>> = sessions.iter().map(|session| Reading::of(source, session)).collect();
    let mut quiet: HashMap<IpAddr, usize> = HashMap::new();
    for client in readings.iter().filter(|reading| reading.is_quiet()).filter_map(|reading| reading.client()) {
        *quiet.entry(client).or_default() += 1;
    }
    for reading in &readings {
        let is_often =
            || reading.client().is_some_and(|client| quiet.get(&client).is_some_and(|times| *times >= QUIET_MIN));
        if !reading.is_quiet() || is_often() {
            reading.add(evidence, file, node);
        }
    }
}

/// A session, as far as it was read.
struct Reading<'a> {
    source: Source,
    session: &'a Session,
    /// Of the last row that was read.
    at: Option<Timestamp>,
    phase: Phase,
    /// Commands that we did not answer yet: a client may say several at once (RFC 2920).
    unanswered: VecDeque<Phase>,
    hello: Option<&'a str>,
    tls: Option<(String, String)>,
    certificate: Certificate<'a>,
    sender: Option<String>,
    recipient: Option<String>,
    /// What was noted of the handshake, for people.
    note: String,
    is_quitting: bool,
    has_authenticated: bool,
    outcomes: Vec<Outcome>,
}

/// What we showed the client.
#[derive(Default)]
struct Certificate<'a> {
    subject: &'a str,
    issuer: &'a str,
}

/// An attempt, and what is known of it at that time.
struct Outcome {
    at: Option<Timestamp>,
    sender: Option<String>,
    recipient: Option<String>,
    tls: Option<(String, String)>,
    failure: Option<Failed<'static>>,
}

impl<'a> Reading<'a> {
    fn of(source: Source, session: &'a Session) -> Self {
        let mut reading = Self {
            source,
            session,
            at: None,
            phase: Phase::Banner,
            unanswered: VecDeque::new(),
            hello: None,
            tls: None,
            certificate: Certificate::default(),
            sender: None,
            recipient: None,
            note: String::new(),
            is_quitting: false,
            has_authenticated: false,
            outcomes: Vec::new(),
        };
        session.rows.iter().for_each(|row| reading.row(row));
        reading
    }

    fn row(&mut self, row: &'a Row) {
        self.at = row.at.or(self.at);
        match row.kind {
            RowKind::Connect => self.phase = Phase::Banner,
            RowKind::Received => self.command(&row.data),
            RowKind::Sent => self.reply(&row.data),
            RowKind::Information => self.note(row),
            RowKind::Disconnect => self.disconnect(&row.context),
        }
    }

    fn command(&mut self, line: &'a str) {
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        let phase = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                self.hello = Some(rest.trim());
                Phase::Ehlo
            }
            "STARTTLS" | "X-ANONYMOUSTLS" => Phase::StartTls,
            "MAIL" => {
                self.sender = address(line);
                self.recipient = None;
                Phase::Mail
            }
            "RCPT" => {
                self.recipient = address(line);
                Phase::Rcpt
            }
            "BDAT" if line.to_ascii_uppercase().ends_with(" LAST") => Phase::EndOfData,
            "DATA" | "BDAT" => Phase::Data,
            "AUTH" => Phase::Ehlo,
            "RSET" => Phase::Mail,
            "QUIT" => {
                self.is_quitting = true;
                Phase::Quit
            }
            _ => return,
        };
        if self.unanswered.is_empty() && phase != Phase::Quit {
            self.phase = phase;
        }
        self.unanswered.push_back(phase);
    }

    fn reply(&mut self, text: &'a str) {
        let Some(code) = text.get(..3).and_then(|code| code.parse::<u16>().ok()) else { return };
        if text.as_bytes().get(3) == Some(&b'-') {
            return;
        }
        let answered = self.unanswered.pop_front().unwrap_or(self.phase);
        match (answered, code) {
            (Phase::Quit, _) => {}
            (_, 400..) => self.refuse(answered, code, text),
            (Phase::Banner, 220) => self.phase = Phase::Ehlo,
            (Phase::StartTls, 220) => self.phase = Phase::Handshake,
            (Phase::Data, 354) => self.phase = Phase::EndOfData,
            (Phase::EndOfData, 200..=299) if self.recipient.is_some() => {
                self.add_outcome(None);
                self.phase = Phase::Mail;
            }
            (Phase::Ehlo, 235) => self.has_authenticated = true,
            _ => {}
        }
        if let Some(next) = self.unanswered.front().filter(|next| **next != Phase::Quit) {
            self.phase = *next;
        }
    }

    fn refuse(&mut self, answered: Phase, code: u16, text: &str) {
        let (enhanced, _) = text.get(4..).and_then(EnhancedCode::parse_prefix).unzip();
        // A reply to nothing is the one that ends a session: the client was silent for too long, or we stop.
        let phase = if self.unanswered.is_empty() && answered == self.phase { self.phase } else { answered };
        self.phase = phase;
        let words = Words { text, speaker: Speaker::Destination, phase: Some(phase), code: Some(code), enhanced };
        self.fail(Signs::of_words(&words), Some(code), enhanced, text.to_owned());
    }

    fn note(&mut self, row: &'a Row) {
        let text = row.context.as_str();
        match text {
            "Certificate subject" => self.certificate.subject = &row.data,
            "Certificate issuer name" => self.certificate.issuer = &row.data,
            _ if text.starts_with("Sending certificate Subject Issuer") => {}
            _ => {
                if let Some(negotiation) = schannel::read_negotiation(text) {
                    self.tls = Some((negotiation.version.openssl_name().into_owned(), cipher(text)));
                    self.phase = Phase::Ehlo;
                } else if text.starts_with("TLS negotiation failed")
                    || Signs::of_note(text, self.source).has(Sign::HandshakeFailed)
                {
                    self.phase = Phase::Handshake;
                    let separator = if self.note.is_empty() { "" } else { ": " };
                    self.note += &format!("{separator}{text}");
                }
            }
        }
    }

    fn disconnect(&mut self, context: &str) {
        if self.phase == Phase::Handshake {
            return self.fail_handshake(context);
        }
        let is_under_way = self.phase > Phase::Handshake && self.phase != Phase::Quit && self.sender.is_some();
        // After a message, or a refusal, a client may just leave.
        let is_at_rest = self.phase == Phase::Mail && !self.outcomes.is_empty();
        let has_failed = self.outcomes.last().is_some_and(|outcome| outcome.failure.is_some());
        if self.is_quitting || !is_under_way || is_at_rest || has_failed {
            return;
        }
        let signs = Signs::of_text(context);
        let (signs, how) = if context.starts_with("Local") {
            (signs.and(Sign::TimedOut), "the client sent nothing more")
        } else {
            (signs.and(Sign::ConnectionClosed), "the client dropped the connection")
        };
        self.fail(signs, None, None, format!("{how} while {}", self.phase.doing()));
    }

    fn fail_handshake(&mut self, context: &str) {
        let Certificate { subject, issuer } = self.certificate;
        let note = std::mem::take(&mut self.note);
        let mut signs = Signs::of_text(&note).union(Signs::of_text(context)).and(Sign::HandshakeFailed);
        let has_left = context.starts_with("Remote");
        let mut text = if note.is_empty() {
            let who = if has_left { "the client" } else { "this server" };
            format!("{who} ended the connection during the TLS handshake")
        } else {
            note
        };
        // The client has seen the certificate, and did not want it.
        if has_left && !subject.is_empty() {
            text += &format!(", after this server had sent its certificate ({subject}, issued by {issuer})");
            signs = signs.and_if(subject == issuer, Sign::CertificateUntrusted).and(Sign::ServerHelloSeen);
        }
        signs = signs.and_if(has_left && !signs.any(&[Sign::ConnectionReset]), Sign::ConnectionClosed);
        self.fail(signs, None, None, text);
    }

    fn fail(&mut self, signs: Signs, code: Option<u16>, enhanced: Option<EnhancedCode>, text: String) {
        self.add_outcome(Some(Failed { phase: Some(self.phase), signs, code, enhanced, text: text.into() }));
    }

    fn add_outcome(&mut self, failure: Option<Failed<'static>>) {
        let (sender, recipient, tls) = (self.sender.clone(), self.recipient.clone(), self.tls.clone());
        self.outcomes.push(Outcome { at: self.at, sender, recipient, tls, failure });
    }

    /// Nothing failed, and nothing was handed in. A monitor of one's own says QUIT, and one who has authenticated
    /// himself is known.
    fn is_quiet(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn client(&self) -> Option<IpAddr> {
        let client = self.endpoint(|row| &row.remote)?.ip();
        let is_near = match client {
            IpAddr::V4(address) => address.is_loopback() || address.is_private(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
        };
        (!(self.has_authenticated || self.is_quitting && is_near)).then_some(client)
    }

    fn endpoint(&self, field: fn(&Row) -> &str) -> Option<SocketAddr> {
        self.session.rows.iter().map(field).find(|text| !text.is_empty())?.parse().ok()
    }

    /// What the client calls itself, where that can be a name; else its address.
    fn name(&self) -> Option<Cow<'_, str>> {
        let is_name = |name: &&str| {
            name.contains('.') && name.parse::<IpAddr>().is_err() && !name.starts_with('[') && !name.contains(' ')
        };
        let remote = self.session.rows.iter().map(|row| row.remote.as_str()).find(|text| !text.is_empty());
        let address = remote.map(|remote| Cow::from(host_port::split(remote).0));
        self.hello.filter(is_name).map(Cow::from).or(address)
    }

    fn add(&self, evidence: &mut Evidence, file: &str, node: Option<&str>) {
        if !self.is_quiet() {
            return self.outcomes.iter().for_each(|outcome| self.add_attempt(evidence, outcome, file, node));
        }
        let did = if self.tls.is_some() { "after the TLS handshake" } else { "after the greeting" };
        let text = format!("the client left {did} and handed in no mail").into();
        let failure = Failed { phase: Some(self.phase), signs: Signs::default(), code: None, enhanced: None, text };
        let outcome =
            Outcome { at: self.at, sender: None, recipient: None, tls: self.tls.clone(), failure: Some(failure) };
        self.add_attempt(evidence, &outcome, file, node);
    }

    fn add_attempt(&self, evidence: &mut Evidence, outcome: &Outcome, file: &str, node: Option<&str>) {
        let Some(name) = self.name() else { return };
        let (client, server) = (self.endpoint(|row| &row.remote), self.endpoint(|row| &row.local));
        let began = self.session.rows.iter().find_map(|row| row.at);
        let connection =
            client.zip(server).zip(began).map(|((client, server), began)| Connection { client, server, began });
        let attempt = Attempt {
            direction: Direction::Inbound,
            at: outcome.at,
            session: Some(Cow::from(&self.session.id)),
            connection,
            recipient: outcome.recipient.as_ref().map(Cow::from),
            node: node.map(Cow::from),
            source_address: server.map(|server| server.ip()),
            // The client's port says nothing.
            destination: Some((name, None)),
            destination_address: client.map(|client| client.ip()),
            tls: outcome.tls.as_ref().map(|(version, cipher)| (version.into(), cipher.into())),
            sender_domain: outcome.sender.as_deref().and_then(domain).map(Cow::from),
            recipient_domain: outcome.recipient.as_deref().and_then(domain).map(Cow::from),
            failure: outcome.failure.clone(),
            ..Attempt::by(self.source)
        };
        let place = || Place::Session { id: self.session.id.clone(), file: Some(file.to_owned()) };
        evidence.add(&attempt, || Some(place()));
    }
}

#[cfg(test)]
mod tests {
    use trace::protocol_log::{read, sessions};

    use super::*;
    use crate::{CauseId, diagnose};

    /// Sessions of one client, of these rows each.
    fn evidence(times: usize, rows: &[&str]) -> Evidence {
        let log: String = (0..times)
            .flat_map(|session| {
                rows.iter().enumerate().map(move |(number, row)| {
                    format!("2026-11-25T12:00:00.000Z,MX1\\In,08D{session:013X},{number},192.0.2.10:25,198.51.100.7:4711,{row}\r\n")
                })
            })
            .collect();
        let mut evidence = Evidence::default().inbound();
        add_log(&mut evidence, Source::ProtocolLog, &sessions(read(log.as_bytes()).rows), "RECV.LOG", None);
        evidence
    }

    const GREETED: [&str; 4] = ["+,,", ">,220 mx1 ESMTP,", "<,EHLO mx.sender.test,", ">,250  mx1 Hello STARTTLS,"];

    /// Phase and code.
    type Ending = (Phase, Option<u16>);

    #[test]
    fn sessions_of_senders_are_told_by_how_they_end() {
        let table: &[(&[&str], Option<Ending>)] = &[
            (
                &[
                    "<,MAIL FROM:<a@sender.test>,",
                    ">,250 ok,",
                    "<,RCPT TO:<b@own.test>,",
                    ">,550 5.1.1 User unknown,",
                    "<,QUIT,",
                    ">,221 bye,",
                    "-,,Local",
                ],
                Some((Phase::Rcpt, Some(550))),
            ),
            (
                &["<,STARTTLS,", ">,220 go,", "*,,TLS negotiation failed with error NoSharedCipher", "-,,Local"],
                Some((Phase::Handshake, None)),
            ),
            (&["<,STARTTLS,", ">,220 go,", "-,,Remote(ConnectionReset)"], Some((Phase::Handshake, None))),
            (
                &[
                    "<,MAIL FROM:<a@sender.test>,",
                    ">,250 ok,",
                    "<,RCPT TO:<b@own.test>,",
                    ">,250 ok,",
                    "<,DATA,",
                    ">,354 go,",
                    "-,,Remote",
                ],
                Some((Phase::EndOfData, None)),
            ),
            (
                &[
                    "<,MAIL FROM:<a@sender.test>,",
                    "<,RCPT TO:<b@own.test>,",
                    "<,DATA,",
                    ">,250 ok,",
                    ">,250 ok,",
                    ">,354 go,",
                    ">,250 queued,",
                    "<,QUIT,",
                    ">,221 bye,",
                    "-,,Local",
                ],
                None,
            ),
            (
                &[
                    "<,MAIL FROM:<a@sender.test>,",
                    ">,250 ok,",
                    "<,RCPT TO:<b@own.test>,",
                    ">,250 ok,",
                    "<,DATA,",
                    ">,354 go,",
                    ">,250 queued,",
                    "-,,Remote",
                ],
                None,
            ),
        ];
        for (rest, expected) in table {
            let rows: Vec<&str> = GREETED.iter().chain(*rest).copied().collect();
            let evidence = evidence(1, &rows);
            let symptom = evidence.records.first().map(|record| evidence.symptoms.get(record.symptom).copied());
            let told = symptom.expect("one attempt").map(|symptom| (symptom.phase.expect("a phase"), symptom.code));
            assert_eq!((told, evidence.len()), (*expected, 1), "{rest:#?}");
        }
    }

    #[test]
    fn a_client_that_does_not_want_our_certificate_is_told_so() {
        let rest = [
            "<,STARTTLS,",
            ">,220 go,",
            "*,,Sending certificate",
            "*,CN=EX01,Certificate subject",
            "*,CN=EX01,Certificate issuer name",
            "-,,Remote",
        ];
        let rows: Vec<&str> = GREETED.iter().chain(&rest).copied().collect();
        let evidence = evidence(1, &rows);
        let findings = diagnose(&evidence);
        assert_eq!(findings[0].cause, CauseId::CertificateUntrusted);
        assert_eq!(findings[0].scope.destination, "mx.sender.test");
    }

    #[test]
    fn a_session_without_mail_is_a_failure_if_it_comes_again_and_again() {
        let rows: Vec<&str> = GREETED.iter().chain(&["-,,Remote"]).copied().collect();
        assert_eq!([1, 2, 3].map(|times| evidence(times, &rows).len()), [0, 0, 3]);
        assert_eq!(diagnose(&evidence(3, &rows))[0].cause, CauseId::Unknown);
        // A monitor on a private network.
        let rows: Vec<&str> = GREETED.iter().chain(&["<,QUIT,", ">,221 bye,", "-,,Local"]).copied().collect();
        assert_eq!(evidence(5, &rows).len(), 5);
        let log = "2026-11-25T12:00:00.000Z,MX1\\In,08D,0,10.0.0.10:25,10.0.0.7:4711,+,,\r\n\
                   2026-11-25T12:00:00.000Z,MX1\\In,08D,1,10.0.0.10:25,10.0.0.7:4711,<,QUIT,\r\n";
        let log: String = (0..5).map(|session| log.replace("08D", &format!("08D{session}"))).collect();
        let mut evidence = Evidence::default().inbound();
        add_log(&mut evidence, Source::ProtocolLog, &sessions(read(log.as_bytes()).rows), "RECV.LOG", None);
        assert!(evidence.is_empty());
    }
}
