//! `greylisted`: A first attempt is answered 4xx, a later one is taken. Replies: "greylisted", 450 or 451 with 4.7.1
//! or 4.2.0 after RCPT.

use protocol::smtp::Phase;

use super::cause::{Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "greylisted",
    does: "defers unknown senders at first (greylisting)",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Exempt this gateway's addresses from greylisting: it retries from several addresses, each of which is new to it.",
        ),
        (Side::Gateway, "Nothing: the mail goes through at a later attempt. A shorter first retry helps."),
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
