//! Reads handshakes back from this gateway's own logs and traces, which have them in words: a protocol log has no other
//! place for them. The words are those of `protocol::tls`'s `Display`, of this version and of older ones.

use protocol::{
    smtp::{FailureKind, Phase},
    tls::{Alert, CertificateFault, Side},
};

use super::{
    handshake::{DH_BITS_MIN, is_about_certificate, sign_of_certificate, signs_of_alert},
    sign::{Sign, Signs},
    words::Words,
};
use crate::evidence::source::Source;

const FAULTS: [CertificateFault; 6] = [
    CertificateFault::Expired,
    CertificateFault::NotYetValid,
    CertificateFault::SelfSigned,
    CertificateFault::Untrusted,
    CertificateFault::NameMismatch,
    CertificateFault::Weak,
];

impl Signs {
    /// The signs in a note of a protocol log. This gateway's notes are kinds of failures, and descriptions of handshakes.
    pub(crate) fn of_note(text: &str, source: Source) -> Self {
        if source != Source::OwnProtocolLog {
            return Self::of_text(text);
        }
        if let Some(kind) = FailureKind::read(text.strip_prefix("Failed to connect. ").unwrap_or(text)) {
            return Self::of_kind(&kind);
        }
        let is_schannels = text.starts_with("TLS negotiation failed with error ");
        let in_its_words = || is_schannels.then(|| Self::of_words(&Words::here(text, Some(Phase::Handshake))));
        Self::of_own_log(text).or_else(in_its_words).unwrap_or_default()
    }

    /// The signs of a failed handshake as this gateway describes it; `None` where the text is not such a description. They
    /// are those of the facts themselves ([`Signs::of_handshake`]), as far as words have them.
    pub fn of_own_log(text: &str) -> Option<Self> {
        if !text.contains("offered TLS ") && !text.contains("offered up to ") && !text.contains("offered no version") {
            return None;
        }
        let alerts: Vec<Alert> = text.split([';', ':', '(']).filter_map(alert).collect();
        let mut signs = alerts.iter().fold(Signs::default(), |signs, alert| signs.union(signs_of_alert(alert)));
        signs.add(Sign::HandshakeFailed);
        signs.add(if text.contains("server chose ") { Sign::ServerHelloSeen } else { Sign::NoServerHello });
        let endings = [
            ("server closed (FIN)", Sign::ConnectionClosed),
            ("server reset the connection", Sign::ConnectionReset),
            ("server fell silent", Sign::TimedOut),
            ("; timed out", Sign::TimedOut),
            ("no answer within ", Sign::TimedOut),
            ("unsupported protocol", Sign::VersionNotSupportedHere),
            ("wrong version number", Sign::NotTls),
            ("dh key too small", Sign::WeakDh),
        ];
        let found = endings.into_iter().filter(|(words, _)| text.contains(words));
        signs = found.fold(signs, |signs, (_, sign)| signs.and(sign));
        let prime = text.split_once("key exchange DHE ").and_then(|(_, bits)| bits.split(' ').next()?.parse().ok());
        signs = signs.and_if(prime.is_some_and(|bits: u32| bits < DH_BITS_MIN), Sign::WeakDh);
        if alerts.iter().any(|alert| alert.by == Side::Client) && text.contains(", not offered") {
            // The certificate beside it was never looked at.
            return Some(signs.and(Sign::CipherNotOffered));
        }
        // A fault that nobody took offence at is told as well.
        let is_refused = |alert: &Alert| alert.by == Side::Client && alert.description.is_none_or(is_about_certificate);
        if !alerts.iter().any(is_refused) && !text.contains("verify failed") {
            return Some(signs);
        }
        let faults = FAULTS.into_iter().filter(|fault| text.contains(&format!("the certificate {fault}")));
        Some(faults.filter_map(sign_of_certificate).fold(signs, Signs::and))
    }
}

/// `server sent alert 40 handshake_failure (fatal)`, `client sent an encrypted alert`.
fn alert(part: &str) -> Option<Alert> {
    let part = part.trim();
    let (by, rest) = [("server sent ", Side::Server), ("client sent ", Side::Client)]
        .into_iter()
        .find_map(|(words, side)| Some((side, part.strip_prefix(words)?)))?;
    let number = rest.strip_prefix("alert ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    let number = number.filter(|number| *number != Alert::CLOSE_NOTIFY);
    (number.is_some() || rest.starts_with("an encrypted alert")).then_some(Alert {
        by,
        description: number,
        fatal: true,
    })
}
