//! Attempts from captures. The plaintext part is read as a protocol log would have it, and the handshake is complete. The
//! encrypted part is not observed, except for its sizes and times.

mod certificate;
mod clear;
mod encrypted;
mod ending;

use std::borrow::Cow;

use capture::{Session, dialogue::Protocol};
use protocol::tls::HandshakeFacts;
use trace::protocol_log;

use super::protocol_log::{Told, host_and_port, read};
use crate::evidence::{Attempt, Connection, Evidence, Place, Source};

/// As [`add_session`]; where several sources are joined, after the sources that may have the same connection.
pub fn hold_session(evidence: &mut Evidence, session: Session, file: &str) {
    if is_mail(&session)
        && let Some(session) = evidence.hold(session, file)
    {
        add_session(evidence, &session, file);
    }
}

fn is_mail(session: &Session) -> bool {
    let has_spoken = session.protocol == Protocol::Smtp;
    // Nothing was said: a connection that did not come about, or no banner.
    let is_silent = session.protocol == Protocol::Unknown && MAIL_PORTS.contains(&session.server.port());
    has_spoken || is_silent
}

/// Adds what a session tells, if it is of mail.
pub fn add_session(evidence: &mut Evidence, session: &Session, file: &str) {
    if !is_mail(session) {
        return;
    }
    let place = Place::Stream { file: file.to_owned(), stream: session.stream };
    let facts = session.handshake.as_ref().map(|facts| certificate::judged(facts, session.first));
    let facts = facts.as_deref();
    if let Some(facts) = facts.filter(|facts| facts.completed) {
        add_encrypted(evidence, session, facts, &place);
        return;
    }
    let told = Told {
        source: Source::Capture,
        session: &protocol_log::Session { id: session.stream.to_string(), rows: clear::rows(session, facts) },
        place,
        node: None,
        handshake: facts,
    };
    read(evidence, &told);
}

/// Where a connection that says nothing was meant for mail.
const MAIL_PORTS: [u16; 2] = [25, 2525];

fn add_encrypted(evidence: &mut Evidence, session: &Session, facts: &HandshakeFacts, place: &Place) {
    let (client, server, first) = (session.client, session.server, session.first);
    let endpoint = server.to_string();
    let attempt = Attempt {
        at: Some(first),
        connection: Some(Connection { client, server, began: first }),
        source_address: Some(client.ip()),
        destination: host_and_port(&endpoint).map(|(host, port)| (host.into(), port)),
        destination_address: Some(server.ip()),
        handshake: Some(Cow::Borrowed(facts)),
        ..Attempt::by(Source::Capture)
    };
    for bytes in encrypted::messages(session) {
        let worked = Attempt { message_bytes: Some(bytes), ..attempt.clone() };
        evidence.add(&worked, || Some(place.clone()));
    }
    if let Some(failure) = encrypted::failure(session, facts) {
        let message_bytes = Some(encrypted::unanswered(session)).filter(|bytes| *bytes > 0);
        evidence.add(&Attempt { message_bytes, failure: Some(failure), ..attempt }, || Some(place.clone()));
    }
}
