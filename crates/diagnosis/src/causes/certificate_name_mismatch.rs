//! `certificate-name-mismatch`: No name in the certificate is that of the host that was looked up. Exchange:
//! SubjectMismatch, 4.7.325 certificate-host-mismatch.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateNameMismatch,
    does: "has a certificate for another name",
    likelihood,
    remedies: &[
        (Side::Destination, "Install a certificate that lists this host name as a subject alternative name."),
        (Side::Gateway, "Set `hosts` of the connector to a name that the certificate lists."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateNameMismatch) { 0.94 } else { 0.0 }
}
