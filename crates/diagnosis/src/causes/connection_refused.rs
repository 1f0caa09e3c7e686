//! `connection-refused`: The address answers TCP with RST: no server listens on the port, or a firewall refuses.
//! Logs: "Connection refused", Winsock 10061, Exchange 450 4.4.316.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ConnectionRefused,
    does: "refuses TCP connections",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Start the mail server, or allow this gateway's addresses to reach its port through the firewall.",
        ),
        (Side::Gateway, "Check `hosts` and `port` of the connector."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::ConnectionRefused) || s.is_enhanced(4, 316) { 0.95 } else { 0.0 }
}
