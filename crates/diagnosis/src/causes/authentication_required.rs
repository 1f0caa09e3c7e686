//! `authentication-required`: The destination requires authentication on this port. Replies: 530 5.7.0 or 5.7.1
//! "authentication required", 454 4.7.0, "unable to relay".

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::AuthenticationRequired,
    does: "requires authentication from this gateway",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Accept mail from this gateway's addresses without authentication (Exchange: an anonymous receive connector limited to those addresses).",
        ),
        (Side::Gateway, "Set `port` of the connector to 25. Submission ports such as 587 require authentication."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::AuthenticationRequired) => 0.92,
        () if matches!(s.code, Some(530 | 535)) && !s.has(Sign::StartTlsRequiredThere) => 0.85,
        () if s.is_enhanced(7, 57) => 0.9,
        () => 0.0,
    }
}
