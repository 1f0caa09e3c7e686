//! `certificate-untrusted`: The chain does not end at an authority that this gateway trusts: self-signed, a private
//! authority, or a missing intermediate certificate. Exchange: UntrustedRoot.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateUntrusted,
    does: "has a certificate that this gateway does not trust",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Install a certificate from a public authority, and send the whole chain with all intermediate certificates.",
        ),
        (
            Side::Gateway,
            "If the destination uses a private authority, set `tls_authorities` of the connector to a file with its certificate.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateUntrusted) { 0.93 } else { 0.0 }
}
