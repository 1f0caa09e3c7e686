//! `connection-refused`: The address answers TCP with RST: no server listens on the port, or a firewall refuses.
//! Logs: "Connection refused", Winsock 10061, Exchange 450 4.4.316.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ConnectionRefused,
    does: "refuses TCP connections",
    likelihood,
    remedies: &[
        local_service::LISTENER,
        destination("Start the mail server, or allow the sender's addresses to reach its port through the firewall.")
            .local(false),
        gatepost("Check `hosts` and `port` of the connector."),
        postfix("Check where Postfix sends this mail (`postconf relayhost transport_maps`)."),
        exchange("Check the smart hosts and the port (`Get-SendConnector | fl Name,SmartHosts,Port`)."),
        exim("Check where Exim sends this mail (`exim -bt postmaster@{domain}`)."),
        sender("Check the host and the port that {us} connects to."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::ConnectionRefused) || s.is_enhanced(4, 316) { 0.95 } else { 0.0 }
}
