//! `starttls-not-offered`: This gateway requires TLS, and the answer to EHLO has no STARTTLS: the server has no
//! certificate, or a device removes the line.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, here, network, postfix},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::StarttlsNotOffered,
    does: "does not offer STARTTLS, which the connector requires",
    likelihood,
    remedies: &[
        destination(
            "Give the server a usable certificate and enable STARTTLS (Exchange does not offer it with an unusable certificate).",
        ),
        network("Check that no firewall removes STARTTLS from the answer to EHLO."),
        gatepost(
            "If the destination cannot offer STARTTLS, set `tls = \"opportunistic\"` on this connector. This weakens security: mail can go in plaintext.",
        ),
        postfix(
            "If the destination cannot offer STARTTLS, add `{domain} may` to `smtp_tls_policy_maps`. This weakens security: mail can go in plaintext.",
        ),
        exchange(
            "If the destination cannot offer STARTTLS, run `Set-SendConnector NAME -RequireTLS $false`. This weakens security: mail can go in plaintext.",
        ),
        exim(
            "If the destination cannot offer STARTTLS, remove it from `hosts_require_tls` of the transport. This weakens security: mail can go in plaintext.",
        ),
        here("Check whether a firewall or virus scanner near {us} removes STARTTLS: no destination seems to offer it.")
            .everywhere(),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Encryption],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::StartTlsMasked) => 0.0,
        () if s.has(Sign::StartTlsNotOffered) => 0.95,
        // Most clients that leave here require TLS; some only check that the server answers.
        () if s.has(Sign::LeftWithoutStartTls) => 0.7,
        () => 0.0,
    }
}
