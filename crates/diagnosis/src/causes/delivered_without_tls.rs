//! `delivered-without-tls`: Mail was delivered in plaintext because TLS had failed before. Postfix, Exim and OpenSMTPD do
//! so by default, and their logs call it sent.

use super::{
    cause::{Cause, CauseId, Check, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DeliveredWithoutTls,
    does: "got mail in plaintext, because TLS had failed",
    likelihood,
    remedies: &[
        destination("Fix what made TLS fail: the evidence has the failure."),
        gatepost(
            "To send nothing in plaintext, set `tls = \"require\"` on the connector. Mail then waits until TLS works.",
        ),
        postfix(
            "To send nothing in plaintext, set `smtp_tls_security_level = encrypt`, or add `{domain} encrypt` to `smtp_tls_policy_maps`. Mail then waits until TLS works.",
        ),
        exchange(
            "To send nothing in plaintext, run `Set-SendConnector NAME -RequireTLS $true`. Mail then waits until TLS works.",
        ),
        exim(
            "To send nothing in plaintext, add the destination to `hosts_require_tls` of the transport. Mail then waits until TLS works.",
        ),
        sender(
            "To send nothing in plaintext, require TLS for this destination on {us}. Mail then waits until TLS works.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[],
};

/// It did not fail: the findings count it.
fn likelihood(_: &Symptom) -> f64 {
    0.0
}
