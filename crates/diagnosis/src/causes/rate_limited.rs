//! `rate-limited`: The destination limits connections or messages from one client. Replies: 421 "too many
//! connections", 450 4.7.x "rate", Exchange 4.7.230.

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::RateLimited,
    does: "limits how much mail it accepts from this gateway",
    likelihood,
    remedies: &[
        (Side::Gateway, "Lower `concurrency` of the connector below the destination's limit."),
        (Side::Destination, "Raise the limit for this gateway's addresses."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.signs.any(&[Sign::TooManyConnections, Sign::TooFast]) => 0.92,
        () if s.is_enhanced(7, 230) || s.is_enhanced(7, 28) => 0.85,
        () => 0.0,
    }
}
