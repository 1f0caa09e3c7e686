//! `rejected-by-policy`: The destination rejects mail by its own rules: content, sender, deny list. Replies: 5.7.1, 554
//! after the content, "blocked using …".

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::RejectedByPolicy,
    does: "rejects mail by its own policy",
    likelihood,
    remedies: &[(
        Side::Destination,
        "Exempt this gateway from the rule. The gateway relays mail, so its address is not the sender's address.",
    )],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.signs.any(&[Sign::RecipientUnknown, Sign::AuthenticationRequired, Sign::Greylisted]) => 0.0,
        () if s.has(Sign::PolicyRejection) && s.code.is_some() => 0.85,
        () if s.is_permanent() && s.is_enhanced(7, 1) => 0.7,
        () if s.code == Some(554) => 0.5,
        () => 0.0,
    }
}
