//! `certificate-untrusted`: The chain does not end at an authority that this gateway trusts: self-signed, a private
//! authority, or a missing intermediate certificate. Exchange: UntrustedRoot.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    own_certificate,
    remedy::{destination, exchange, exim, gatepost, here, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::CertificateUntrusted,
    does: "has a certificate that this gateway does not trust",
    likelihood,
    remedies: &[
        here("Update the list of authorities that {us} trusts: it accepts no certificate at all.").everywhere(),
        destination(
            "Install a certificate from a public authority, and send the whole chain with all intermediate certificates.",
        ),
        own_certificate::GATEPOST,
        own_certificate::POSTFIX,
        own_certificate::EXCHANGE,
        own_certificate::EXIM,
        gatepost(
            "If the destination uses a private authority, set `tls_authorities` of the connector to a file with its certificate.",
        ),
        postfix(
            "Set `smtp_tls_CAfile` to the list of authorities (Debian: `/etc/ssl/certs/ca-certificates.crt`). If the destination uses a private authority, add its certificate there.",
        ),
        exchange(
            "If the destination uses a private authority, import its certificate: `Import-Certificate -FilePath ca.cer -CertStoreLocation Cert:\\LocalMachine\\Root`.",
        ),
        exim(
            "Set `tls_verify_certificates` of the transport to the list of authorities (`system`, or a file with that of the destination).",
        ),
        sender("If the destination uses a private authority, add its certificate to those that {us} trusts."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Certificate],
};

fn likelihood(s: &Symptom) -> f64 {
    // A certificate that DANE refuses needs no authority.
    if s.has(Sign::CertificateUntrusted) && !s.has(Sign::DaneFailed) { 0.93 } else { 0.0 }
}
