//! `starttls-not-offered`: This gateway demands TLS, and EHLO's answer has no STARTTLS: no certificate on the server,
//! or something between takes the line out.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "starttls-not-offered",
    does: "does not offer STARTTLS, which the connector demands",
    likelihood,
    remedies: &[
        (
            Side::Destination,
            "Give its server a usable certificate and switch STARTTLS on (Exchange leaves the line out where the certificate is unfit).",
        ),
        (Side::Network, "Check that no firewall takes STARTTLS out of EHLO's answer."),
        (Side::Gateway, "If it cannot be mended: tls = \"opportunistic\" for this connector."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Encryption],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::StartTlsMasked) => 0.0,
        () if s.has(Sign::StartTlsNotOffered) => 0.95,
        // Most that leave so demand TLS; some only look whether somebody is there.
        () if s.has(Sign::LeftWithoutStartTls) => 0.7,
        () => 0.0,
    }
}
