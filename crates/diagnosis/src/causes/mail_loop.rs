//! `mail-loop`: The message has passed through this gateway before: 554 5.4.6, Exchange 5.4.14 "hop count exceeded".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::MailLoop,
    does: "is routed back to the server that sends to it",
    likelihood,
    remedies: &[
        destination("Make the domain local on the server, or correct the smart host that routes it back."),
        gatepost(
            "Set `hosts` of the connector to the mailbox server, not to an MX host that leads back to this gateway.",
        ),
        postfix("If mail for {domain} belongs here, add the domain to `mydestination`, `relay_domains` or `virtual_mailbox_domains`; if a NAT or proxy stands before {us}, set `proxy_interfaces`.").on(&[Sign::MailLoop]),
        postfix("Check `mydestination`, `transport_maps` and `relayhost`: one of them leads back to {us}."),
        sender("Check the route of this domain: it leads back to {us}."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::MailLoop) || s.is_enhanced(4, 6) || s.is_enhanced(4, 14) { 0.95 } else { 0.0 }
}
