//! `banner-timeout`: TCP is established and no 220 comes within the time-out: an overloaded server, a tarpit, a DNS
//! look-up of the client that hangs. Logs: "conversation timed out while receiving the initial server greeting".

use protocol::smtp::Phase;

use super::cause::{Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "banner-timeout",
    does: "says its banner too late or never",
    likelihood,
    remedies: &[
        (Side::Destination, "Find what delays the banner: reverse DNS look-ups, tarpits, deny lists, load."),
        (Side::Gateway, "Lengthen timeouts.banner of the connector (RFC 5321 asks for 5 minutes)."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.phase == Some(Phase::Banner) && s.has(Sign::TimedOut) { 0.95 } else { 0.0 }
}
