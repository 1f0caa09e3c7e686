//! `domain-takes-no-mail`: The domain publishes that it accepts no mail (null MX, RFC 7505). Replies: 556 5.1.10.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, here},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DomainTakesNoMail,
    does: "gets mail for a domain that accepts none (null MX)",
    likelihood,
    remedies: &[
        here(
            "Look up the domain (`dig MX {domain}`): with the record `0 .` it never accepts mail. Check the address with the author of the message.",
        ),
        destination("If the domain should receive mail, replace the MX record `0 .` with that of its mail server."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::NullMx) => 0.95,
        () if s.code == Some(556) && s.is_enhanced(1, 10) => 0.95,
        () => 0.0,
    }
}
