//! `starttls-required`: The destination rejects mail in plaintext. Replies: 530 5.7.0 "must issue a STARTTLS command
//! first", 451 5.7.3.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::StarttlsRequired,
    does: "requires TLS, which this gateway does not use",
    likelihood,
    remedies: &[
        gatepost("Set `tls = \"opportunistic\"` or a stricter value on the connector."),
        postfix("Set `smtp_tls_security_level = may`, then run `postfix reload`."),
        exchange("Let the connector use TLS: `Set-SendConnector NAME -IgnoreSTARTTLS $false`."),
        exim("Remove the destination from `hosts_avoid_tls` of the transport."),
        sender("Use TLS for mail to this destination."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::StartTlsRequiredThere) && !s.has(Sign::StartTlsRequiredHere) { 0.95 } else { 0.0 }
}
