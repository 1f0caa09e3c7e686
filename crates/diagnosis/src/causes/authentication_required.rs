//! `authentication-required`: The destination takes no mail from strangers on this port. Replies: 530 5.7.0 or 5.7.1
//! "authentication required", 454 4.7.0, "unable to relay".

use super::cause::{Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "authentication-required",
    does: "demands authentication of this gateway",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Let this gateway's addresses send without authentication: an anonymous receive connector for them.",
        ),
        (Side::Gateway, "Check that the connector leads to port 25, not to a submission port."),
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
