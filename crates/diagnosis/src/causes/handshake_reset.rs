//! `handshake-reset`: The connection ends at the ClientHello, without an alert: RST or FIN from a firewall that
//! rejects the hello, or from an old TLS library that crashes. Exchange says SocketError, and in 2015
//! SuspiciousRemoteServerError.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, gatepost, network, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::HandshakeReset,
    does: "drops the connection during the TLS handshake",
    likelihood,
    remedies: &[
        network("Find the device that inspects TLS between {us} and the destination, and exempt this traffic."),
        destination(
            "Read the server's log at the time of the failures. Old TLS libraries can fail on a large ClientHello.",
        ),
        gatepost(
            "Use a policy whose newest version is TLS 1.2 (`maximum = \"1.2\"`): its ClientHello is smaller. A probe finds the smallest change that works.",
        ),
        postfix("Add `{domain} encrypt protocols=<=TLSv1.2` to `smtp_tls_policy_maps`: the ClientHello is smaller."),
        exim("Set `openssl_options = +no_tlsv1_3` to test it: the ClientHello is smaller."),
        sender("Try it with TLS 1.2 as the newest version: the ClientHello is smaller."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Version, Aspect::Cipher, Aspect::ClientHello, Aspect::ServerName, Aspect::PacketSize],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if !s.is_in_handshake() || s.has(Sign::TlsEstablished) || s.has_alert() => 0.0,
        () if s.has(Sign::NotTls) => 0.0,
        // This side refused, and the other one took its leave.
        () if s.has(Sign::AlertHere) => 0.0,
        () if s.has(Sign::ConnectionReset) && s.has(Sign::NoServerHello) => 0.9,
        () if s.has(Sign::ConnectionClosed) && s.has(Sign::NoServerHello) => 0.85,
        () if s.signs.any(&[Sign::ConnectionReset, Sign::ConnectionClosed]) => 0.55,
        () => 0.0,
    }
}
