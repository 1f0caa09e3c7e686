//! The plaintext part of a session, as a log of its client would have it.

use capture::{
    Session,
    dialogue::{Line, Oddity},
};
use protocol::tls::{HandshakeFacts, Side};
use trace::protocol_log::{Row, RowKind};

use super::ending::{cut_by_server, has_waited};
use crate::evidence::Sign;

/// The session as a log of its client would have it, as far as it was in plaintext.
pub(super) fn rows(session: &Session, facts: Option<&HandshakeFacts>) -> Vec<Row> {
    let row = |kind: RowKind, data: &str, context: &str| Row {
        at: Some(session.first),
        session: session.stream.to_string(),
        local: session.client.to_string(),
        remote: session.server.to_string(),
        kind,
        data: data.to_owned(),
        context: context.to_owned(),
        ..Row::default()
    };
    let note = |text: &str| row(RowKind::Information, "", text);
    // Nobody answered, or nobody listened.
    if session.packets[1] == 0 || (session.bytes == [0, 0] && session.phases.is_empty()) {
        return not_connected(session).map(note).into_iter().collect();
    }
    // A handshake that was under way when the capture ended.
    if facts.is_some() && session.ended.is_none() && !has_waited(session) {
        return Vec::new();
    }
    let mut rows = vec![row(RowKind::Connect, "", "")];
    for Line { side, text, .. } in &session.lines {
        let kind = if *side == Side::Client { RowKind::Sent } else { RowKind::Received };
        rows.push(row(kind, text, ""));
    }
    // How it went on from there is not known.
    if session.lines_left_out > 0 {
        return rows;
    }
    rows.extend(left_early(session).map(note));
    if let Some(facts) = facts {
        let has_waited = has_waited(session) && facts.alerts.is_empty();
        let waited = if has_waited { "; timed out" } else { "" };
        rows.push(note(&format!("TLS negotiation failed: {facts}{waited}")));
    }
    rows.extend(ending(session).map(|how| row(RowKind::Disconnect, "", how)));
    rows
}

/// What became of a SYN. `None`: there was none, or its answer was still to come.
fn not_connected(session: &Session) -> Option<&str> {
    let has_payload = session.bytes != [0, 0];
    if !session.has_begin || has_payload {
        return None;
    }
    let told = |words: &str| session.icmp_errors.iter().find(|error| error.contains(words));
    match () {
        () if cut_by_server(session) == Some(Sign::ConnectionReset) => Some("connection refused"),
        // As the client's system has it: no service listens.
        () if told("port unreachable").is_some() => Some("connection refused"),
        () if told("unreachable").is_some() => told("unreachable").map(String::as_str),
        () => has_waited(session).then_some("timed out"),
    }
}

/// A client that has mail to send, and is content with what it hears, does not leave after EHLO.
fn left_early(session: &Session) -> Option<&'static str> {
    let said = |by: Side| session.lines.iter().filter(move |line| line.side == by).map(|line| line.text.as_str());
    let is_verb = |line: &str, verbs: &[&str]| {
        let verb = line.split(' ').next().unwrap_or_default();
        verbs.iter().any(|known| known.eq_ignore_ascii_case(verb))
    };
    let only_greeted = said(Side::Client).all(|line| is_verb(line, &["EHLO", "HELO", "RSET", "NOOP", "QUIT"]));
    let is_heard = said(Side::Client).any(|line| is_verb(line, &["EHLO"]))
        && said(Side::Server).any(|line| line.starts_with("250"))
        && said(Side::Server).all(|line| line.starts_with('2'));
    let has_left = said(Side::Client).any(|line| is_verb(line, &["QUIT"]))
        || session.ended.is_some_and(|ended| ended.by == Side::Client);
    let offers_tls =
        said(Side::Server).any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
    match () {
        () if !only_greeted || !is_heard || !has_left || offers_tls => None,
        () if session.oddities.contains(&Oddity::StartTlsMasked) => {
            Some("the client left where STARTTLS is masked as XXXXXXXA")
        }
        () => Some("the client left where no STARTTLS was offered"),
    }
}

/// Who ended it. `None`: the client did, and did not wait for anything; or nobody has yet.
fn ending(session: &Session) -> Option<&'static str> {
    match cut_by_server(session) {
        Some(Sign::ConnectionReset) => Some("Remote(ConnectionReset)"),
        Some(_) => Some("Remote"),
        None => has_waited(session).then_some("Local"),
    }
}
