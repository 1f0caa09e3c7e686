//! `destination-internal-failure`: The destination answers that something behind it failed: a lookup, a proxy, a filter or
//! a database. Replies: 451 4.3.0 "Temporary lookup failure", Exchange's "Temporary server error" with a PRX code.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, here},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DestinationInternalFailure,
    does: "reports a failure of its own (a lookup, a proxy, a filter or a database behind it)",
    likelihood,
    remedies: &[
        destination(
            "Read the server's log at the time of the failures: it names what failed. (Exchange with PRX codes: check that each DNS server of its network adapters knows the internal names, and that the mailbox transport service runs.)",
        ),
        here(
            "Wait: the queue retries. If it lasts, send the exact reply and its time to the administrator of the destination.",
        ),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::InternalFailure) => 0.9,
        () if matches!(s.code, Some(451 | 554)) && s.is_enhanced(3, 0) => 0.55,
        () => 0.0,
    }
}
