//! Attempts from captures: what is in the clear is read as a protocol log would have it, and the handshake is there as it
//! was. What is encrypted is not observed: a session that goes on after its handshake is taken for one that worked.

use capture::{
    Session,
    dialogue::{Line, Oddity, Protocol},
};
use protocol::tls::{Ending, Side};
use trace::protocol_log;

use super::protocol_log::{Told, read};
use crate::{
    evidence::{Evidence, Place, Source},
    signs::Signs,
};

/// As [`add_session`]; where several sources are joined, once those were added that may tell of the same connection.
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
    let rows = rows(session);
    let told = Told {
        source: Source::Capture,
        session: &protocol_log::Session { id: session.stream.to_string(), rows },
        place: Place::Stream { file: file.to_owned(), stream: session.stream },
        node: None,
        handshake: session.handshake.as_ref(),
    };
    read(evidence, &told);
}

/// Where a connection that says nothing was meant for mail.
const MAIL_PORTS: [u16; 2] = [25, 2525];

/// The session as a log of its client would have it.
fn rows(session: &Session) -> Vec<protocol_log::Row> {
    use protocol_log::RowKind as Kind;
    let row = |kind: Kind, data: &str, context: &str| protocol_log::Row {
        at: Some(session.first),
        session: session.stream.to_string(),
        local: session.client.to_string(),
        remote: session.server.to_string(),
        kind,
        data: data.to_owned(),
        context: context.to_owned(),
        ..protocol_log::Row::default()
    };
    let by_server = session.ended.filter(|ended| ended.by == Side::Server).map(|ended| ended.how);
    // A SYN that was answered by RST, or not at all.
    if session.packets[1] == 0 || (session.bytes == [0, 0] && session.phases.is_empty()) {
        let refused = by_server == Some(Ending::Reset);
        return vec![row(Kind::Information, "", if refused { "connection refused" } else { "timed out" })];
    }
    let mut rows = vec![row(Kind::Connect, "", "")];
    for Line { side, text, .. } in &session.lines {
        let kind = if *side == Side::Client { Kind::Sent } else { Kind::Received };
        rows.push(row(kind, text, ""));
    }
    match &session.handshake {
        Some(facts) if facts.completed && session.oddities.contains(&Oddity::SilentAfterHandshake) => {
            rows.push(row(Kind::Sent, "EHLO …", ""));
            rows.push(row(Kind::Information, "", "fell silent"));
        }
        Some(facts) if facts.completed => {
            // What followed is encrypted.
            for (kind, text) in [
                (Kind::Sent, "RCPT TO:<…>"),
                (Kind::Received, "250 …"),
                (Kind::Sent, "BDAT … LAST"),
                (Kind::Received, "250 …"),
                (Kind::Sent, "QUIT"),
            ] {
                rows.push(row(kind, text, ""));
            }
        }
        Some(facts) => {
            let unanswered = session.oddities.contains(&Oddity::HelloNeverAnswered);
            let waited = if unanswered { "; timed out" } else { "" };
            rows.push(row(Kind::Information, "", &format!("TLS negotiation failed: {facts}{waited}")));
        }
        None => rows.extend(demanded_starttls(session).map(|note| row(Kind::Information, "", note))),
    }
    let how = match by_server {
        Some(Ending::Reset) => "Remote(ConnectionReset)",
        Some(_) => "Remote",
        None if Signs::default() == silence(session) => "Local",
        None => "Local, timed out",
    };
    rows.push(row(Kind::Disconnect, "", how));
    rows
}

/// A client that leaves after the answer to EHLO, and had no use for what it offers: it wanted STARTTLS.
fn demanded_starttls(session: &Session) -> Option<&'static str> {
    let by = |side: Side| session.lines.iter().filter(move |line| line.side == side).map(|line| line.text.as_str());
    let says = |words: &[&str], text: &str| {
        words.iter().any(|word| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)))
    };
    let began = by(Side::Client).any(|text| says(&["MAIL", "STARTTLS", "AUTH", "HELO"], text));
    let is_answered =
        by(Side::Client).any(|text| says(&["EHLO"], text)) && by(Side::Server).any(|text| says(&["250 "], text));
    let offers = |word: &str| by(Side::Server).any(|text| text.to_ascii_uppercase().ends_with(word));
    match () {
        () if began || !is_answered || offers("STARTTLS") => None,
        () if offers("XXXXXXXA") => Some("STARTTLS is required and masked as XXXXXXXA"),
        () => Some("STARTTLS is required and not offered"),
    }
}

/// The client gave up waiting: it said the last word, or there was none.
fn silence(session: &Session) -> Signs {
    let waits =
        session.lines.last().is_none_or(|line| line.side == Side::Client && !line.text.eq_ignore_ascii_case("quit"));
    if waits && session.handshake.is_none() { Signs::of_text("timed out") } else { Signs::default() }
}
