//! `mta-sts-failed`: The MTA-STS policy of the domain does not fit its MX or certificate (RFC 8461). Exchange: 4.4.8,
//! 4.7.5.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::destination,
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::MtaStsFailed,
    does: "fails its own MTA-STS policy",
    likelihood,
    remedies: &[destination(
        "List all MX hosts in the policy, and give each host a trusted certificate with its name.",
    )],
    check: Check::Dns,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::MtaStsFailed) || s.is_enhanced(4, 8) { 0.92 } else { 0.0 }
}
