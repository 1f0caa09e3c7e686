//! `starttls-masked`: EHLO's answer has XXXXXXXA in STARTTLS's place: a firewall that inspects SMTP (Cisco's fixup
//! and its kin) masks what it does not know.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "starttls-masked",
    does: "has its STARTTLS masked by a firewall before it",
    likelihood,
    remedies: &[(
        Side::Network,
        "Switch SMTP inspection off (Cisco: no fixup protocol smtp, no inspect esmtp) on the device before the destination.",
    )],
    check: Check::Probe,
    cured_by: &[Aspect::Encryption],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::StartTlsMasked) { 0.97 } else { 0.0 }
}
