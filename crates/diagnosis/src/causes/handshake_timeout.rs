//! `handshake-timeout`: The ClientHello is never answered: a device drops it, or the server hangs. Packets too
//! large for the path (MTU) look the same.

use protocol::smtp::Phase;

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, here, network},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::HandshakeTimeout,
    does: "does not answer the TLS handshake",
    likelihood,
    remedies: &[
        network("Find the device that drops large or unfamiliar packets (MTU, TLS inspection)."),
        destination("Check in the server's log or in a packet capture whether the ClientHello arrives."),
        here(
            "Lower the MTU of {us} to test it (`ip link set dev eth0 mtu 1400`). Containers and VPNs often have an MTU larger than their path.",
        ),
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
