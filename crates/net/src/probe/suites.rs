//! Versions, cipher suites in the server's order, and groups.
//!
//! The probe offers all suites of a version, and leaves out the chosen one the next time, until the server chooses
//! none. So it needs one connection for each suite that the server supports, not one for each suite that exists.

use openssl::ssl::cipher_name;
use protocol::{
    smtp::{Failure, FailureKind, Phase},
    tls::{CipherSuite, TlsPolicy, TlsVersion},
};
use serde::Serialize;

use super::{Prober, everything};

/// What a server supports with one TLS version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionSupport {
    pub version: TlsVersion,
    /// In the order in which the server chooses them.
    pub suites: Vec<Suite>,
    /// True: the server uses its own order. False: it uses the client's. `None`: it has fewer than two suites.
    pub server_prefers: Option<bool>,
    /// How the last connection failed. It offered no suite that the server supports.
    pub refusal: Option<Failure>,
}

/// A cipher suite that a server accepts.
#[derive(Clone, Debug, Serialize)]
pub struct Suite {
    pub suite: CipherSuite,
    /// OpenSSL's name.
    pub name: String,
    /// The failure after the server chose the suite. Some servers hang at this point.
    pub failure: Option<Failure>,
}

/// OpenSSL's name, or IANA's name if OpenSSL has none.
fn openssl_name(suite: CipherSuite) -> String {
    let standard = suite.name();
    match cipher_name(&standard) {
        "(NONE)" => standard.into_owned(),
        name => name.to_owned(),
    }
}

/// The suites of TLS 1.3 that OpenSSL supports.
const TLS13_SUITES: [&str; 5] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// OpenSSL's names, in the order of the report.
const GROUPS: [&str; 8] = ["X25519MLKEM768", "X25519", "X448", "P-256", "P-384", "P-521", "ffdhe2048", "ffdhe3072"];

/// A policy with this version only, and all its suites except those in `without`.
fn policy(version: TlsVersion, without: &[String]) -> Option<TlsPolicy> {
    let mut policy = TlsPolicy { minimum: version, maximum: version, ..everything() };
    if version == TlsVersion::Tls13 {
        let left: Vec<&str> =
            TLS13_SUITES.into_iter().filter(|suite| !without.iter().any(|out| out == suite)).collect();
        policy.suites = left.join(":");
        return (!left.is_empty()).then_some(policy);
    }
    for name in without {
        policy.ciphers.push_str(":!");
        policy.ciphers.push_str(name);
    }
    Some(policy)
}

impl Prober<'_> {
    pub(super) async fn version(&mut self, version: TlsVersion) -> VersionSupport {
        let mut support = VersionSupport { version, suites: Vec::new(), server_prefers: None, refusal: None };
        let mut without: Vec<String> = Vec::new();
        while let Some(policy) = policy(version, &without).filter(|_| !self.is_exhausted()) {
            let result = self.connect(policy).await;
            let hello = result.seen.handshake.as_ref().and_then(|facts| facts.server_hello.clone());
            // Some servers answer with an older version than all that was offered.
            let hello = hello.filter(|hello| hello.version == version.on_the_wire());
            let picked = hello.map(|hello| hello.cipher_suite).map(|suite| (suite, openssl_name(suite)));
            match picked {
                // Otherwise a server that chooses a suite that was not offered would keep this loop running for ever.
                Some((suite, name)) if !without.contains(&name) => {
                    without.push(name.clone());
                    support.suites.push(Suite { suite, name, failure: result.failure });
                }
                _ => {
                    support.refusal = result.failure;
                    break;
                }
            }
        }
        support.server_prefers = self.prefers(&support).await;
        support
    }

    /// Offers the server's preferred suite last.
    async fn prefers(&mut self, support: &VersionSupport) -> Option<bool> {
        let [first, second, ..] = support.suites.as_slice() else { return None };
        let both = format!("{}:{}", second.name, first.name);
        let mut policy = TlsPolicy { minimum: support.version, maximum: support.version, ..everything() };
        if support.version == TlsVersion::Tls13 {
            policy.suites = both;
        } else {
            policy.ciphers = both;
        }
        let result = self.connect(policy).await;
        let hello = result.seen.handshake?.server_hello.clone()?;
        Some(hello.cipher_suite == first.suite)
    }

    /// Each group alone, under the newest version that works.
    pub(super) async fn groups(&mut self, versions: &[VersionSupport]) -> Vec<&'static str> {
        let has_groups = |support: &&VersionSupport| {
            let any = |suite: &Suite| suite.suite.has_forward_secrecy() && suite.failure.is_none();
            support.suites.iter().any(any)
        };
        let Some(newest) = versions.iter().rev().find(has_groups) else { return Vec::new() };
        let mut agreed = Vec::new();
        for group in GROUPS {
            // These groups were introduced with TLS 1.3.
            let is_new = group.starts_with("ffdhe") || group.contains("MLKEM");
            if self.is_exhausted() || (is_new && newest.version != TlsVersion::Tls13) {
                continue;
            }
            let policy = TlsPolicy {
                minimum: newest.version,
                maximum: newest.version,
                groups: group.to_owned(),
                ciphers: "ECDHE:!aNULL:!eNULL:@SECLEVEL=0".to_owned(),
                ..everything()
            };
            let result = self.connect(policy).await;
            if result.failure.is_none_or(|failure| !is_of_handshake(&failure)) && result.seen.tls.is_some() {
                agreed.push(group);
            }
        }
        agreed
    }
}

fn is_of_handshake(failure: &Failure) -> bool {
    failure.phase == Phase::Handshake && !matches!(failure.kind, FailureKind::Local { .. })
}
