//! `no-shared-tls-version`: The versions that both sides speak do not meet. On the wire: alert 70 protocol_version,
//! or a ServerHello older than all that was offered. Logs: "unsupported protocol", "version too low". Some servers
//! send 40 instead.

use super::cause::{Aspect, Cause, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: "no-shared-tls-version",
    does: "speaks no TLS version that this gateway offers",
    likelihood,
    remedies: &[
        (Side::Destination, "Update its TLS: at least TLS 1.2."),
        (
            Side::Gateway,
            "Until then, give this connector a TLS policy that has its version: tls_policy = \"intermediate\" or \"legacy\".",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Version],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.signs.any(&[Sign::AlertProtocolVersion, Sign::VersionNotSupportedHere]) => 0.9,
        () => 0.0,
    }
}
