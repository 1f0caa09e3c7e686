//! `no-shared-tls-version`: The two sides support no common TLS version. On the wire: alert 70 protocol_version, or a
//! ServerHello older than every version that was offered. Logs: "unsupported protocol", "version too low". Some servers
//! send 40 instead.

use super::cause::{Aspect, Cause, CauseId, Check, Side, Sign, Symptom};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NoSharedTlsVersion,
    does: "supports no TLS version that this gateway offers",
    likelihood,
    remedies: &[
        (Side::Destination, "Enable TLS 1.2 or later."),
        (
            Side::Gateway,
            "Until the server supports TLS 1.2, set `tls_policy = \"intermediate\"` or `\"legacy\"` on this connector. This weakens security.",
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
