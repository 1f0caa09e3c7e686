//! `certificate-name-mismatch`: No name in the certificate is that of the host that was looked up. Exchange:
//! SubjectMismatch, 4.7.325 certificate-host-mismatch.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    own_certificate,
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateNameMismatch,
    does: "has a certificate for another name",
    likelihood,
    remedies: &[
        destination("Install a certificate that lists this host name as a subject alternative name."),
        own_certificate::GATEPOST,
        own_certificate::POSTFIX,
        own_certificate::EXCHANGE,
        own_certificate::EXIM,
        gatepost("Set `hosts` of the connector to a name that the certificate lists."),
        postfix(
            "If the name in the certificate is the right one, add `{domain} secure match=NAME` to `smtp_tls_policy_maps`.",
        ),
        exchange("If the name in the certificate is the right one, run `Set-SendConnector NAME -TlsDomain NAME`."),
        exim("Set the host of the route to a name that the certificate lists."),
        sender(
            "Deliver to a host name that the certificate lists. If the name in the certificate is the right one, allow it (Postfix: `{domain} secure match=NAME` in `smtp_tls_policy_maps`; Exchange: `Set-SendConnector NAME -TlsDomain NAME`).",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::CertificateNameMismatch) { 0.94 } else { 0.0 }
}
