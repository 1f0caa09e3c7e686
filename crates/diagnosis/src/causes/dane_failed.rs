//! `dane-failed`: The TLSA records of the destination do not fit its certificate, or DNSSEC is broken (RFC 7672).
//! Exchange: 4.7.323 tlsa-invalid, 4.7.324 dnssec-invalid.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, postfix},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DaneFailed,
    does: "fails DANE: its TLSA records cannot be used, or its certificate does not match them",
    likelihood,
    remedies: &[
        destination(
            "Publish the TLSA record of a new certificate before you install the certificate, and check DNSSEC (`dig +dnssec TLSA _25._tcp.HOST` from outside must not answer SERVFAIL).",
        ),
        postfix(
            "Until the records are right, add `{domain} encrypt` to `smtp_tls_policy_maps`. This weakens security: Postfix does not check the certificate.",
        ),
        exim(
            "Until the records are right, remove the destination from `hosts_require_dane` of the transport. This weakens security: Exim does not check the certificate.",
        ),
    ],
    check: Check::Dns,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::DaneFailed) || s.is_enhanced(7, 323) || s.is_enhanced(7, 324) { 0.92 } else { 0.0 }
}
