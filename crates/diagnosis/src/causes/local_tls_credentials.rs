//! `local-tls-credentials`: The sender's own certificate or key cannot be used: it has expired, is missing, or its key
//! cannot be read. Exchange: NoCredentials, UnknownCredentials; Postfix: "cannot get RSA private key from file".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::LocalTlsCredentials,
    does: "cannot be reached over TLS, because the sender's own certificate or key cannot be used",
    likelihood,
    remedies: &[
        gatepost(
            "Run `gatepost config check`: it says whether `tls_certificate` and `tls_key` of the connector belong together and when they expire. Replace what does not work, then reload the node (SIGHUP).",
        ),
        postfix(
            "Check `smtp_tls_cert_file` and `smtp_tls_key_file`: both must exist, be readable, belong together (`openssl x509 -noout -pubkey -in CERT`, `openssl pkey -pubout -in KEY`), and the certificate must not have expired (`openssl x509 -noout -enddate -in CERT`).",
        ),
        exchange(
            "Find a valid certificate with a private key (`Get-ExchangeCertificate | fl Thumbprint,NotAfter,HasPrivateKey,Services`), assign it (`Enable-ExchangeCertificate -Thumbprint THUMBPRINT -Services SMTP`), and correct `TlsCertificateName` (`$c = Get-ExchangeCertificate THUMBPRINT; Set-SendConnector NAME -TlsCertificateName \"<I>$($c.Issuer)<S>$($c.Subject)\"`).",
        ),
        exim(
            "Check `tls_certificate` and `tls_privatekey` of the transport: the Exim user must be able to read both, and the certificate must not have expired (`openssl x509 -noout -enddate -in CERT`).",
        ),
        sender("Check the certificate and the key of {us}: both must exist, be readable, valid and belong together."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::LocalTlsCredentials) { 0.95 } else { 0.0 }
}
