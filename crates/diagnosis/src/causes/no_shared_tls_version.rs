//! `no-shared-tls-version`: The two sides support no common TLS version. On the wire: alert 70 protocol_version, or a
//! ServerHello older than every version that was offered. Logs: "unsupported protocol", "version too low". Some servers
//! send 40 instead.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NoSharedTlsVersion,
    does: "supports no TLS version that this gateway offers",
    likelihood,
    remedies: &[
        destination("Enable TLS 1.2 or later."),
        gatepost("Until the server supports TLS 1.2, set `tls_policy = \"{policy}\"` on this connector. This weakens security.").if_policy(true),
        gatepost("Until the server supports TLS 1.2, set `tls_policy` of this connector to a policy with its version. The check shows which version works. This weakens security.").if_policy(false),
        postfix("Check `smtp_tls_protocols` and `smtp_tls_mandatory_protocols`. Until the server supports TLS 1.2, add `{domain} encrypt protocols=>=TLSv1` to `smtp_tls_policy_maps`. This weakens security."),
        exchange("Check which versions Windows offers (`HKLM:\\SYSTEM\\CurrentControlSet\\Control\\SecurityProviders\\SCHANNEL\\Protocols`): an old Exchange needs TLS 1.2 enabled there, and in .NET (`SchUseStrongCrypto`)."),
        exim("Until the server supports TLS 1.2, remove `+no_tlsv1` and `+no_tlsv1_1` from `openssl_options`, or change `tls_require_ciphers` (GnuTLS). This weakens security."),
        sender("Check which TLS versions {us} offers. An old Windows server needs TLS 1.2 enabled in Schannel and in .NET, an old OpenSSL an update to 1.0.1 or later."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Version],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::NotTls) => 0.0,
        () if s.signs.any(&[Sign::AlertProtocolVersion, Sign::VersionNotSupportedHere]) => 0.9,
        () => 0.0,
    }
}
