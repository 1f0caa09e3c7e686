//! `no-shared-cipher`: The two sides support no common cipher suite. On the wire: ClientHello, then alert 40
//! handshake_failure without a ServerHello. Logs: "no shared cipher". Alert 40 has other reasons too, so a comparison
//! or a probe must confirm.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NoSharedCipher,
    does: "shares no cipher suite with this gateway",
    likelihood,
    remedies: &[
        (Side::Destination, "Enable TLS 1.2 or later with AES-GCM cipher suites. RC4 and 3DES are broken."),
        (
            Side::Gateway,
            "Until the server is updated, set `tls_policy` of this connector to a policy with its cipher suite, or halt the rollout that removed it. This weakens security.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Cipher],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::NoSharedCipherSaid) => 0.92,
        () if s.signs.any(&[Sign::ServerHelloSeen, Sign::ClientCertificateAsked]) => 0.0,
        () if s.has(Sign::AlertInsufficientSecurity) => 0.8,
        () if s.has(Sign::AlertHandshakeFailure) => 0.75,
        () if s.has(Sign::AlgorithmMismatch) => 0.6,
        () => 0.0,
    }
}
