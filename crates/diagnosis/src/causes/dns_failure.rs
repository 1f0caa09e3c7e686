//! `dns-failure`: The destination's name cannot be resolved. Logs: "Host not found", "DNS query failed", Exchange 450
//! 4.4.312, `InfoDomainNonexistent`. A name that does not exist and name servers that fail look alike to mail: both
//! wait.

use protocol::smtp::Phase;

use super::cause::{Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DnsFailure,
    does: "cannot be found in DNS",
    likelihood,
    remedies: &[
        (Side::Gateway, "Look up the name on this node, and check `servers` in `[dns]` and `hosts` of the connector."),
        (Side::Destination, "Publish MX and address records, and check that the name servers answer."),
    ],
    check: Check::Dns,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::DnsFailed) => 0.95,
        () if s.has(Sign::HostNotFound) => 0.9,
        () if s.is_enhanced(4, 312) || s.phase == Some(Phase::Resolve) => 0.85,
        () => 0.0,
    }
}
