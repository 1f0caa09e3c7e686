//! `hang-after-handshake`: The handshake succeeds and nothing comes after it: patched Windows 2003 agrees on AES and
//! then falls silent. Whoever looks only at the handshake sees nothing wrong.

use protocol::smtp::Phase;

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "hang-after-handshake",
    does: "agrees on TLS and then falls silent",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Replace its TLS library, or take the cipher suite that hangs off its list (Windows 2003: AES of hotfix 948963).",
        ),
        (Side::Gateway, "A TLS policy without that cipher suite for this connector."),
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
