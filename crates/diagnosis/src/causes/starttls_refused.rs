//! `starttls-refused`: STARTTLS is offered and then answered 4xx or 5xx: the server has lost its certificate or key.
//! Replies: 454 4.7.0 "TLS not available due to temporary reason".

use protocol::smtp::Phase;

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::destination,
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::StarttlsRefused,
    does: "offers STARTTLS and then refuses it",
    likelihood,
    remedies: &[destination("Fix the server's certificate and key, or stop offering STARTTLS.")],
    check: Check::Probe,
    cured_by: &[Aspect::Encryption],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::StartTlsRefused) => 0.95,
        () if s.phase == Some(Phase::StartTls) && s.code.is_some() => 0.92,
        () => 0.0,
    }
}
