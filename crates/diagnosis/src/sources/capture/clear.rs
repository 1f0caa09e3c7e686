//! The plaintext part of a session: what was said, and how it ended.

use std::borrow::Cow;

use capture::{
    Session,
    dialogue::{LineKind, Oddity},
};
use jiff::Timestamp;
use protocol::{
    smtp::Phase,
    tls::{Alert, HandshakeFacts, Side},
};

use super::{connecting, ending::End, path};
use crate::{
    evidence::{Evidence, Failed, Sign, Signs},
    sources::protocol_log::{Reading, Told},
};

/// Adds the attempts of a session that was not encrypted, or whose handshake failed. The end is judged only if
/// `is_end_known`. True if a message was accepted.
pub(super) fn read(evidence: &mut Evidence, told: &Told<'_>, session: &Session, is_end_known: bool) -> bool {
    let mut reading = Reading::new(told);
    reading.at = Some(session.first);
    if connecting::is_unconnected(session) {
        if let Some(failed) = connecting::failure(session, is_end_known) {
            reading.fail_as(evidence, failed);
        }
        return false;
    }
    // Half of a dialogue says little.
    if session.packets.contains(&0) {
        return false;
    }
    reading.phase = if session.has_begin { Phase::Banner } else { Phase::Ehlo };
    let (is_whole, is_within_content) = lines(evidence, &mut reading, session);
    reading.end_refusal(evidence);
    let is_owed = reading.is_waiting();
    if is_within_content && reading.phase == Phase::EndOfData {
        reading.phase = Phase::Data;
    }
    if is_whole
        && !reading.has_failed
        && let Some(failed) = failure(&reading, session, told.handshake, is_end_known, is_owed)
    {
        reading.fail_as(evidence, failed);
    }
    reading.has_worked()
}

/// Reads what was said. Whether that was all, and whether the end of a message's content is still to come.
fn lines(evidence: &mut Evidence, reading: &mut Reading<'_>, session: &Session) -> (bool, bool) {
    let mut is_within_content = false;
    for line in &session.lines {
        reading.at = Timestamp::from_nanosecond(line.at_ns.into()).ok().or(reading.at);
        match (line.kind, line.side) {
            (LineKind::Gap, _) if session.is_incomplete => return (false, false),
            (LineKind::Said, Side::Client) => reading.command(&line.text),
            (LineKind::Said, Side::Server) => {
                is_within_content |= line.text.starts_with("354");
                reading.reply_line(&line.text, evidence);
            }
            (LineKind::Content, _) => is_within_content = false,
            (LineKind::Credentials | LineKind::Gap, _) => {}
        }
    }
    (session.lines_left_out == 0 && !session.is_incomplete, is_within_content)
}

/// How the session failed after the last reply. `is_owed`: the server had to answer.
fn failure(
    reading: &Reading<'_>,
    session: &Session,
    facts: Option<&HandshakeFacts>,
    is_end_known: bool,
    is_owed: bool,
) -> Option<Failed<'static>> {
    if let Some(facts) = facts {
        return handshake_failure(session, facts).filter(|_| is_end_known || session.ended.is_some());
    }
    if let Some((sign, text)) = left_without_tls(session) {
        return Some(failed(Phase::StartTls, sign, text));
    }
    if reading.is_quitting || !is_owed {
        return None;
    }
    let end = End::of(session);
    let sign = end.sign().filter(|_| is_end_known || end != End::Silent)?;
    let how = if end.has_waited() { "no answer came" } else { "the connection was dropped" };
    let failed = failed(reading.phase, sign, format!("{how} while {}", reading.phase.doing()));
    Some(path::with_report(failed, session))
}

fn failed(phase: Phase, sign: Sign, text: impl Into<Cow<'static, str>>) -> Failed<'static> {
    let signs = Signs::default().and(sign);
    Failed { phase: Some(phase), signs, code: None, enhanced: None, text: text.into() }
}

/// How a handshake failed. `None`: the client left, cancelled, or may go on.
pub(super) fn handshake_failure(session: &Session, facts: &HandshakeFacts) -> Option<Failed<'static>> {
    let end = End::of(session);
    let is_cancelled = |alert: &Alert| alert.by == Side::Client && alert.description == Some(Alert::USER_CANCELED);
    let has_left = end == End::Left && facts.server_bytes == 0;
    if session.is_incomplete || end == End::Open || has_left || facts.alerts.iter().any(is_cancelled) {
        return None;
    }
    let has_waited = end.has_waited() && facts.alerts.is_empty();
    let has_oddity = |oddity| session.oddities.contains(&oddity);
    let signs = Signs::default()
        .and(Sign::HandshakeFailed)
        .and_if(has_waited, Sign::TimedOut)
        .and_if(end == End::CutByServer(Sign::ConnectionReset), Sign::ConnectionReset)
        .and_if(has_oddity(Oddity::CipherNotOffered), Sign::CipherNotOffered)
        .and_if(has_oddity(Oddity::HelloWithoutStartTls), Sign::NotTls);
    let waited = if has_waited { "; timed out" } else { "" };
    let text = format!("TLS negotiation failed: {facts}{waited}").into();
    let failed = Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text };
    Some(path::with_report(failed, session))
}

/// True if the client has mail to send: a monitor only greets.
pub(super) fn is_sender(session: &Session) -> bool {
    session.handshake.is_some() || commands(session).any(|verb| is_one_of(verb, &["MAIL", "STARTTLS"]))
}

/// A client that has mail to send, and accepts what it hears, does not leave after EHLO.
pub(super) fn left_without_tls(session: &Session) -> Option<(Sign, &'static str)> {
    let replies = || said(session, Side::Server);
    let only_greeted = commands(session).all(|verb| is_one_of(verb, &["EHLO", "HELO", "RSET", "NOOP", "QUIT"]));
    let is_heard = commands(session).any(|verb| is_one_of(verb, &["EHLO"]))
        && replies().any(|line| line.starts_with("250"))
        && replies().all(|line| line.starts_with('2'));
    let has_left = commands(session).any(|verb| is_one_of(verb, &["QUIT"]))
        || session.ended.is_some_and(|ended| ended.by == Side::Client);
    let offers_tls =
        replies().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
    if session.is_incomplete || !only_greeted || !is_heard || !has_left || offers_tls {
        return None;
    }
    Some(if session.oddities.contains(&Oddity::StartTlsMasked) {
        (Sign::StartTlsMasked, "the client left where STARTTLS is masked as XXXXXXXA")
    } else {
        (Sign::LeftWithoutStartTls, "the client left where no STARTTLS was offered")
    })
}

fn said(session: &Session, by: Side) -> impl Iterator<Item = &str> {
    let lines = session.lines.iter().filter(move |line| line.side == by && line.kind == LineKind::Said);
    lines.map(|line| line.text.as_str())
}

fn commands(session: &Session) -> impl Iterator<Item = &str> {
    said(session, Side::Client).map(|line| line.split(' ').next().unwrap_or_default())
}

fn is_one_of(verb: &str, verbs: &[&str]) -> bool {
    verbs.iter().any(|known| known.eq_ignore_ascii_case(verb))
}
