//! `network-unreachable`: There is no route, or no IPv6 at all on one side. Logs: "Network is unreachable", "No route
//! to host", Winsock 10051.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{exchange, exim, gatepost, network, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NetworkUnreachable,
    does: "cannot be reached over the network",
    likelihood,
    remedies: &[
        network("Fix the route to this address."),
        gatepost("If only IPv6 fails, give this node IPv6, or remove the AAAA record of the destination from DNS."),
        postfix(
            "If {us} has no IPv6, set `inet_protocols = ipv4`; if IPv6 only fails often, set `smtp_address_preference = ipv4`. Then run `postfix reload`.",
        ),
        exim("If {us} has no IPv6, set `disable_ipv6 = true`."),
        exchange("If only IPv6 fails, remove the IPv6 address and gateway that lead nowhere from the network adapter."),
        sender("If only IPv6 fails, give {us} IPv6, or turn IPv6 off there."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::Unreachable) { 0.95 } else { 0.0 }
}
