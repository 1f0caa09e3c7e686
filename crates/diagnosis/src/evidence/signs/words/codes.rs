//! What reply codes and enhanced codes say (RFC 5321 section 4.2, RFC 3463, and the registry of RFC 5248).

use protocol::smtp::{EnhancedCode, Phase};

use super::{Speaker, Words};
use crate::evidence::signs::sign::{Sign, Signs};

/// What the codes say.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub signs: Signs,
    /// No word changes it. Otherwise it holds only where words say nothing.
    pub is_certain: bool,
}

fn certainly(sign: Sign) -> Told {
    Told { signs: Signs::of(&[sign]), is_certain: true }
}

fn likely(sign: Sign) -> Told {
    Told { signs: Signs::of(&[sign]), is_certain: false }
}

impl Told {
    fn is_silent(self) -> bool {
        self.signs == Signs::default()
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self.is_silent() { other() } else { self }
    }
}

pub(super) fn told(words: &Words<'_>) -> Told {
    let of_enhanced = |read: fn(EnhancedCode, &Words<'_>) -> Told| {
        words.enhanced.map_or_else(Told::default, |code| read(code, words))
    };
    let there =
        || of_enhanced(said_there).or(|| words.code.map_or_else(Told::default, |code| reply(code, words.phase)));
    match words.speaker {
        Speaker::ThisSide => of_enhanced(said_here),
        Speaker::Destination => there(),
        Speaker::Log => of_enhanced(said_here).or(there),
    }
}

/// In a reply.
fn said_there(code: EnhancedCode, words: &Words<'_>) -> Told {
    let is_permanent = code.class == 5;
    match (code.subject, code.detail) {
        (1, 1) if is_permanent && words.phase != Some(Phase::Mail) => certainly(Sign::RecipientUnknown),
        (1, 2..=4 | 6 | 10 | 351) if is_permanent => likely(Sign::RecipientUnknown),
        (1, 7 | 8) => certainly(Sign::SenderRejected),
        (2, 1) if is_permanent => likely(Sign::RecipientUnknown),
        (2, 2) => certainly(Sign::MailboxFull),
        (2, 3) | (3, 4) => certainly(Sign::TooLarge),
        (2, 4) | (3, 5) | (4, 3) => likely(Sign::InternalFailure),
        (3, 1 | 2) | (4, 5) => likely(Sign::Overloaded),
        (3, 0) | (4, 0 | 1 | 4) if !is_permanent => likely(Sign::InternalFailure),
        // It does not know where to send mail for the recipient.
        (4, 1 | 4) => likely(Sign::RecipientUnknown),
        (4, 2) => likely(Sign::ConnectionClosed),
        (4, 6 | 14) => certainly(Sign::MailLoop),
        (4, 7) => certainly(Sign::Expired),
        (5, 3) | (7, 28) => likely(Sign::TooFast),
        (7, detail) => security(detail, is_permanent, words),
        _ => Told::default(),
    }
}

/// Security and policy; from 20 on by RFC 7372, RFC 7505 and RFC 8617. Google uses some of these numbers otherwise.
fn security(detail: u16, is_permanent: bool, words: &Words<'_>) -> Told {
    match detail {
        0 | 3 if matches!(words.code, Some(530 | 534 | 535)) => likely(Sign::AuthenticationRequired),
        0 | 1 if words.phase == Some(Phase::StartTls) => likely(Sign::StartTlsRefused),
        0..=2 | 12 if is_permanent => likely(Sign::PolicyRejection),
        // Before a sender was named, there was nothing but the certificate.
        5 if matches!(words.code, Some(454 | 554)) => likely(Sign::ClientCertificateRefused),
        3 | 9 => likely(Sign::AuthenticationRequired),
        8 | 57 => certainly(Sign::AuthenticationRequired),
        10 | 11 => certainly(Sign::StartTlsRequiredThere),
        20..=22 => likely(Sign::DkimFailed),
        23 | 24 => likely(Sign::SpfFailed),
        25 => likely(Sign::ReverseDnsRejected),
        26 | 29 => likely(Sign::DmarcFailed),
        27 => likely(Sign::SenderRejected),
        64 => certainly(Sign::PolicyRejection),
        _ => Told::default(),
    }
}

/// A reply without an enhanced code.
fn reply(code: u16, phase: Option<Phase>) -> Told {
    match (code, phase) {
        (454, Some(Phase::StartTls)) => likely(Sign::StartTlsRefused),
        (452, _) => likely(Sign::Overloaded),
        (501 | 504 | 550 | 553 | 554, Some(Phase::Ehlo)) => likely(Sign::HeloRejected),
        (530 | 534 | 535, _) => likely(Sign::AuthenticationRequired),
        (551, Some(Phase::Rcpt)) => likely(Sign::RecipientUnknown),
        (552, Some(Phase::Mail)) => likely(Sign::TooLarge),
        (552, Some(Phase::Rcpt)) => likely(Sign::MailboxFull),
        (553, Some(Phase::Mail)) => likely(Sign::SenderRejected),
        (521 | 554, Some(Phase::Banner))
        | (550 | 554, Some(Phase::Mail | Phase::Data | Phase::EndOfData))
        | (571, _) => likely(Sign::PolicyRejection),
        // RFC 7504 section 5.
        (556, _) => certainly(Sign::NullMx),
        _ => Told::default(),
    }
}

/// By the server that makes the attempt. From 300 on: Exchange Online's.
fn said_here(code: EnhancedCode, words: &Words<'_>) -> Told {
    match (code.subject, code.detail) {
        (1, 1) if code.class == 5 => certainly(Sign::RecipientUnknown),
        (1, 2) | (4, 4) if words.speaker == Speaker::ThisSide => likely(Sign::HostNotFound),
        (2, 2) => certainly(Sign::MailboxFull),
        (2, 3) | (3, 4) => certainly(Sign::TooLarge),
        (3, 5) if words.speaker == Speaker::ThisSide => likely(Sign::LocalConfiguration),
        (4, 3) if words.speaker == Speaker::ThisSide => likely(Sign::DnsFailed),
        (4, 312) => certainly(Sign::DnsFailed),
        (4, 315) => likely(Sign::TimedOut),
        (4, 316) => certainly(Sign::ConnectionRefused),
        (4, 318) => likely(Sign::ConnectionClosed),
        (4, 6 | 14) => certainly(Sign::MailLoop),
        (4, 7 | 300) => certainly(Sign::Expired),
        (4, 8) => certainly(Sign::MtaStsFailed),
        (7, 5) if words.code == Some(454) => likely(Sign::CertificateUntrusted),
        (7, 320) => likely(Sign::CertificateUntrusted),
        (7, 321) => {
            let signs = Signs::of(&[Sign::StartTlsNotOffered, Sign::StartTlsRequiredHere]);
            Told { signs, is_certain: true }
        }
        (7, 322) => certainly(Sign::CertificateExpired),
        (7, 323 | 324) => certainly(Sign::DaneFailed),
        (7, 325) => certainly(Sign::CertificateNameMismatch),
        _ => Told::default(),
    }
}
