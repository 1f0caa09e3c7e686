//! `starttls-required`: The destination rejects mail in plaintext. Replies: 530 5.7.0 "must issue a STARTTLS command
//! first", 451 5.7.3.

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::StarttlsRequired,
    does: "requires TLS, which this gateway does not use",
    likelihood,
    remedies: &[(Side::Gateway, "Set `tls = \"opportunistic\"` or a stricter value on the connector.")],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::StartTlsRequiredThere) && !s.has(Sign::StartTlsRequiredHere) { 0.95 } else { 0.0 }
}
