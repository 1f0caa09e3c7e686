//! `no-shared-cipher`: No cipher suite is known to both. On the wire: ClientHello, then alert 40 handshake_failure
//! without a ServerHello. Logs: "no shared cipher". Alert 40 has other reasons too, so contrast or a probe must
//! confirm.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "no-shared-cipher",
    does: "has no TLS cipher suite in common with this gateway",
    likelihood,
    remedies: &[
        (Side::Destination, "Update its TLS: AES-GCM suites with TLS 1.2 or later. RC4 and 3DES are broken."),
        (
            Side::Gateway,
            "Until then, give this connector a TLS policy that has its cipher suite, or halt the rollout that took it away.",
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
