//! Settings of TLS policies.

use protocol::tls::{TlsPolicy, TlsVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A TLS policy: the versions, cipher suites and groups that Gatepost offers to destinations. "modern", "intermediate"
/// and "legacy" are built in. Show all policies with: gatepost policy list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["name", "minimum"]))]
#[serde(default, deny_unknown_fields)]
pub struct NamedPolicy {
    /// Name of this policy in connectors, rollouts and traces.
    #[schemars(extend("format" = "name"), example = &"no-rc4")]
    pub name: String,
    /// Oldest TLS version that Gatepost offers.
    #[schemars(example = &"1.0")]
    pub minimum: Version,
    /// Newest TLS version that Gatepost offers.
    pub maximum: Version,
    /// Cipher suites up to TLS 1.2 in order of preference, in the notation of OpenSSL's ciphers(1).
    #[schemars(extend("format" = "cipher-list"))]
    pub ciphers: String,
    /// Cipher suites of TLS 1.3 in order of preference.
    #[schemars(extend("format" = "cipher-list"))]
    pub suites: String,
    /// Key exchange groups in order of preference.
    #[schemars(extend("format" = "cipher-list"))]
    pub groups: String,
    /// Minimum strength of keys, groups and signatures, as a level of OpenSSL's SSL_CTX_set_security_level(3). TLS 1.0
    /// and 1.1 require level 0.
    #[schemars(range(max = 5))]
    pub security_level: u32,
}

impl Default for NamedPolicy {
    fn default() -> Self {
        let TlsPolicy { name: _, minimum, maximum, ciphers, suites, groups, security_level } = TlsPolicy::modern();
        Self {
            name: String::new(),
            minimum: minimum.into(),
            maximum: maximum.into(),
            ciphers,
            suites,
            groups,
            security_level,
        }
    }
}

impl NamedPolicy {
    pub fn policy(&self) -> TlsPolicy {
        TlsPolicy {
            name: self.name.clone(),
            minimum: self.minimum.into(),
            maximum: self.maximum.into(),
            ciphers: self.ciphers.clone(),
            suites: self.suites.clone(),
            groups: self.groups.clone(),
            security_level: self.security_level,
        }
    }
}

/// A TLS version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    #[serde(rename = "1.0")]
    Tls10,
    #[serde(rename = "1.1")]
    Tls11,
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl From<Version> for TlsVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Tls10 => Self::Tls10,
            Version::Tls11 => Self::Tls11,
            Version::Tls12 => Self::Tls12,
            Version::Tls13 => Self::Tls13,
        }
    }
}

impl From<TlsVersion> for Version {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Tls10 => Self::Tls10,
            TlsVersion::Tls11 => Self::Tls11,
            TlsVersion::Tls12 => Self::Tls12,
            TlsVersion::Tls13 => Self::Tls13,
        }
    }
}
