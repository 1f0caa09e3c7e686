//! `message-too-large`: The message is over a limit that SIZE announces or that the end of data meets. Replies: 552
//! 5.3.4, 5.2.3.

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::MessageTooLarge,
    does: "does not accept messages of this size",
    likelihood,
    remedies: &[
        (Side::Destination, "Raise the size limit to the gateway's limit."),
        (
            Side::Gateway,
            "Lower `size_max` in `[inbound]` to the destination's limit, so that senders get the rejection at once.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::TooLarge) || s.is_enhanced(3, 4) || s.is_enhanced(2, 3) { 0.95 } else { 0.0 }
}
