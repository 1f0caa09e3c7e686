//! `queue-expired`: The message waited longer than the queue keeps mail. The cause is what failed
//! before.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{gatepost, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::QueueExpired,
    does: "did not accept the mail before it expired",
    likelihood,
    remedies: &[
        gatepost("Look at the attempts before the message expired: `gatepost trace --status failed --detail`."),
        sender("Look at the attempts before the message expired: the cause is what failed then."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::Expired) || s.is_enhanced(4, 7) || s.is_enhanced(4, 300) { 0.4 } else { 0.0 }
}
