//! `certificate-expired`: The certificate's notAfter has passed. Logs: "certificate has expired", Exchange
//! CertificateExpired, 4.7.322.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateExpired,
    does: "has an expired certificate",
    likelihood,
    remedies: &[
        (Side::Destination, "Renew the certificate, assign it to SMTP, and restart the mail service."),
        (
            Side::Gateway,
            "Until the certificate is renewed, set `tls = \"require\"` on this connector. This weakens security: mail is encrypted, but Gatepost does not check the certificate.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::CertificateExpired) => 0.95,
        () if s.has(Sign::CertificateNotYetValid) => 0.8,
        () => 0.0,
    }
}
