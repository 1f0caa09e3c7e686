//! `mail-loop`: The message came by here before: 554 5.4.6, Exchange 5.4.14 "hop count exceeded".

use super::cause::{Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "mail-loop",
    does: "sends mail back: it goes in a circle",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "It routes the domain back to the gateway: make the domain local there, or correct its smart host.",
        ),
        (Side::Gateway, "Check the connector: its host must not be an MX of the domain that leads here."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::MailLoop) || s.is_enhanced(4, 6) || s.is_enhanced(4, 14) { 0.95 } else { 0.0 }
}
