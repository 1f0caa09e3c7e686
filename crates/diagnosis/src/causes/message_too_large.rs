//! `message-too-large`: The message is over a limit that SIZE announces or that the end of data meets. Replies: 552
//! 5.3.4, 5.2.3.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::MessageTooLarge,
    does: "does not accept messages of this size",
    likelihood,
    remedies: &[
        destination("Raise the size limit to the sender's limit."),
        gatepost(
            "Lower `size_max` in `[inbound]` to the destination's limit, so that senders get the rejection at once.",
        ),
        postfix("Lower `message_size_limit` to the destination's limit, so that authors get the rejection at once."),
        exchange(
            "Lower the limit of the connector to the destination's: `Set-SendConnector NAME -MaxMessageSize 25MB`.",
        ),
        sender("Send a smaller message, or a link to the file."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::TooLarge) || s.is_enhanced(3, 4) || s.is_enhanced(2, 3) { 0.95 } else { 0.0 }
}
