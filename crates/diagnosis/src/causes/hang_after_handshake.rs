//! `hang-after-handshake`: The handshake succeeds and nothing comes after it: patched Windows 2003 agrees on AES and
//! then sends nothing. The handshake alone shows nothing wrong.

use protocol::smtp::Phase;

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::HangAfterHandshake,
    does: "completes the TLS handshake and then sends nothing",
    likelihood,
    remedies: &[
        destination(
            "Update the TLS library, or disable the cipher suite that hangs (Windows Server 2003: AES from hotfix 948963).",
        ),
        gatepost("Set `tls_policy` of this connector to a policy without that cipher suite (`gatepost policy list`)."),
        postfix("Add `{domain} encrypt exclude=CIPHER` to `smtp_tls_policy_maps`, with the cipher suite that hangs."),
        exim("Exclude the cipher suite that hangs in `tls_require_ciphers` of the transport."),
        sender("Do not offer the cipher suite that hangs."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Cipher, Aspect::Version],
};

fn likelihood(s: &Symptom) -> f64 {
    match s.phase {
        Some(Phase::Ehlo | Phase::Mail) if s.has(Sign::TlsEstablished) && s.has(Sign::TimedOut) => 0.95,
        Some(Phase::Ehlo)
            if s.has(Sign::TlsEstablished) && s.signs.any(&[Sign::ConnectionReset, Sign::ConnectionClosed]) =>
        {
            0.8
        }
        _ => 0.0,
    }
}
