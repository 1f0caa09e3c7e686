//! `rate-limited`: The destination limits connections or messages from one client. Replies: 421 "too many
//! connections", 450 4.7.x "rate", Exchange 4.7.230.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::RateLimited,
    does: "limits how much mail it accepts from this gateway",
    likelihood,
    remedies: &[
        gatepost("Lower `concurrency` of the connector below the destination's limit."),
        postfix(
            "Lower `smtp_destination_concurrency_limit` for this destination (a transport of its own in master.cf), or set `smtp_destination_rate_delay = 1s`.",
        ),
        exchange(
            "Lower the connections for each domain: `Set-TransportService SERVER -MaxPerDomainOutboundConnections 5`.",
        ),
        exim("Set `max_parallel = 2` on the transport for this destination."),
        sender("Open fewer connections to this destination at the same time, and send more slowly."),
        destination("Raise the limit for the sender's addresses."),
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
