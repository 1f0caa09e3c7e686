//! The part of the configuration that answers depend on.

use protocol::smtp::client::TlsLevel;

/// The connectors as they are configured now.
pub trait Connectors: Sync {
    /// False: mail for this connector has no route.
    fn exists(&self, name: &str) -> bool;

    /// TLS of a connector. A connector that is not configured any more has the defaults.
    fn tls(&self, name: &str) -> ConnectorTls;
}

/// How a connector uses TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectorTls {
    pub level: TlsLevel,
    /// True if mail goes in plaintext after a failed handshake.
    pub falls_back: bool,
}
