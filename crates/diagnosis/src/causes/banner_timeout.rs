//! `banner-timeout`: TCP is established and no 220 comes within the timeout: an overloaded server, a tarpit, or a
//! DNS lookup of the client that hangs. Logs: "conversation timed out while receiving the initial server greeting".

use protocol::smtp::Phase;

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::BannerTimeout,
    does: "does not send its greeting in time",
    likelihood,
    remedies: &[
        (Side::Destination, "Find what delays the greeting: reverse DNS lookups, a tarpit, deny list lookups or load."),
        (
            Side::Gateway,
            "Set `banner` in `[connector.timeouts]` of this connector to a longer time (RFC 5321 asks for 5 minutes).",
        ),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.phase == Some(Phase::Banner) && s.has(Sign::TimedOut) { 0.95 } else { 0.0 }
}
