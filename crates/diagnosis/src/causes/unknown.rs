//! `unknown`: No known cause fits. A wrong cause would cost an operator a day.

use super::cause::{Cause, CauseId, Check, Side, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::Unknown,
    does: "fails in a way that fits no known cause",
    likelihood,
    remedies: &[(
        Side::Gateway,
        "Read the evidence. If it does not show the cause, capture packets on the gateway \
         (`tcpdump -i any -w edge.pcap port 25`), then run `gatepost why --capture edge.pcap`.",
    )],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.signs.are_silent() && s.code.is_none() && s.phase.is_none() { 0.05 } else { 0.3 }
}
