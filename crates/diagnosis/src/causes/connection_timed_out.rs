//! `connection-timed-out`: SYN is never answered: a firewall that drops, a wrong address, a host that is down. Logs:
//! "Connection timed out", Winsock 10060, Exchange 450 4.4.315.

use protocol::smtp::Phase;

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::{destination, here, network},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ConnectionTimedOut,
    does: "does not answer TCP connections",
    likelihood,
    remedies: &[
        local_service::LISTENER,
        network(
            "Find what drops packets to this address and port: a firewall on either side, routing, or a provider that blocks port 25.",
        ),
        destination("Check that the host is running and still has this address.").local(false),
        here("Check the firewall and the provider of {us}: no destination answers.").everywhere(),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

fn likelihood(s: &Symptom) -> f64 {
    match s.phase {
        Some(Phase::Connect) if s.has(Sign::TimedOut) => 0.95,
        None if s.has(Sign::TimedOut) && !s.signs.any(&[Sign::HandshakeFailed, Sign::TlsEstablished]) => 0.6,
        None if s.is_enhanced(4, 315) => 0.85,
        _ => 0.0,
    }
}
