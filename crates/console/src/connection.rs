//! The connection that a request came on.

use std::net::SocketAddr;

/// Its two ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub client: SocketAddr,
    /// Local address.
    pub here: SocketAddr,
    pub is_tls: bool,
}
