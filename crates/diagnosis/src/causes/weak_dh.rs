//! `weak-dh`: The server's Diffie-Hellman prime is so short that TLS libraries refuse it (Logjam). OpenSSL: "dh key
//! too small".

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::WeakDh,
    does: "uses a Diffie-Hellman prime that is too short",
    likelihood,
    remedies: &[
        (Side::Destination, "Use a Diffie-Hellman prime of 2048 bits or more, or use ECDHE."),
        (
            Side::Gateway,
            "If the server supports other cipher suites, set `tls_policy` of this connector to a policy without DHE.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::KeyStrength, Aspect::Cipher],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::WeakDh) { 0.95 } else { 0.0 }
}
