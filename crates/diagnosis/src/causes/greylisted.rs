//! `greylisted`: The first attempt gets a 4xx reply, a later one is accepted. Replies: "greylisted", 450 or 451 with
//! 4.7.1 or 4.2.0 after RCPT.

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::Greylisted,
    does: "defers senders that it does not know yet (greylisting)",
    likelihood,
    remedies: &[
        destination(
            "Exempt the sender's addresses from greylisting. A sender that retries from several addresses is new to the destination with each one.",
        ),
        gatepost(
            "Wait: a later attempt succeeds. To shorten the wait, set a shorter first interval in `schedule` of `[retry]`.",
        ),
        postfix("Wait: a later attempt succeeds. To shorten the wait, lower `minimal_backoff_time`."),
        exchange(
            "Wait: a later attempt succeeds. To shorten the wait, lower `-TransientFailureRetryInterval` of `Set-TransportService`.",
        ),
        sender("Wait: a later attempt succeeds."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::Greylisted) && s.is_transient() => 0.95,
        () if s.phase == Some(Phase::Rcpt) && matches!(s.code, Some(450 | 451)) && s.is_enhanced(7, 1) => 0.55,
        () => 0.0,
    }
}
