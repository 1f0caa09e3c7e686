//! Decides whether a delivery had less protection than the policy `modern` requires, and why. The ledger keeps the
//! result.

use protocol::tls::WireVersion;
use store::Weakness;
use trace::Attempt;

use crate::config::TlsLevel;

pub(super) fn of(level: TlsLevel, attempt: &Attempt) -> Option<Weakness> {
    let Some(tls) = &attempt.tls else {
        return Some(match (level, &attempt.plaintext_because) {
            (TlsLevel::None, _) => Weakness::Configured,
            (_, Some(_)) => Weakness::HandshakeFailed,
            (_, None) => Weakness::StartTlsNotOffered,
        });
    };
    match attempt.handshake.as_ref().and_then(|facts| facts.server_hello.as_ref()) {
        Some(hello) if hello.version < WireVersion::TLS12 => Some(Weakness::OldVersion),
        Some(hello) => (!hello.cipher_suite.is_modern(hello.version)).then_some(Weakness::WeakCipher),
        // Without the bytes of the handshake, use the TLS library's answer.
        None => (!matches!(tls.version.as_str(), "TLSv1.2" | "TLSv1.3")).then_some(Weakness::OldVersion),
    }
}
