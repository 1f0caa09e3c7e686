//! TLS for both sides. Only this module uses OpenSSL.
//!
//! ```text
//!   TlsPolicy ──policy::check──> faults, for the configuration
//!   TlsSettings ──TlsContext──> Connector (context and sessions) ──handshake::connect──> stream, HandshakeFacts
//!   Acceptor ──handshake::accept──> stream, HandshakeFacts
//! ```

mod acceptor;
mod connector;
mod files;
mod handshake;
mod https;
mod offer;
mod policy;
mod tap;

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use openssl::{
    error::ErrorStack,
    provider::Provider,
    ssl::{SslContextBuilder, SslFiletype, SslRef},
};
use protocol::smtp::TlsSummary;

pub use acceptor::{Acceptor, acceptor, ensure_self_signed};
pub use connector::{Identity, TlsContext, TlsSettings};
pub use files::{Certificates, PrivateKey, Validity, read_certificates, read_private_key};
pub use handshake::accept_unobserved;
pub(crate) use handshake::{HandshakeError, accept, connect, late_alert};
pub(crate) use https::https_connector;
pub use offer::offer;
pub use policy::{PolicyFault, check_policy, policy_warnings};
pub(crate) use tap::Tap;

/// Why the setup of TLS failed on this node.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read certificate {path}: {}", reason(.source))]
    Certificate { path: PathBuf, source: ErrorStack },
    #[error("failed to read private key {path}: {}", reason(.source))]
    Key { path: PathBuf, source: ErrorStack },
    #[error("failed to read the trusted certificates in {path}: {}", reason(.source))]
    Authorities { path: PathBuf, source: ErrorStack },
    #[error("the private key {key} does not belong to the certificate {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf, source: ErrorStack },
    #[error("failed to write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("OpenSSL: {}", reason(.0))]
    OpenSsl(#[from] ErrorStack),
}

/// OpenSSL leaves errors in its thread's queue even if it succeeds, for example for a missing default file. They would
/// appear as the reason of the next failure (SSL_get_error(3)).
fn clear_errors() {
    drop(ErrorStack::get());
}

/// Makes OpenSSL's old algorithms available. A cipher suite is still used only if a policy names it.
fn load_providers() -> Result<(), ErrorStack> {
    // Kept for the life of the process, because no context may outlive its providers.
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

/// The socket's error behind an OpenSSL error. `None` if the error has another cause or does not come from OpenSSL. An
/// end without close_notify is `UnexpectedEof`.
pub(crate) fn socket_error(error: &io::Error) -> Option<io::Error> {
    /// OpenSSL may put the errno among its own errors, as "system library" (ERR_GET_LIB(3)).
    const ERR_SYSTEM_FLAG: u64 = 0x8000_0000;
    let error = error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?;
    if let Some(io) = error.io_error() {
        return Some(io.raw_os_error().map_or_else(|| io.kind().into(), io::Error::from_raw_os_error));
    }
    let eof = || io::ErrorKind::UnexpectedEof.into();
    let Some(stack) = error.ssl_error() else { return Some(eof()) };
    let mut codes = stack.errors().iter().map(openssl::error::Error::code);
    match codes.find(|code| code & ERR_SYSTEM_FLAG != 0) {
        Some(code) => i32::try_from(code & !ERR_SYSTEM_FLAG).ok().map(io::Error::from_raw_os_error),
        None => (reason(stack) == "unexpected eof while reading").then(eof),
    }
}

/// Why OpenSSL stopped reading, if the socket did not fail: a broken record, or an alert.
pub(crate) fn broken(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?;
    error.ssl_error().map(reason)
}

/// Sets certificate chain and key, both PEM.
fn identify(builder: &mut SslContextBuilder, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    builder
        .set_certificate_chain_file(certificate)
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })?;
    builder
        .set_private_key_file(key, SslFiletype::PEM)
        .map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    builder.check_private_key().map_err(|source| TlsError::Mismatch {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn summary(ssl: &SslRef) -> TlsSummary {
    TlsSummary {
        version: ssl.version_str().to_owned(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()).to_owned(),
    }
}
