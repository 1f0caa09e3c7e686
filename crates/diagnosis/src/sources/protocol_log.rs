//! Attempts from protocol logs of the sending side, Exchange's or this gateway's.
//!
//! A session is one connection: it is an attempt for each message that it carries, and one where it carries none. The
//! phase is that of the last command; a session that the destination ends failed in it.

use std::{borrow::Cow, collections::VecDeque, net::SocketAddr};

use jiff::Timestamp;
use protocol::{
    host_port,
    smtp::{EnhancedCode, Phase},
    tls::{HandshakeFacts, schannel},
};
use trace::protocol_log::{Row, RowKind, Session, Software};

use super::{
    greeted::{Greeted, is_masked},
    next_address::going_on,
    words::domain,
};
use crate::evidence::{Attempt, Connection, Evidence, Failed, Place, Sign, Signs, Source, Speaker, Words};

/// Whose log it is. One that lacks its first lines shows it by the notes: only this gateway describes handshakes.
pub fn source(software: Option<Software>, sessions: &[Session]) -> Source {
    let rows = || sessions.iter().flat_map(|session| &session.rows);
    let is_own = match software {
        Some(software) => software == Software::Gatepost,
        None => rows().any(|row| row.kind == RowKind::Information && Signs::of_own_log(&row.context).is_some()),
    };
    if is_own { Source::OwnProtocolLog } else { Source::ProtocolLog }
}

/// Adds the attempts of a log; see [`add_session`]. A failed connection is not an attempt of its own if another address is
/// tried at once: mail does not wait for it.
pub fn add_log(evidence: &mut Evidence, source: Source, sessions: &[Session], file: &str, node: Option<&str>) {
    let (go_on, greeted) = (going_on(sessions), Greeted::of(sessions));
    for (_, session) in sessions.iter().enumerate().filter(|(index, _)| !go_on.contains(index)) {
        add(evidence, source, session, file, node, greeted.why(session));
    }
}

/// Adds what a session tells; `file` is its name, for people, and `node` who wrote it, where that is known.
pub fn add_session(evidence: &mut Evidence, source: Source, session: &Session, file: &str, node: Option<&str>) {
    add(evidence, source, session, file, node, None);
}

fn add(
    evidence: &mut Evidence,
    source: Source,
    session: &Session,
    file: &str,
    node: Option<&str>,
    left: Option<Signs>,
) {
    let place = Place::Session { id: session.id.clone(), file: Some(file.to_owned()) };
    let told = Told { source, session, place, node, handshake: None, connections: None, plaintext_after: None };
    let mut reading = Reading::new(&told);
    session.rows.iter().for_each(|row| reading.row(row, evidence));
    if let Some(signs) = left.filter(|_| !reading.has_failed) {
        reading.phase = Phase::StartTls;
        let why = if signs.has(Sign::StartTlsMasked) { "is masked" } else { "was not offered" };
        reading.fail(evidence, signs, None, None, &format!("the client left after EHLO, where STARTTLS {why}"));
    }
    reading.end(evidence);
}

/// A conversation in a log's rows, whatever it was read from.
pub(super) struct Told<'a> {
    pub source: Source,
    pub session: &'a Session,
    pub place: Place,
    pub node: Option<&'a str>,
    /// Where the source has the handshake itself.
    pub handshake: Option<&'a HandshakeFacts>,
    /// As in [`Attempt`].
    pub connections: Option<u32>,
    pub plaintext_after: Option<Failed<'a>>,
}

/// A session, as far as it was read.
pub(super) struct Reading<'a> {
    told: &'a Told<'a>,
    /// Of the last row that was read.
    pub at: Option<Timestamp>,
    pub phase: Phase,
    /// Commands that were not answered yet: a client may say several at once (RFC 2920).
    unanswered: VecDeque<Phase>,
    /// A reply that refuses, as far as its lines were read.
    refusal: String,
    tls: Option<(String, String)>,
    signs: Signs,
    sender: Option<String>,
    recipient: Option<String>,
    message_bytes: Option<u64>,
    /// What was noted last, for people.
    last_note: String,
    works: u32,
    /// The destination ended it.
    is_cut: bool,
    pub is_quitting: bool,
    /// Of the message that is under way, or of the connection before the first one.
    pub has_failed: bool,
    has_recipient: bool,
    /// What was said before the end was lost from the log.
    lacks_last_words: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(told: &'a Told<'a>) -> Self {
        Self {
            told,
            at: None,
            phase: Phase::Connect,
            unanswered: VecDeque::new(),
            refusal: String::new(),
            tls: None,
            signs: Signs::default(),
            sender: None,
            recipient: None,
            message_bytes: None,
            last_note: String::new(),
            works: 0,
            is_cut: false,
            is_quitting: false,
            has_failed: false,
            has_recipient: false,
            lacks_last_words: lacks_last_words(&told.session.rows),
        }
    }

    fn row(&mut self, row: &Row, evidence: &mut Evidence) {
        self.at = row.at.or(self.at);
        match row.kind {
            RowKind::Connect => self.phase = Phase::Banner,
            RowKind::Sent => self.command(&row.data),
            RowKind::Received => self.reply_line(&row.data, evidence),
            RowKind::Information => self.note(row, evidence),
            RowKind::Disconnect => {
                self.is_cut = row.context.starts_with("Remote");
                self.signs = self.signs.union(Signs::of_text(&row.context));
                // The destination did not answer: a client that stops waiting closes without a QUIT.
                let waits = !self.unanswered.is_empty() || matches!(self.phase, Phase::Banner | Phase::EndOfData);
                let gives_up = row.context.starts_with("Local") && !self.is_quitting && !self.has_failed;
                if gives_up && waits && !self.lacks_last_words {
                    self.signs.add(Sign::TimedOut);
                }
                self.is_cut |= self.signs.has(Sign::TimedOut);
            }
        }
    }

    pub(super) fn command(&mut self, line: &str) {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let phase = match verb.as_str() {
            "EHLO" | "HELO" => Phase::Ehlo,
            "STARTTLS" => Phase::StartTls,
            "MAIL" => {
                self.sender = address(line);
                let size = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("SIZE="));
                self.message_bytes = size.and_then(|size| size.parse().ok());
                (self.has_failed, self.has_recipient) = (false, false);
                Phase::Mail
            }
            "RCPT" => {
                self.recipient = address(line);
                Phase::Rcpt
            }
            "BDAT" if line.to_ascii_uppercase().ends_with(" LAST") => Phase::EndOfData,
            "DATA" | "BDAT" => Phase::Data,
            "RSET" => Phase::Mail,
            "QUIT" => {
                self.is_quitting = true;
                Phase::Quit
            }
            _ => return,
        };
        // These start a new transaction: the log has lost the answers that are missing before them.
        if matches!(phase, Phase::Ehlo | Phase::StartTls) {
            self.unanswered.clear();
        }
        if self.unanswered.is_empty() && phase != Phase::Quit {
            self.phase = phase;
        }
        self.unanswered.push_back(phase);
    }

    pub(super) fn reply_line(&mut self, text: &str, evidence: &mut Evidence) {
        let Some(code) = text.get(..3).and_then(|code| code.parse::<u16>().ok()) else { return };
        self.signs = self.signs.and_if(is_masked(text), Sign::StartTlsMasked);
        let is_last_line = text.as_bytes().get(3) != Some(&b'-');
        if code >= 400 {
            let rest = text.get(3..).unwrap_or_default().trim_start_matches(['-', ' ']);
            if !self.refusal.is_empty() {
                self.refusal.push(' ');
                self.refusal.push_str(rest);
            } else {
                self.refusal = format!("{code} {rest}");
            }
        }
        if !is_last_line {
            return;
        }
        // Where nothing is unanswered: the banner, or the reply to a message, whose end is not in the log.
        let answered = self.unanswered.pop_front().unwrap_or(self.phase);
        if code >= 400 {
            self.refused(answered, code, evidence);
        } else {
            self.accepted(answered, code, evidence);
        }
        if let Some(next) = self.unanswered.front().filter(|next| **next != Phase::Quit) {
            self.phase = *next;
        }
    }

    fn accepted(&mut self, answered: Phase, code: u16, evidence: &mut Evidence) {
        match (answered, code) {
            (Phase::Banner, 220) => self.phase = Phase::Ehlo,
            (Phase::StartTls, 220) => self.phase = Phase::Handshake,
            (Phase::Rcpt, 200..=299) => self.has_recipient = true,
            (Phase::Data, 354) => {
                self.unanswered.clear();
                self.phase = Phase::EndOfData;
            }
            (Phase::EndOfData, 200..=299) if self.recipient.is_some() => self.work(evidence),
            _ => {}
        }
    }

    fn refused(&mut self, answered: Phase, code: u16, evidence: &mut Evidence) {
        let text = std::mem::take(&mut self.refusal);
        // Without a sender or recipients there is nothing to take: that tells nothing new.
        let follows = self.has_failed && !self.has_recipient && (answered == Phase::Data || code == BAD_SEQUENCE);
        if answered == Phase::Quit || follows || (self.is_quitting && self.unanswered.is_empty()) {
            return;
        }
        self.phase = answered;
        let enhanced = text.get(4..).and_then(EnhancedCode::parse_prefix).map(|(code, _)| code);
        let words =
            Words { text: &text, speaker: Speaker::Destination, phase: Some(answered), code: Some(code), enhanced };
        self.fail(evidence, Signs::of_words(&words), Some(code), enhanced, &text);
        if answered == Phase::EndOfData {
            self.phase = Phase::Mail;
        }
    }

    fn note(&mut self, row: &Row, evidence: &mut Evidence) {
        let text = row.context.as_str();
        if let Some(negotiation) = schannel::read_negotiation(text) {
            self.tls = Some((negotiation.version.openssl_name().into_owned(), cipher(text)));
            self.phase = Phase::Ehlo;
            return;
        }
        let signs = Signs::of_note(text, self.told.source);
        // What this side does not put up with: the conversation goes on, or ends in good order.
        let demands_tls = signs.any(&[Sign::StartTlsNotOffered, Sign::StartTlsMasked, Sign::LeftWithoutStartTls]);
        if demands_tls || signs.has(Sign::TooLarge) {
            self.phase = if demands_tls { Phase::StartTls } else { Phase::Mail };
            self.fail(evidence, signs, None, None, text);
            return;
        }
        if signs != Signs::default() {
            self.signs = self.signs.union(signs);
            self.last_note = text.to_owned();
        }
        if signs.has(Sign::HandshakeFailed) || text.starts_with("TLS negotiation failed") {
            self.phase = Phase::Handshake;
            self.signs.add(Sign::HandshakeFailed);
        }
    }

    /// A log that is cut within a reply.
    pub(super) fn end_refusal(&mut self, evidence: &mut Evidence) {
        if let Some(code) = self.refusal.get(..3).and_then(|code| code.parse().ok()) {
            let answered = self.unanswered.pop_front().unwrap_or(self.phase);
            self.refused(answered, code, evidence);
        }
    }

    fn end(&mut self, evidence: &mut Evidence) {
        self.end_refusal(evidence);
        // This side did not like the certificate, and left in good order.
        if !self.has_failed && self.sender.is_none() && self.is_quitting && self.signs.any(&CERTIFICATES) {
            self.phase = Phase::Handshake;
            let text = self.last_note.clone();
            return self.fail(evidence, self.signs.and(Sign::HandshakeFailed), None, None, &text);
        }
        let is_broken = self.is_cut || self.phase == Phase::Handshake || !self.last_note.is_empty();
        // Where it stopped is not known then, unless something was noted.
        let is_known = !self.lacks_last_words || !self.last_note.is_empty() || self.phase == Phase::Handshake;
        if self.has_failed || self.is_quitting || !is_broken || !is_known {
            return;
        }
        let mut signs = self.signs;
        let is_explained =
            signs.any(&[Sign::ConnectionReset, Sign::TimedOut, Sign::HandshakeFailed, Sign::ConnectionRefused]);
        if self.is_cut && !is_explained {
            signs.add(Sign::ConnectionClosed);
        }
        let text = if self.last_note.is_empty() {
            let how = if signs.has(Sign::TimedOut) { "no answer came" } else { "the connection was dropped" };
            format!("{how} while {}", self.phase.doing())
        } else {
            self.last_note.clone()
        };
        self.fail(evidence, signs, None, None, &text);
    }

    /// True if the destination owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty() || matches!(self.phase, Phase::Banner | Phase::Handshake | Phase::EndOfData)
    }

    /// True if a message was accepted.
    pub(super) fn has_worked(&self) -> bool {
        self.works > 0
    }

    fn work(&mut self, evidence: &mut Evidence) {
        self.works += 1;
        self.phase = Phase::Mail;
        self.add(evidence, None);
    }

    fn fail(
        &mut self,
        evidence: &mut Evidence,
        signs: Signs,
        code: Option<u16>,
        enhanced: Option<EnhancedCode>,
        text: &str,
    ) {
        let text = text.into();
        self.fail_as(evidence, Failed { phase: Some(self.phase), signs, code, enhanced, text });
    }

    /// Adds a failure whose phase is known.
    pub(super) fn fail_as(&mut self, evidence: &mut Evidence, failed: Failed<'_>) {
        self.has_failed = true;
        self.add(evidence, Some(failed));
    }

    fn add(&mut self, evidence: &mut Evidence, failure: Option<Failed<'_>>) {
        let rows = &self.told.session.rows;
        let find = |field: fn(&Row) -> &str| rows.iter().map(field).find(|text| !text.is_empty());
        let endpoint = find(|row| &row.remote);
        let remote = endpoint.map(host_port::split);
        let local = find(|row| &row.local).and_then(|local| local.parse::<SocketAddr>().ok());
        let server = endpoint.and_then(|endpoint| endpoint.parse::<SocketAddr>().ok());
        let began = rows.iter().find_map(|row| row.at);
        let connection =
            local.zip(server).zip(began).map(|((client, server), began)| Connection { client, server, began });
        let attempt = Attempt {
            at: self.at,
            session: Some(Cow::from(&self.told.session.id)).filter(|_| self.told.source.is_protocol_log()),
            connection,
            recipient: self.recipient.as_ref().map(Cow::from),
            connector: find(|row| &row.connector).map(Cow::from),
            node: self.told.node.map(Cow::from),
            source_address: local.map(|local| local.ip()),
            destination: remote.map(|(host, port)| (host.into(), port)),
            destination_address: remote.and_then(|(host, _)| host.parse().ok()),
            tls: self.tls.as_ref().map(|(version, cipher)| (version.into(), cipher.into())),
            message_bytes: self.message_bytes,
            sender_domain: self.sender.as_deref().and_then(domain).map(Cow::from),
            recipient_domain: self.recipient.as_deref().and_then(domain).map(Cow::from),
            handshake: self.told.handshake.map(Cow::Borrowed),
            connections: self.told.connections,
            plaintext_after: self.told.plaintext_after.clone().filter(|_| failure.is_none()).map(Box::new),
            failure,
            ..Attempt::by(self.told.source)
        };
        evidence.add(&attempt, || Some(self.told.place.clone()));
    }
}

/// What a side that verifies certificates notes of them.
const CERTIFICATES: [Sign; 6] = [
    Sign::CertificateExpired,
    Sign::CertificateNotYetValid,
    Sign::CertificateUntrusted,
    Sign::CertificateNameMismatch,
    Sign::DaneFailed,
    Sign::MtaStsFailed,
];

/// "Bad sequence of commands": to those that were sent at once with a command that was refused.
const BAD_SEQUENCE: u16 = 503;

/// Lines of a session are numbered; captures' are not.
fn lacks_last_words(rows: &[Row]) -> bool {
    rows.last_chunk().is_some_and(|[before, last]| last.sequence > before.sequence + 1)
}

/// The bulk cipher's name and strength: `CALG_RC4 128`.
pub(super) fn cipher(text: &str) -> String {
    let after =
        |words: &str| text.split_once(words).and_then(|(_, rest)| rest.split([' ', ',']).next()).unwrap_or_default();
    format!("{} {}", after("bulk encryption algorithm "), after("with strength "))
}

pub(super) fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('<')?;
    rest.split_once('>').map(|(address, _)| address.to_owned())
}

#[cfg(test)]
mod tests;
