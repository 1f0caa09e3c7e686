//! `certificate-untrusted`: The chain does not end at an authority that this gateway trusts: self-signed, a private
//! authority, or a missing intermediate certificate. Exchange: UntrustedRoot.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "certificate-untrusted",
    does: "shows a certificate that this gateway does not trust",
    likelihood,
    remedies: &[
        (Side::Destination, "Send the whole chain, from an authority that is publicly trusted."),
        (Side::Gateway, "For a private authority: name it in tls_authorities of the connector."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateUntrusted) { 0.93 } else { 0.0 }
}
