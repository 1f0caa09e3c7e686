//! What came of a conversation that went on behind encryption. No word of it can be read; that something was said, how much
//! and who waited for whom can be seen, and is taken for no more than it tells.

use capture::{Analysis, Session};
use protocol::{
    smtp::Phase,
    tls::{HandshakeFacts, Side, WireVersion},
};

use super::ending::End;
use crate::evidence::{Failed, Sign, Signs};

/// QUIT is no longer, though the client may not wait for its answer.
const GOODBYE_BYTES_MAX: u64 = 100;
/// No message is shorter, with its header; sender, recipient and DATA, said at once, seldom are longer.
const MESSAGE_BYTES_MIN: u64 = 250;
/// Commands that are said at once are seldom longer: this was content.
const CONTENT_BYTES_MIN: u64 = 2048;

const NO_ANSWER: &str = "the server sent no answer after the TLS handshake";
const NO_ANSWER_TO_CONTENT: &str = "the server sent no answer to the content (encrypted)";
const NO_ANSWER_TO_SOMETHING: &str = "the server sent no answer (encrypted)";
const DROPPED: &str = "the server dropped the connection (encrypted)";
const NO_CONTENT: &str = "the client left without sending content; the reason is encrypted";

/// The bytes of what went over and was answered; each is taken for a message that was accepted.
pub(super) fn messages(session: &Session) -> impl Iterator<Item = u64> {
    let turns = session.turns.client_bytes.as_slice();
    let answered = turns.len() - usize::from(unanswered(session) > 0 && !turns.is_empty());
    turns.iter().take(answered).copied().filter(|bytes| *bytes >= MESSAGE_BYTES_MIN)
}

/// What the client said last, in bytes, where nothing came after it.
pub(super) fn unanswered(session: &Session) -> u64 {
    session.turns.last.filter(|turn| turn.by == Side::Client).map_or(0, |turn| turn.bytes)
}

/// How it failed, if it did.
pub(super) fn failure(session: &Session, facts: &HandshakeFacts, is_end_known: bool) -> Option<Failed<'static>> {
    let end = End::of(session);
    // What the capture lacks may be the answer.
    if session.is_incomplete || (end == End::Silent && !is_end_known) {
        return None;
    }
    let (said, unanswered) = (session.turns.client_bytes.len(), unanswered(session));
    let is_unheard = session.turns.by_server == 0 && said <= 1;
    match end {
        // After EHLO nothing came that it could go on from: session tickets are no answer.
        End::GivenUp | End::Silent if said <= 1 && messages(session).next().is_none() => {
            failed(Some(Phase::Ehlo), Sign::TimedOut, NO_ANSWER)
        }
        End::GivenUp | End::Silent if unanswered > CONTENT_BYTES_MIN => {
            // A server that has read everything has the end of the message, too.
            let is_stalled = session.is_server_full || session.analysis.of(Analysis::RETRANSMISSION) > 1;
            let phase = if is_stalled { Phase::Data } else { Phase::EndOfData };
            failed(Some(phase), Sign::TimedOut, NO_ANSWER_TO_CONTENT)
        }
        End::GivenUp | End::Silent if unanswered > GOODBYE_BYTES_MAX => {
            failed(None, Sign::TimedOut, NO_ANSWER_TO_SOMETHING)
        }
        // In TLS 1.3 the server may have refused the client's certificate.
        End::CutByServer(sign) if is_unheard && !is_tls13(facts) => failed(Some(Phase::Ehlo), sign, DROPPED),
        End::CutByServer(sign) if is_unheard || unanswered > GOODBYE_BYTES_MAX => failed(None, sign, DROPPED),
        // One that went no further than a greeting looked whether TLS works; one that is not over may go on.
        _ if said <= 2 || session.ended.is_none() || messages(session).next().is_some() => None,
        _ => failed(None, Sign::TlsEstablished, NO_CONTENT),
    }
}

fn failed(phase: Option<Phase>, sign: Sign, text: &'static str) -> Option<Failed<'static>> {
    Some(Failed { phase, signs: Signs::default().and(sign), code: None, enhanced: None, text: text.into() })
}

fn is_tls13(facts: &HandshakeFacts) -> bool {
    facts.server_hello.as_ref().is_some_and(|hello| hello.version >= WireVersion::TLS13)
}
