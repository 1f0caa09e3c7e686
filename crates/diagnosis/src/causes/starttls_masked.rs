//! `starttls-masked`: The answer to EHLO has XXXXXXXA instead of STARTTLS: a firewall that inspects SMTP (such as
//! Cisco's fixup) overwrites extensions that it does not support.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::network,
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::StarttlsMasked,
    does: "has its STARTTLS overwritten by a firewall",
    likelihood,
    remedies: &[
        local_service::LISTENER,
        network(
            "Disable SMTP inspection on the firewall in front of the destination (Cisco: `no fixup protocol smtp` or `no inspect esmtp`).",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Encryption],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::StartTlsMasked) { 0.97 } else { 0.0 }
}
