//! TLS to servers of the store: verified, and 1.2 or later.

use std::path::Path;

use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVersion},
    x509::store::X509StoreBuilder,
};

/// The authorities of this file, and no others, are trusted; without one, those of the system. The error says why the file
/// cannot be used.
pub(crate) fn connector(authorities: Option<&Path>) -> Result<SslConnectorBuilder, String> {
    let build = || {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        let file = match authorities {
            Some(file) => {
                // OpenSSL adds a file to those of its own places.
                builder.set_cert_store(X509StoreBuilder::new()?.build());
                Some(file.to_owned())
            }
            None => openssl_probe::probe().cert_file,
        };
        if let Some(file) = file {
            builder.set_ca_file(file)?;
        }
        Ok(builder)
    };
    build().map_err(|error: ErrorStack| error.errors().first().map(ToString::to_string).unwrap_or_default())
}
