//! The part of the configuration that answers depend on.

use protocol::smtp::client::TlsLevel;

/// The connectors as they are configured now.
pub trait Connectors: Sync {
    /// False: mail for it has no route.
    fn exists(&self, name: &str) -> bool;

    /// A connector that is not configured any more counts as one with the defaults.
    fn tls(&self, name: &str) -> ConnectorTls;
}

/// How a connector uses TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectorTls {
    pub level: TlsLevel,
    /// After a failed handshake mail goes in plaintext.
    pub falls_back: bool,
}
