//! `recipient-unknown`: The recipient does not exist there. Replies: 550 5.1.1, 5.1.10, Exchange 550 5.4.1 from its
//! edge. A few are ordinary; many mean that the domain has moved or that its directory is broken.

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, gatepost, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::RecipientUnknown,
    does: "rejects recipients as unknown",
    likelihood,
    remedies: &[
        destination("Check whether the accounts have moved and whether recipient lookup works."),
        gatepost("Check that the connector of this domain leads to the server that has the mailboxes."),
        sender("Check the spelling of the address with the author of the message."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::NullMx) || s.code == Some(556) => 0.0,
        () if s.has(Sign::RecipientUnknown) => 0.95,
        // "Unrouteable address" is what Exim replies for an unknown recipient; in its own log it is about the next
        // host.
        () if s.phase == Some(Phase::Rcpt) && s.is_permanent() && s.has(Sign::HostNotFound) => 0.93,
        () if s.is_permanent() && (s.is_enhanced(1, 1) || s.is_enhanced(1, 10) || s.is_enhanced(1, 351)) => 0.95,
        // Of the protocol: the command was wrong, not the recipient.
        () if s.enhanced.is_some_and(|enhanced| enhanced.subject == 5) => 0.0,
        () if s.phase == Some(Phase::Rcpt) && matches!(s.code, Some(550 | 551 | 553)) => 0.55,
        () => 0.0,
    }
}
