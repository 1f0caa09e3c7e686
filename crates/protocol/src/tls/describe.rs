//! Handshake facts in words, for those who run mail servers.

use std::fmt;

use super::{
    Certificate, CertificateFault, ClientHello, Ended, Ending, HandshakeFacts, ServerHello, Side, SuiteKeyExchange,
    WireVersion, message::SUPPORTED_VERSIONS,
};

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Reads on after "the certificate ".
impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::SelfSigned => "is self-signed",
            Self::Untrusted => "is not from a trusted issuer",
            Self::NameMismatch => "is for another name",
            Self::Weak => "is weak",
            Self::Invalid => "is not valid",
        })
    }
}

/// `server closed (FIN)`.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            Ending::Fin => "closed (FIN)",
            Ending::Reset => "reset the connection (RST)",
            Ending::Silence => "fell silent",
        };
        write!(f, "{} {how}", self.by)
    }
}

/// What was agreed on: `TLS 1.0, TLS_RSA_WITH_RC4_128_SHA, key exchange RSA 2048 bits`; and where it failed, what was
/// offered and how it ended.
impl fmt::Display for HandshakeFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(hello) = self.client_hello.as_ref().filter(|_| !self.completed) {
            parts.push(offer(hello));
        }
        parts.extend(self.server_hello.as_ref().map(|hello| self.agreed(hello)));
        parts.extend(self.alerts.iter().map(ToString::to_string));
        parts.extend(self.malformed.clone());
        parts.extend(
            self.certificate_fault.map(|fault| format!("the certificate {fault}{}", self.names_instead(fault))),
        );
        if !self.completed {
            let after = self.duration_ms;
            parts.push(match self.ended {
                Some(ended) => format!("{ended} after {after} ms"),
                None if self.client_bytes + self.server_bytes == 0 => "no handshake was seen".to_owned(),
                None => format!("unfinished after {after} ms"),
            });
        }
        f.write_str(&parts.join("; "))
    }
}

impl HandshakeFacts {
    /// ` (www.a.test, www.b.test)`: what a certificate for another name is for.
    fn names_instead(&self, fault: CertificateFault) -> String {
        const NAMES_MAX: usize = 3;
        let names = self.certificates.first().map_or(&[][..], |leaf| leaf.names.as_slice());
        if fault != CertificateFault::NameMismatch || names.is_empty() {
            return String::new();
        }
        let more = if names.len() > NAMES_MAX { " …" } else { "" };
        format!(" ({}{more})", names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", "))
    }

    fn agreed(&self, hello: &ServerHello) -> String {
        let ServerHello { version, cipher_suite, .. } = hello;
        let chose = if self.completed { "" } else { "server chose " };
        let retried = if hello.retried { " after a HelloRetryRequest" } else { "" };
        let resumed = if self.resumed { ", session resumed" } else { "" };
        let key_exchange = match (hello.key_exchange, self.certificates.first()) {
            (Some(key_exchange), _) => format!(", key exchange {key_exchange}"),
            (None, Some(Certificate { key_bits, .. })) if cipher_suite.key_exchange() == SuiteKeyExchange::Rsa => {
                format!(", key exchange RSA {key_bits} bits")
            }
            (None, _) => String::new(),
        };
        let not_offered = if !self.completed && self.chose_cipher_not_offered() { ", not offered" } else { "" };
        format!("{chose}{version}, {cipher_suite}{not_offered}{key_exchange}{retried}{resumed}")
    }
}

fn offer(hello: &ClientHello) -> String {
    let versions = match hello.versions.as_slice() {
        [] => "no version".to_owned(),
        [only] if hello.extensions.contains(&SUPPORTED_VERSIONS) => only.to_string(),
        [highest] => format!("up to {highest}"),
        [highest, .., lowest] => span(*lowest, *highest),
    };
    let suites = hello.cipher_suites.len();
    let plural = if suites == 1 { "" } else { "s" };
    format!("offered {versions} with {suites} suite{plural}")
}

/// `TLS 1.2-1.3`; only what is of one family is cut short.
fn span(lowest: WireVersion, highest: WireVersion) -> String {
    let (lowest, highest) = (lowest.to_string(), highest.to_string());
    match (lowest.starts_with("TLS "), highest.strip_prefix("TLS ")) {
        (true, Some(number)) => format!("{lowest}-{number}"),
        _ => format!("{lowest} to {highest}"),
    }
}
