//! `connection-dropped-before-banner`: TCP is established, then closed or reset before the 220: a firewall's filter,
//! a deny list that sends no reply, a crashed server. Logs: "lost connection while receiving the initial server
//! greeting".

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::{destination, here, network},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ConnectionDroppedBeforeBanner,
    does: "closes connections before its greeting",
    likelihood,
    remedies: &[
        local_service::LISTENER,
        destination("Look for the sender's addresses in the logs of the server and its firewall, and remove the rule that closes their connections.").local(false),
        network("Exempt the sender's addresses from SMTP inspection on the devices between {us} and the destination."),
        here("Find what closes outgoing connections near {us}: a virus scanner for mail, a firewall that inspects SMTP, or the provider.").everywhere(),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.phase == Some(Phase::Banner) && s.signs.any(&[Sign::ConnectionReset, Sign::ConnectionClosed]) {
        0.9
    } else {
        0.0
    }
}
