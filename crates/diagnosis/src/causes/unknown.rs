//! `unknown`: None of the others, said honestly: a wrong name costs an operator a day.

use super::{Cause, Check, Side, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "unknown",
    does: "fails in a way that fits no known cause",
    likelihood,
    remedies: &[(
        Side::Gateway,
        "Look at the evidence, and take a capture at the gateway if it does not tell: gatepost capture.",
    )],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.signs.are_silent() && s.code.is_none() && s.phase.is_none() { 0.05 } else { 0.3 }
}
