//! `size-dependent-stall`: Small messages pass and large ones stall within the content: a path whose MTU is smaller
//! than believed and whose ICMP is filtered, or a scanner that gives up. Told from a slow server by contrast over
//! size.

use protocol::smtp::Phase;

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "size-dependent-stall",
    does: "stalls on large messages",
    likelihood,
    remedies: &[
        (Side::Network, "Allow ICMP \"fragmentation needed\" on the path, or lower the MSS (MSS clamping)."),
        (Side::Destination, "Check whether content scanners time out on large messages."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::PacketSize],
};

fn likelihood(s: &Symptom) -> f64 {
    match s.phase {
        Some(Phase::Data | Phase::EndOfData) if s.has(Sign::TimedOut) => 0.62,
        _ => 0.0,
    }
}
