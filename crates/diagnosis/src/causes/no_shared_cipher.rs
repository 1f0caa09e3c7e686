//! `no-shared-cipher`: The two sides support no common cipher suite. On the wire: ClientHello, then alert 40
//! handshake_failure without a ServerHello. Logs: "no shared cipher". Alert 40 has other reasons too, so a comparison
//! or a probe must confirm.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::NoSharedCipher,
    does: "shares no cipher suite with this gateway",
    likelihood,
    remedies: &[
        destination("Enable TLS 1.2 or later with AES-GCM cipher suites. RC4 and 3DES are broken."),
        gatepost("Until the server is updated, set `tls_policy = \"{policy}\"` on this connector, or halt the rollout that removed its cipher suite. This weakens security.").if_policy(true),
        gatepost("Until the server is updated, set `tls_policy` of this connector to a policy with its cipher suite, or halt the rollout that removed it. The check shows which cipher suite works. This weakens security.").if_policy(false),
        postfix("Check `smtp_tls_mandatory_ciphers` and `smtp_tls_mandatory_exclude_ciphers`. Until the server is updated, add `{domain} encrypt ciphers=medium` to `smtp_tls_policy_maps`. This weakens security."),
        exchange("Check which cipher suites Windows offers (`Get-TlsCipherSuite | ft Name`), and enable those that the server has."),
        exim("Until the server is updated, add its cipher suite to `tls_require_ciphers` of the transport. This weakens security."),
        sender("Check which cipher suites {us} offers."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Cipher],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::NotTls) => 0.0,
        () if s.has(Sign::CipherNotOffered) => 0.93,
        () if s.has(Sign::NoSharedCipherSaid) => 0.92,
        () if s.signs.any(&[Sign::ServerHelloSeen, Sign::ClientCertificateAsked]) => 0.0,
        () if s.has(Sign::AlertInsufficientSecurity) => 0.8,
        () if s.has(Sign::AlertHandshakeFailure) => 0.75,
        () if s.has(Sign::AlgorithmMismatch) => 0.6,
        () => 0.0,
    }
}
