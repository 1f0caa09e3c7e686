//! `certificate-name-mismatch`: No name in the certificate is that of the host that was looked up. Exchange:
//! SubjectMismatch, 4.7.325 certificate-host-mismatch.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "certificate-name-mismatch",
    does: "shows a certificate for another name",
    likelihood,
    remedies: &[
        (Side::Destination, "Get a certificate that has this host name among its alternative names."),
        (Side::Gateway, "Name the destination in the connector as its certificate does."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateNameMismatch) { 0.94 } else { 0.0 }
}
