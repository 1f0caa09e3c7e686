//! Signs of a handshake's facts.

use protocol::tls::{Alert, CertificateFault, Ending, HandshakeFacts, KeyExchange, Side, WireVersion};

use super::sign::{Sign, Signs};

/// Below this, OpenSSL and GnuTLS refuse a Diffie-Hellman prime at their lowest sane settings (Logjam, 2015).
pub(super) const DH_BITS_MIN: u32 = 1024;

const DECODE_ERROR: u8 = 50;
const CERTIFICATE_REVOKED: u8 = 44;

impl Signs {
    pub fn of_handshake(facts: &HandshakeFacts) -> Self {
        let mut signs = Self::default();
        let seen = if facts.server_hello.is_some() { Sign::ServerHelloSeen } else { Sign::NoServerHello };
        signs.add(seen);
        if facts.completed {
            signs.add(Sign::TlsEstablished);
        } else {
            signs.add(Sign::HandshakeFailed);
        }
        for alert in facts.alerts.iter().filter(|alert| alert.description != Some(Alert::CLOSE_NOTIFY)) {
            signs = signs.union(signs_of_alert(alert));
        }
        if let Some(ended) = facts.ended.filter(|ended| ended.by == Side::Server && !facts.completed) {
            signs.add(match ended.how {
                Ending::Fin => Sign::ConnectionClosed,
                Ending::Reset => Sign::ConnectionReset,
                Ending::Silence => Sign::TimedOut,
            });
        }
        if facts.client_certificate_requested {
            signs.add(Sign::ClientCertificateAsked);
        }
        let hello = facts.server_hello.as_ref();
        if let Some(KeyExchange::DiffieHellman { prime_bits }) = hello.and_then(|hello| hello.key_exchange)
            && prime_bits < DH_BITS_MIN
        {
            signs.add(Sign::WeakDh);
        }
        // A server that chose a version which was not offered: it speaks nothing else.
        if let (Some(client), Some(server)) = (&facts.client_hello, hello)
            && !facts.completed
            && server.version < lowest(client.versions.iter().copied())
        {
            signs.add(Sign::VersionNotSupportedHere);
        }
        // It could not even begin, for example because no cipher suite was left.
        if !facts.completed && facts.ended.is_none() && facts.client_hello.is_none() && hello.is_none() {
            signs = signs.and_if(facts.client_bytes + facts.server_bytes == 0, Sign::LocalConfiguration);
        }
        let has_alerted = facts.alerts.iter().any(|alert| alert.by == Side::Client);
        if has_alerted && !facts.completed && facts.chose_cipher_not_offered() {
            // The certificate beside it was never looked at.
            return signs.and(Sign::CipherNotOffered);
        }
        // A fault that nobody took offence at keeps no mail from flowing.
        let refused_here = facts
            .alerts
            .iter()
            .any(|alert| alert.by == Side::Client && alert.description.is_none_or(is_about_certificate));
        if let Some(sign) = facts.certificate_fault.filter(|_| refused_here).and_then(sign_of_certificate) {
            signs.add(sign);
        }
        signs
    }
}

/// no_certificate … access_denied.
pub(super) fn is_about_certificate(alert: u8) -> bool {
    (41..=49).contains(&alert)
}

fn lowest(versions: impl Iterator<Item = WireVersion>) -> WireVersion {
    versions.min().unwrap_or(WireVersion(0))
}

/// RFC 8446 section 6.2.
pub(super) fn signs_of_alert(alert: &Alert) -> Signs {
    let sign = match (alert.by, alert.description) {
        (Side::Client, description) => return signs_of_own_alert(description),
        (Side::Server, None) => Sign::AlertEncrypted,
        (Side::Server, Some(Alert::HANDSHAKE_FAILURE)) => Sign::AlertHandshakeFailure,
        (Side::Server, Some(Alert::PROTOCOL_VERSION)) => Sign::AlertProtocolVersion,
        (Side::Server, Some(Alert::INSUFFICIENT_SECURITY)) => Sign::AlertInsufficientSecurity,
        // bad_certificate … unknown_ca, access_denied, certificate_required: about the client's certificate.
        (Side::Server, Some(41..=43 | 46 | 48 | 49 | 116)) => Sign::AlertAboutCertificate,
        // It looked at the client's certificate, which is of no use to anybody.
        (Side::Server, Some(CERTIFICATE_REVOKED | Alert::CERTIFICATE_EXPIRED)) => Sign::LocalTlsCredentials,
        (Side::Server, Some(DECODE_ERROR)) => Sign::AlertDecodeError,
        (Side::Server, Some(_)) => return Signs::default(),
    };
    Signs::default().and(sign)
}

/// What the client says of the server, which is all that a capture may have of its reasons.
fn signs_of_own_alert(description: Option<u8>) -> Signs {
    let signs = Signs::default().and(Sign::AlertHere);
    match description {
        Some(Alert::PROTOCOL_VERSION) => signs.and(Sign::VersionNotSupportedHere),
        Some(Alert::CERTIFICATE_EXPIRED) => signs.and(Sign::CertificateExpired),
        Some(Alert::UNKNOWN_CA) => signs.and(Sign::CertificateUntrusted),
        _ => signs,
    }
}

pub(super) fn sign_of_certificate(fault: CertificateFault) -> Option<Sign> {
    match fault {
        CertificateFault::Expired => Some(Sign::CertificateExpired),
        CertificateFault::NotYetValid => Some(Sign::CertificateNotYetValid),
        CertificateFault::SelfSigned | CertificateFault::Untrusted => Some(Sign::CertificateUntrusted),
        CertificateFault::NameMismatch => Some(Sign::CertificateNameMismatch),
        CertificateFault::Weak => Some(Sign::CertificateWeak),
        CertificateFault::Invalid => None,
    }
}
