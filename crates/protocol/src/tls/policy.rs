//! TLS policies: named sets of versions, cipher suites and groups. The built-in ones go from what should be used to what
//! old servers need; nothing weak is offered unless a policy names it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::WireVersion;

/// A protocol version that a policy may name, in the order of age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 2246.
    #[serde(rename = "1.0")]
    Tls10,
    /// RFC 4346.
    #[serde(rename = "1.1")]
    Tls11,
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

impl TlsVersion {
    /// The oldest first.
    pub const ALL: [Self; 4] = [Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13];

    pub fn on_the_wire(self) -> WireVersion {
        match self {
            Self::Tls10 => WireVersion::TLS10,
            Self::Tls11 => WireVersion::TLS11,
            Self::Tls12 => WireVersion::TLS12,
            Self::Tls13 => WireVersion::TLS13,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.on_the_wire().fmt(f)
    }
}

/// What a node may agree to with a destination.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TlsPolicy {
    pub name: String,
    pub minimum: TlsVersion,
    pub maximum: TlsVersion,
    /// Suites up to TLS 1.2, as OpenSSL's ciphers(1) writes them, in order of preference.
    pub ciphers: String,
    /// Suites of TLS 1.3.
    pub suites: String,
    /// Key exchange groups, in order of preference.
    pub groups: String,
    /// OpenSSL's SSL_CTX_set_security_level(3), 0 to 5: the least strength of keys, groups and signatures.
    pub security_level: u32,
}

impl TlsPolicy {
    /// TLS 1.2 and later, authenticated encryption and forward secrecy only.
    pub fn modern() -> Self {
        Self {
            name: "modern".to_owned(),
            minimum: TlsVersion::Tls12,
            maximum: TlsVersion::Tls13,
            ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20".to_owned(),
            suites: "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256".to_owned(),
            groups: "X25519:P-256:P-384:P-521".to_owned(),
            security_level: 2,
        }
    }

    /// TLS 1.0 and later, without RC4, DES and 3DES. OpenSSL takes the SHA-1 signatures of TLS 1.0 at level 0 only.
    pub fn intermediate() -> Self {
        Self {
            name: "intermediate".to_owned(),
            minimum: TlsVersion::Tls10,
            ciphers: "HIGH:MEDIUM:!RC4:!3DES:!DES:!aNULL:!eNULL:!PSK:!SRP:!IDEA:!SEED:!MD5".to_owned(),
            security_level: 0,
            ..Self::modern()
        }
    }

    /// Whatever encrypts at all and names its server, RC4 and 3DES included.
    pub fn legacy() -> Self {
        Self {
            name: "legacy".to_owned(),
            minimum: TlsVersion::Tls10,
            ciphers: "ALL:!aNULL:!eNULL:!PSK:!SRP".to_owned(),
            security_level: 0,
            ..Self::modern()
        }
    }

    /// Those that need no configuration, the strictest first.
    pub fn built_in() -> [Self; 3] {
        [Self::modern(), Self::intermediate(), Self::legacy()]
    }
}
