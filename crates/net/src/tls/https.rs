//! The client side of HTTPS. Unlike mail, it always requires a certificate that is valid, trusted and issued for the
//! host.

use std::path::Path;

use openssl::ssl::{SslConnector, SslVerifyMode};
use protocol::tls::TlsPolicy;

use super::{
    TlsError, clear_errors,
    connector::{trust, under},
    load_providers,
};

/// `authorities`: certificates to trust instead of the system's, PEM.
pub(crate) fn https_connector(authorities: Option<&Path>) -> Result<SslConnector, TlsError> {
    load_providers()?;
    let mut builder = under(&TlsPolicy::modern())?;
    builder.set_verify(SslVerifyMode::PEER);
    trust(&mut builder, authorities)?;
    let connector = builder.build();
    clear_errors();
    Ok(connector)
}
