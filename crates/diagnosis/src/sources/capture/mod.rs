//! Attempts from captures. The plaintext part is read as it was said, and the handshake is complete. The encrypted part is
//! not observed, except for its sizes and times.
//!
//! ```text
//!   session ──of a log's connection──> waits for the log (Joining)
//!      ├──open, or the client left──> waits here until the file is read
//!      ├──handshake failed──────────> waits here for the same mail in plaintext
//!      └──all others────────────────> attempts
//! ```

mod certificate;
mod clear;
mod connecting;
mod encrypted;
mod ending;
mod path;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use capture::{Session, dialogue::Protocol};
use protocol::tls::HandshakeFacts;
use trace::protocol_log;

use super::protocol_log::Told;
use crate::evidence::{Attempt, Connection, Evidence, Failed, Place, Sign, Signs, Source};

/// Sessions of one file that wait. Beyond that they are judged by what is known.
const WAITING_MAX: usize = 10_000;
/// Mail servers try without TLS at once.
const PLAINTEXT_WITHIN: Duration = Duration::from_secs(60);

/// Reads the sessions of one capture.
#[derive(Debug, Default)]
pub struct Reader {
    file: String,
    /// Sessions whose handshake failed, by client and server.
    refused: HashMap<(IpAddr, SocketAddr), Vec<Session>>,
    /// Sessions that were open at the end, and those of clients that left after EHLO.
    undecided: Vec<Session>,
    waiting: usize,
    /// Clients that have mail to send.
    senders: HashSet<IpAddr>,
    /// The capture has missed packets.
    is_lossy: bool,
}

impl Reader {
    /// `file` is the name, for people.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// As [`Reader::add`]; where several sources are joined, the session first waits for the log of its connection.
    pub fn hold(&mut self, evidence: &mut Evidence, session: Session) {
        self.is_lossy |= session.is_incomplete;
        if is_mail(&session)
            && let Some(session) = evidence.hold(session, &self.file)
        {
            self.add(evidence, session);
        }
    }

    /// Adds what a session says, if it is of mail. What depends on other sessions waits for [`Reader::finish`].
    pub fn add(&mut self, evidence: &mut Evidence, session: Session) {
        self.is_lossy |= session.is_incomplete;
        if !is_mail(&session) {
            return;
        }
        if clear::is_sender(&session) {
            self.senders.insert(session.client.ip());
        }
        if self.waiting >= WAITING_MAX {
            self.tell(evidence, &session, None);
        } else if session.ended.is_none() || clear::left_without_tls(&session).is_some() {
            self.waiting += 1;
            self.undecided.push(session);
        } else if handshake_failure(&session).is_some() {
            self.waiting += 1;
            self.refused.entry(pair(&session)).or_default().push(session);
        } else {
            self.tell_after(evidence, &session);
        }
    }

    /// The file was read.
    pub fn finish(mut self, evidence: &mut Evidence) {
        for session in std::mem::take(&mut self.undecided) {
            // A monitor greets, and leaves. It says nothing about mail.
            let is_monitor = clear::left_without_tls(&session).is_some_and(|(sign, _)| sign != Sign::StartTlsMasked)
                && !self.senders.contains(&session.client.ip());
            if !is_monitor {
                self.tell_after(evidence, &session);
            }
        }
        let mut refused: Vec<Session> = std::mem::take(&mut self.refused).into_values().flatten().collect();
        refused.sort_by_key(|session| session.stream);
        for session in refused {
            self.tell(evidence, &session, None);
        }
    }

    /// Adds a session, with the handshake that failed before it, if mail then went in plaintext.
    fn tell_after(&mut self, evidence: &mut Evidence, session: &Session) {
        let before = self.refused.get(&pair(session)).and_then(|refused| last_before(refused, session));
        let Some(at) = before.filter(|_| session.handshake.is_none()) else {
            self.tell(evidence, session, None);
            return;
        };
        let failed = self.refused.get(&pair(session)).and_then(|refused| handshake_failure(&refused[at]));
        if self.tell(evidence, session, failed)
            && let Some(refused) = self.refused.get_mut(&pair(session))
        {
            refused.remove(at);
            self.waiting -= 1;
        }
    }

    /// True if a message was accepted in plaintext.
    fn tell(&self, evidence: &mut Evidence, session: &Session, plaintext_after: Option<Failed<'_>>) -> bool {
        let place = Place::Stream { file: self.file.clone(), stream: session.stream };
        let facts = judged(session);
        let facts = facts.as_deref();
        if let Some(facts) = facts.filter(|facts| facts.completed) {
            add_encrypted(evidence, session, facts, &place, !self.is_lossy);
            return false;
        }
        let row = protocol_log::Row {
            at: Some(session.first),
            local: session.client.to_string(),
            remote: session.server.to_string(),
            ..protocol_log::Row::default()
        };
        let told = Told {
            source: Source::Capture,
            session: &protocol_log::Session { id: session.stream.to_string(), rows: vec![row] },
            place,
            node: None,
            handshake: facts,
            connections: session.connections,
            plaintext_after,
        };
        clear::read(evidence, &told, session, !self.is_lossy)
    }
}

/// Adds what a session says by itself.
pub fn add_session(evidence: &mut Evidence, session: &Session, file: &str) {
    let mut reader = Reader::new(file);
    reader.add(evidence, session.clone());
    reader.finish(evidence);
}

fn pair(session: &Session) -> (IpAddr, SocketAddr) {
    (session.client.ip(), session.server)
}

/// The last session that ended before another one began, if it was a moment ago.
fn last_before(refused: &[Session], session: &Session) -> Option<usize> {
    let apart = |before: &Session| session.first.duration_since(before.last);
    let is_near = |before: &Session| !apart(before).is_negative() && apart(before).unsigned_abs() <= PLAINTEXT_WITHIN;
    let near = refused.iter().enumerate().filter(|(_, before)| is_near(before));
    near.min_by_key(|(_, before)| apart(before)).map(|(at, _)| at)
}

/// The handshake that failed, with all its signs: the attempt in plaintext has none of its own.
fn handshake_failure(session: &Session) -> Option<Failed<'static>> {
    let facts = judged(session).filter(|facts| !facts.completed)?;
    let failed = clear::handshake_failure(session, &facts)?;
    Some(Failed { signs: failed.signs.union(Signs::of_handshake(&facts)), ..failed })
}

fn judged(session: &Session) -> Option<Cow<'_, HandshakeFacts>> {
    session.handshake.as_ref().map(|facts| certificate::judged(facts, session.first))
}

fn is_mail(session: &Session) -> bool {
    let has_spoken = session.protocol == Protocol::Smtp;
    // Nothing was said: a connection that was not made, or no greeting.
    let is_silent = session.protocol == Protocol::Unknown && MAIL_PORTS.contains(&session.server.port());
    has_spoken || is_silent
}

/// A connection without a word to these ports was meant for mail.
const MAIL_PORTS: [u16; 4] = [25, 465, 587, 2525];

fn add_encrypted(
    evidence: &mut Evidence,
    session: &Session,
    facts: &HandshakeFacts,
    place: &Place,
    is_end_known: bool,
) {
    let (client, server, first) = (session.client, session.server, session.first);
    let agreed = facts.server_hello.as_ref();
    let attempt = Attempt {
        at: Some(first),
        connection: Some(Connection { client, server, began: first }),
        source_address: Some(client.ip()),
        destination: Some((server.ip().to_string().into(), Some(server.port()))),
        destination_address: Some(server.ip()),
        tls: agreed.map(|hello| (hello.version.openssl_name(), hello.cipher_suite.openssl_name())),
        handshake: Some(Cow::Borrowed(facts)),
        connections: session.connections,
        ..Attempt::by(Source::Capture)
    };
    for bytes in encrypted::messages(session) {
        let worked = Attempt { message_bytes: Some(bytes), ..attempt.clone() };
        evidence.add(&worked, || Some(place.clone()));
    }
    if let Some(failure) = encrypted::failure(session, facts, is_end_known) {
        let failure = path::with_report(failure, session);
        let message_bytes = Some(encrypted::unanswered(session)).filter(|bytes| *bytes > 0);
        evidence.add(&Attempt { message_bytes, failure: Some(failure), ..attempt }, || Some(place.clone()));
    }
}
