//! `handshake-timeout`: The ClientHello is never answered: a device swallows it, or the server hangs. Packets too
//! large for the path (MTU) look the same.

use protocol::smtp::Phase;

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "handshake-timeout",
    does: "never answers the TLS handshake",
    likelihood,
    remedies: &[
        (Side::Network, "Look for a device that swallows large or unknown packets (MTU, TLS inspection)."),
        (Side::Destination, "Look into its log: does it see the ClientHello at all?"),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::PacketSize, Aspect::ClientHello, Aspect::ServerName, Aspect::Version],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.phase != Some(Phase::Handshake) || !s.has(Sign::TimedOut) => 0.0,
        () if s.has(Sign::ServerHelloSeen) => 0.75,
        () => 0.92,
    }
}
