//! The cause of one failure by itself. A finding knows more: it compares attempts with each other.

use protocol::{smtp::Failure, tls::HandshakeFacts};

use super::CauseId;
use crate::evidence::{Failed, Sign, Signs, Symptom, provider_code};

/// Below this likelihood, the cause of one failure is unknown.
const LIKELY: f64 = 0.5;

/// What explains this failure best. `is_encrypted`: the attempt had agreed on TLS before it failed.
pub fn cause_of(failure: &Failure, handshake: Option<&HandshakeFacts>, is_encrypted: bool) -> CauseId {
    let Failed { phase, signs, code, enhanced, text } = Failed::of(failure, failure.summary());
    let of_handshake = handshake.map(Signs::of_handshake).unwrap_or_default();
    let symptom = Symptom {
        phase,
        code,
        enhanced,
        signs: signs.union(of_handshake).and_if(is_encrypted, Sign::TlsEstablished),
        known: provider_code(&text, code, enhanced),
    };
    let (cause, likelihood) = symptom.cause();
    if likelihood > LIKELY { cause.id } else { CauseId::Unknown }
}

#[cfg(test)]
mod tests {
    use protocol::smtp::{EnhancedCode, FailureKind, Phase, Reply};

    use super::*;

    #[test]
    fn a_failure_shows_its_cause_as_far_as_it_can() {
        let rejected = |code, enhanced: (u8, u16, u16), text: &str| {
            let (class, subject, detail) = enhanced;
            Failure::rejected(Phase::Rcpt, Reply::new(code, Some(EnhancedCode::new(class, subject, detail)), text))
        };
        let local = FailureKind::HandshakeFailed { detail: "alert 40".to_owned() };
        for (failure, expected) in [
            (Failure::new(Phase::Connect, FailureKind::ConnectionRefused), CauseId::ConnectionRefused),
            (Failure::new(Phase::Resolve, FailureKind::NullMx), CauseId::DomainTakesNoMail),
            (rejected(451, (4, 7, 1), "Greylisted, try again later"), CauseId::Greylisted),
            (rejected(550, (5, 1, 1), "No such user"), CauseId::RecipientUnknown),
            (Failure::new(Phase::Handshake, local), CauseId::Unknown),
        ] {
            assert_eq!(cause_of(&failure, None, false), expected, "{failure:?}");
        }
    }
}
