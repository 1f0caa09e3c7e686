//! `tls-session-ticket-interop`: Handshakes that resume an earlier session fail, others with the same host work: one side
//! cannot decode the other's session ticket (alert 50 decode_error).

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::TlsSessionTicketInterop,
    does: "fails some TLS handshakes that use session tickets",
    likelihood,
    remedies: &[
        destination(
            "Turn session tickets off (Postfix: `tls_ssl_options = NO_TICKET`; Exim: `openssl_options = +no_ticket`), or update the TLS library.",
        ),
        postfix(
            "Set `tls_ssl_options = NO_TICKET` and leave `smtp_tls_session_cache_database` empty, then run `postfix reload`.",
        ),
        exim("Set `openssl_options = +no_ticket`, and remove the host from `tls_resumption_hosts`."),
        sender("Turn session tickets off on {us} to test it."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    // As likely as the unknown: a comparison with what worked decides.
    if s.has(Sign::AlertDecodeError) { 0.31 } else { 0.0 }
}
