//! `destination-overloaded`: The destination reports that it is short of resources. Replies: 452 4.3.1 "insufficient
//! system resources", 421 4.3.2, "server busy".

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DestinationOverloaded,
    does: "reports that it is short of resources",
    likelihood,
    remedies: &[
        (Side::Destination, "Free disk space and memory (Exchange: back pressure), or reduce the load."),
        (Side::Gateway, "Until the destination recovers, lower `concurrency` of the connector."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::Overloaded) && s.is_transient() => 0.85,
        () if s.is_transient() && (s.is_enhanced(3, 1) || s.is_enhanced(3, 2)) => 0.75,
        () if s.code == Some(421) => 0.5,
        () => 0.0,
    }
}
