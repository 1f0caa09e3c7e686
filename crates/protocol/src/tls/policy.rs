//! TLS policies: named sets of versions, cipher suites and groups. The built-in ones go from what should be used to what
//! old servers need; nothing weak is offered unless a policy names it.

use std::fmt;

/// A protocol version, in the order of age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// RFC 2246.
    Tls10,
    /// RFC 4346.
    Tls11,
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What a node may agree to with a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsPolicy {
    pub name: &'static str,
    pub minimum: TlsVersion,
    pub maximum: TlsVersion,
    /// Suites up to TLS 1.2, as OpenSSL's ciphers(1) writes them, in order of preference.
    pub ciphers: &'static str,
    /// Suites of TLS 1.3.
    pub suites: &'static str,
    /// Key exchange groups, in order of preference.
    pub groups: &'static str,
    /// OpenSSL's SSL_CTX_set_security_level(3), 0 to 5: the least strength of keys, groups and signatures.
    pub security_level: u32,
}

const SUITES: &str = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
const GROUPS: &str = "X25519:P-256:P-384:P-521";

impl TlsPolicy {
    /// TLS 1.2 and later, authenticated encryption and forward secrecy only.
    pub const MODERN: Self = Self {
        name: "modern",
        minimum: TlsVersion::Tls12,
        maximum: TlsVersion::Tls13,
        ciphers: "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20",
        suites: SUITES,
        groups: GROUPS,
        security_level: 2,
    };

    /// TLS 1.0 and later, without RC4, DES and 3DES. OpenSSL takes the SHA-1 signatures of TLS 1.0 at level 0 only.
    pub const INTERMEDIATE: Self = Self {
        name: "intermediate",
        minimum: TlsVersion::Tls10,
        maximum: TlsVersion::Tls13,
        ciphers: "HIGH:MEDIUM:!RC4:!3DES:!DES:!aNULL:!eNULL:!PSK:!SRP:!IDEA:!SEED:!MD5",
        suites: SUITES,
        groups: GROUPS,
        security_level: 0,
    };

    /// Whatever encrypts at all and names its server, RC4 and 3DES included.
    pub const LEGACY: Self = Self {
        name: "legacy",
        minimum: TlsVersion::Tls10,
        maximum: TlsVersion::Tls13,
        ciphers: "ALL:!aNULL:!eNULL:!PSK:!SRP",
        suites: SUITES,
        groups: GROUPS,
        security_level: 0,
    };

    pub const BUILT_IN: [Self; 3] = [Self::MODERN, Self::INTERMEDIATE, Self::LEGACY];
}
