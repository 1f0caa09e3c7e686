//! `weak-dh`: The server's Diffie-Hellman prime is so short that TLS libraries refuse it (Logjam). OpenSSL: "dh key
//! too small".

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::WeakDh,
    does: "uses a Diffie-Hellman prime that is too short",
    likelihood,
    remedies: &[
        destination("Use a Diffie-Hellman prime of 2048 bits or more, or use ECDHE."),
        gatepost(
            "If the server supports other cipher suites, set `tls_policy` of this connector to a policy without DHE.",
        ),
        postfix(
            "If the server supports other cipher suites, add `{domain} encrypt exclude=kDHE` to `smtp_tls_policy_maps`.",
        ),
        exim(
            "If the server supports other cipher suites, exclude DHE in `tls_require_ciphers` of the transport (`:!kDHE`).",
        ),
        sender("If the server supports other cipher suites, do not offer DHE."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::KeyStrength, Aspect::Cipher],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::WeakDh) { 0.95 } else { 0.0 }
}
