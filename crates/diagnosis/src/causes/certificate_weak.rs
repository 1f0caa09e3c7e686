//! `certificate-weak`: The signature or key is weaker than is safe: SHA-1, RSA under 2048 bits. OpenSSL: "ca md
//! too weak", "ee key too small".

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, here},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateWeak,
    does: "has a certificate with a weak signature or key",
    likelihood,
    remedies: &[
        destination("Install a certificate that is signed with SHA-256 and has an RSA key of 2048 bits or more."),
        here("Check the security level of the TLS library on {us}: it accepts no certificate at all.").everywhere(),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::KeyStrength, Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateWeak) { 0.93 } else { 0.0 }
}
