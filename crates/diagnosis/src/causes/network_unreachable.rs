//! `network-unreachable`: There is no route, or no IPv6 at all on one side. Logs: "Network is unreachable", "No route
//! to host", Winsock 10051.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NetworkUnreachable,
    does: "cannot be reached over the network",
    likelihood,
    remedies: &[(
        Side::Network,
        "Fix the route to this address. If only IPv6 fails, remove the AAAA record from DNS or give this node IPv6.",
    )],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::Unreachable) { 0.95 } else { 0.0 }
}
