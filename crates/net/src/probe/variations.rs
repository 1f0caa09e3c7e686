//! Variations of the ClientHello, one change at a time, to find what a destination, or a device before it, cannot
//! handle.

use protocol::{
    smtp::Failure,
    tls::{TlsPolicy, TlsVersion},
};
use serde::Serialize;

use super::{Probed, Prober, everything};

/// A ClientHello that differs from the usual one in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Variation {
    /// Stable, kebab-case.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    pub works: bool,
    pub hello_bytes: Option<u32>,
    pub failure: Option<Failure>,
}

impl Prober<'_> {
    pub(super) async fn variations(&mut self, probed: &Probed) -> Vec<Variation> {
        let newest = probed.versions.iter().rev().find(|support| !support.suites.is_empty());
        let newest = newest.map_or(TlsVersion::Tls12, |support| support.version);
        let small = TlsPolicy {
            minimum: newest.min(TlsVersion::Tls12),
            maximum: newest.min(TlsVersion::Tls12),
            ciphers: probed
                .versions
                .iter()
                .filter(|support| support.version <= TlsVersion::Tls12)
                .flat_map(|support| &support.suites)
                .map(|suite| suite.name.clone())
                .reduce(|all, name| all + ":" + &name)
                .unwrap_or_else(|| "AES128-SHA".to_owned()),
            groups: "P-256".to_owned(),
            ..everything()
        };
        let large = TlsPolicy { groups: "X25519MLKEM768:X25519:P-256".to_owned(), ..everything() };
        let literal = match self.address.ip() {
            std::net::IpAddr::V4(ip) => format!("[{ip}]"),
            std::net::IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let host = self.host.to_owned();
        let modern = TlsPolicy::modern();
        vec![
            self.vary("modern", "the ClientHello of the policy modern", modern, &host).await,
            self.vary("large-hello", "a ClientHello larger than one packet (post-quantum key share)", large, &host)
                .await,
            self.vary("small-hello", "a ClientHello with one version and its own cipher suites only", small, &host)
                .await,
            self.vary("no-server-name", "no server name (SNI)", everything(), &literal).await,
        ]
    }

    async fn vary(&mut self, name: &'static str, what: &'static str, policy: TlsPolicy, host: &str) -> Variation {
        let result = self.connect(policy, host).await;
        let hello = result.seen.handshake.as_ref().and_then(|facts| facts.client_hello.as_ref());
        Variation {
            name,
            what,
            works: result.failure.is_none() && result.seen.tls.is_some(),
            hello_bytes: hello.map(|hello| hello.length_bytes),
            failure: result.failure,
        }
    }
}
