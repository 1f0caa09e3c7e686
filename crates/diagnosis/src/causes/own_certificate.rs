//! How a receiving server gets another certificate, system by system: remedies where senders do not like this side's.

use super::remedy::{Row, System, destination};

pub(super) const EXCHANGE: Row = destination(
    "Assign it: `Enable-ExchangeCertificate -Thumbprint THUMBPRINT -Services SMTP`. If the receive connector names a certificate (`Get-ReceiveConnector | fl Name,TlsCertificateName`), name the new one: `$c = Get-ExchangeCertificate THUMBPRINT; Set-ReceiveConnector NAME -TlsCertificateName \"<I>$($c.Issuer)<S>$($c.Subject)\"`.",
)
.of(System::Exchange)
.inbound();

pub(super) const POSTFIX: Row = destination(
    "Write its private key, then the certificate, then the intermediate ones into a file, set `smtpd_tls_chain_files` to that file (before Postfix 3.4: `smtpd_tls_cert_file` and `smtpd_tls_key_file`), and run `postfix reload`.",
)
.of(System::Postfix)
.inbound();

pub(super) const EXIM: Row = destination(
    "Set `tls_certificate` and `tls_privatekey` in the main section to its files, and restart or reload Exim (SIGHUP).",
)
.of(System::Exim)
.inbound();

pub(super) const GATEPOST: Row = destination(
    "Set `tls_certificate` and `tls_key` in `[inbound]` to it, and reload the node (SIGHUP). `gatepost config check` says whether they fit and when they expire.",
)
.of(System::Gatepost)
.inbound();
