//! `size-dependent-stall`: Small messages pass and large ones stall within the content: a path with a smaller MTU
//! and filtered ICMP, or a scanner that stops. Only a comparison by size separates this from a slow server.

use protocol::smtp::Phase;

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, here, network},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::SizeDependentStall,
    does: "stalls on large messages",
    likelihood,
    remedies: &[
        network("Allow ICMP \"fragmentation needed\" on the path, or lower the MSS (MSS clamping)."),
        here(
            "Lower the MTU of {us} to test it (`ip link set dev eth0 mtu 1400`). Containers and VPNs often have an MTU larger than their path.",
        ),
        destination("Check whether content scanners time out on large messages."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::PacketSize],
};

fn likelihood(s: &Symptom) -> f64 {
    match s.phase {
        // It says so itself. A handshake has long packets, too.
        _ if s.has(Sign::TimedOut) && s.has(Sign::PacketTooBig) => 0.96,
        Some(Phase::Data) if s.has(Sign::TimedOut) => 0.62,
        // A small message that hangs here waits for its reply.
        Some(Phase::EndOfData) if s.has(Sign::TimedOut) && s.has(Sign::FinalDotUnsure) && s.has(Sign::LargeMessage) => {
            0.62
        }
        _ => 0.0,
    }
}
