//! `client-certificate-required`: The server asks for a client certificate and ends the handshake without one: alert
//! 116 certificate_required, or 40 or 42 after CertificateRequest. With TLS 1.3 the alert comes after the
//! client has completed the handshake.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ClientCertificateRequired,
    does: "requires a client certificate that it accepts",
    likelihood,
    remedies: &[
        gatepost("Set `tls_certificate` and `tls_key` of the connector to a certificate that the destination trusts."),
        postfix(
            "Set `smtp_tls_cert_file` and `smtp_tls_key_file` to a certificate that the destination trusts, with its whole chain.",
        ),
        exchange(
            "Give the connector a certificate that the destination trusts: `Enable-ExchangeCertificate -Thumbprint THUMBPRINT -Services SMTP`, then `$c = Get-ExchangeCertificate THUMBPRINT; Set-SendConnector NAME -TlsCertificateName \"<I>$($c.Issuer)<S>$($c.Subject)\"`.",
        ),
        exim(
            "Set `tls_certificate` and `tls_privatekey` of the transport to a certificate that the destination trusts.",
        ),
        sender("Send a client certificate that the destination trusts, with its whole chain."),
        destination(
            "Stop requiring a client certificate for mail, or trust the authority of the sender's certificate.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::ClientCertificateAsked)
            && (s.has(Sign::AlertAboutCertificate) || s.has(Sign::AlertHandshakeFailure)) =>
        {
            0.95
        }
        () if s.has(Sign::ClientCertificateSaid) => 0.9,
        () if s.has(Sign::ClientCertificateRefused) => 0.88,
        () if s.has(Sign::ClientCertificateAsked) && s.has(Sign::AlertEncrypted) => 0.85,
        () if s.has(Sign::AlertAboutCertificate) => 0.8,
        () => 0.0,
    }
}
