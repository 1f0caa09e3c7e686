//! `weak-dh`: The server's Diffie-Hellman prime is so short that TLS libraries refuse it (Logjam). OpenSSL: "dh key
//! too small".

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "weak-dh",
    does: "exchanges keys with a Diffie-Hellman prime that is too short",
    likelihood,
    remedies: &[
        (Side::Destination, "Use a prime of 2048 bits or more, or ECDHE."),
        (Side::Gateway, "A TLS policy without DHE suites, if the server has others."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::KeyStrength, Aspect::Cipher],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::WeakDh) { 0.95 } else { 0.0 }
}
