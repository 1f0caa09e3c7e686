//! `certificate-expired`: The certificate's notAfter has passed. Logs: "certificate has expired", Exchange
//! CertificateExpired, 4.7.322.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    own_certificate,
    remedy::{destination, exchange, exim, gatepost, postfix},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateExpired,
    does: "has an expired certificate",
    likelihood,
    remedies: &[
        destination("Renew the certificate, assign it to SMTP, and restart the mail service."),
        own_certificate::GATEPOST,
        own_certificate::POSTFIX,
        own_certificate::EXCHANGE,
        own_certificate::EXIM,
        gatepost(
            "Until the certificate is renewed, set `tls = \"require\"` on this connector. This weakens security: mail is encrypted, but Gatepost does not check the certificate.",
        ),
        postfix(
            "Until the certificate is renewed, change the entry in `smtp_tls_policy_maps` to `{domain} encrypt`. This weakens security: mail is encrypted, but Postfix does not check the certificate.",
        ),
        exchange(
            "Until the certificate is renewed, run `Set-SendConnector NAME -TlsAuthLevel EncryptionOnly`. This weakens security: mail is encrypted, but Exchange does not check the certificate.",
        ),
        exim(
            "Until the certificate is renewed, move the destination from `tls_verify_hosts` to `tls_try_verify_hosts` of the transport. This weakens security: mail is encrypted, but Exim does not insist on the certificate.",
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
