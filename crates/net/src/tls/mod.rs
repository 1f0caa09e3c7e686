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

/// OpenSSL leaves errors behind in its thread's queue even where it succeeds, such as for a default file that is not
/// there. Left alone, they would be taken for the reason of the next failure (SSL_get_error(3)).
fn clear_errors() {
    drop(ErrorStack::get());
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

/// The socket's error, which OpenSSL may have put among its own as "system library" with the errno (ERR_GET_LIB(3)).
pub(crate) fn system_error(error: &openssl::ssl::Error) -> Option<std::io::Error> {
    const ERR_SYSTEM_FLAG: u64 = 0x8000_0000;
    if let Some(io) = error.io_error() {
        return Some(io.raw_os_error().map_or_else(|| io.kind().into(), std::io::Error::from_raw_os_error));
    }
    let mut codes = error.ssl_error()?.errors().iter().map(openssl::error::Error::code);
    let errno = codes.find(|code| code & ERR_SYSTEM_FLAG != 0)? & !ERR_SYSTEM_FLAG;
    Some(std::io::Error::from_raw_os_error(i32::try_from(errno).ok()?))
}

/// What kind of error it is, also where OpenSSL stands between.
pub(crate) fn io_kind(error: &io::Error) -> io::ErrorKind {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<openssl::ssl::Error>()).and_then(system_error);
    inner.map_or_else(|| error.kind(), |inner| inner.kind())
}

/// True where the connection ended without a close_notify, in OpenSSL's two ways of saying so.
pub(crate) fn is_eof(error: &openssl::ssl::Error) -> bool {
    error.ssl_error().is_none_or(|stack| reason(stack) == "unexpected eof while reading")
}

fn summary(ssl: &SslRef) -> TlsSummary {
    TlsSummary {
        version: ssl.version_str().to_owned(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()).to_owned(),
    }
}
