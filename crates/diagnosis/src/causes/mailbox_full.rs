//! `mailbox-full`: Replies: 452 or 552 with x.2.2, "quota exceeded".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::destination,
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::MailboxFull,
    does: "has full mailboxes",
    likelihood,
    remedies: &[destination("Free space in the mailbox, or raise its quota.")],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::MailboxFull) || s.is_enhanced(2, 2) { 0.95 } else { 0.0 }
}
