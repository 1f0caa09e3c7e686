//! TLS for both sides. OpenSSL is spoken to here and nowhere else.
//!
//! ```text
//!   TlsPolicy ──policy::check──> faults, for the configuration
//!   TlsSettings ──TlsContext──> Connector (context and sessions) ──handshake::connect──> stream, HandshakeFacts
//!   Acceptor ──handshake::accept──> stream, HandshakeFacts
//! ```

mod acceptor;
mod connector;
mod handshake;
mod policy;
mod tap;

use std::{io, path::PathBuf, sync::OnceLock};

use openssl::{error::ErrorStack, provider::Provider, ssl::SslRef};
use protocol::smtp::TlsSummary;

pub use acceptor::{Acceptor, acceptor, ensure_self_signed};
pub use connector::{Identity, TlsContext, TlsSettings};
pub(crate) use handshake::{HandshakeError, accept, connect, late_alert};
pub use policy::{PolicyFault, check_policy};
pub(crate) use tap::Tap;

/// Why TLS could not be set up on this node.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read certificate {path}: {source}")]
    Certificate { path: PathBuf, source: ErrorStack },
    #[error("failed to read private key {path}: {source}")]
    Key { path: PathBuf, source: ErrorStack },
    #[error("failed to read the trusted certificates in {path}: {source}")]
    Authorities { path: PathBuf, source: ErrorStack },
    #[error("the private key {key} does not belong to the certificate {certificate}: {source}")]
    Mismatch { certificate: PathBuf, key: PathBuf, source: ErrorStack },
    #[error("failed to write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// Makes OpenSSL's old algorithms available. A cipher is still used only where a policy names it.
fn load_providers() -> Result<(), ErrorStack> {
    // Kept for the life of the process: a context that was made with them must not outlive them.
    static LOADED: OnceLock<Result<(Provider, Provider), ErrorStack>> = OnceLock::new();
    let load = || Ok((Provider::load(None, "default")?, Provider::load(None, "legacy")?));
    match LOADED.get_or_init(load) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.clone()),
    }
}

/// The first reason in OpenSSL's error stack, without codes, files and line numbers.
fn reason(stack: &ErrorStack) -> String {
    let first = stack.errors().first().and_then(|error| error.reason());
    first.unwrap_or("unknown TLS error").to_owned()
}

fn summary(ssl: &SslRef) -> TlsSummary {
    TlsSummary {
        version: ssl.version_str().to_owned(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()).to_owned(),
    }
}
