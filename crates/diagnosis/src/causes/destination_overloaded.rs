//! `destination-overloaded`: The destination reports that it is short of resources. Replies: 452 4.3.1 "insufficient
//! system resources", 421 4.3.2, "server busy".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DestinationOverloaded,
    does: "reports that it is short of resources",
    likelihood,
    remedies: &[
        destination("Free disk space and memory (Exchange: back pressure), or reduce the load."),
        gatepost("Until the destination recovers, lower `concurrency` of the connector."),
        postfix("Until the destination recovers, lower `smtp_destination_concurrency_limit` for it."),
        sender("Wait: the queue retries. Open fewer connections to this destination."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::InternalFailure) && !s.has(Sign::Overloaded) => 0.0,
        () if s.has(Sign::Overloaded) && s.is_transient() => 0.85,
        () if s.is_transient() && (s.is_enhanced(3, 1) || s.is_enhanced(3, 2)) => 0.75,
        () if s.code == Some(421) => 0.45,
        () => 0.0,
    }
}
