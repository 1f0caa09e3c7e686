//! The answer of each device to a ClientHello.

use std::{
    ffi::{c_int, c_void},
    sync::OnceLock,
};

use openssl::{
    dh::Dh,
    error::ErrorStack,
    provider::Provider,
    ssl::{SslContext, SslContextBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion},
    x509::store::X509StoreBuilder,
};

use crate::{Device, certificate::Authority};

/// Parameters of 512 bits, made once with `openssl dhparam 512`.
const WEAK_DH: &str = "-----BEGIN DH PARAMETERS-----
MEYCQQC0eYxJ3jVgtkKP9WQd4UzT3UHBxYv6sSp1gb2IVUpT3SZG0NfiNuRso31+
f7bmt6rdj6W8ZZ1WK37OUjcsKrh/AgEC
-----END DH PARAMETERS-----
";

/// RC4 is in OpenSSL's provider of old algorithms.
fn load_providers() -> Result<(), ErrorStack> {
    static LOADED: OnceLock<Result<(Provider, Provider), ErrorStack>> = OnceLock::new();
    let load = || Ok((Provider::load(None, "default")?, Provider::load(None, "legacy")?));
    LOADED.get_or_init(load).as_ref().map(drop).map_err(Clone::clone)
}

#[expect(unsafe_code, reason = "the crate does not bind the callback")]
unsafe extern "C" {
    /// SSL_CTX_set_security_callback(3), which the crate does not bind.
    fn SSL_CTX_set_security_callback(context: *mut c_void, callback: Option<SecurityCallback>);
}

type SecurityCallback =
    extern "C" fn(*const c_void, *const c_void, c_int, c_int, c_int, *mut c_void, *mut c_void) -> c_int;

extern "C" fn allow(
    _: *const c_void,
    _: *const c_void,
    _: c_int,
    _: c_int,
    _: c_int,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    1
}

/// Even at security level 0, OpenSSL refuses Diffie-Hellman with less than 1024 bits, unless this callback allows it.
#[expect(unsafe_code, reason = "the crate does not bind the callback")]
fn allow_anything(builder: &mut SslContextBuilder) {
    // SAFETY: the context lives as long as the borrow; the callback is a plain function that touches none of its
    // arguments.
    unsafe { SSL_CTX_set_security_callback(builder.as_ptr().cast(), Some(allow)) }
}

pub(crate) fn context(device: Device, host_name: &str, authority: &mut Authority) -> Result<SslContext, ErrorStack> {
    load_providers()?;
    let identity = authority.identity_of(device, host_name)?;
    let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
    builder.set_security_level(0);
    builder.set_certificate(&identity.certificate)?;
    builder.set_private_key(&identity.key)?;
    builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    let (lowest, highest, ciphers) = match device {
        Device::Rc4Only => (SslVersion::TLS1, SslVersion::TLS1, "RC4-SHA:RC4-MD5:@SECLEVEL=0"),
        Device::Tls10Only => (SslVersion::TLS1, SslVersion::TLS1, "AES128-SHA:AES256-SHA:@SECLEVEL=0"),
        // As Windows 2003: it prefers the cipher suites that do not work.
        Device::AesThenSilence => {
            (SslVersion::TLS1, SslVersion::TLS1, "AES128-SHA:AES256-SHA:DES-CBC3-SHA:RC4-SHA:@SECLEVEL=0")
        }
        Device::WeakDh => (SslVersion::TLS1, SslVersion::TLS1_2, "DHE:@SECLEVEL=0"),
        _ => (SslVersion::TLS1_2, SslVersion::TLS1_3, "ECDHE+AESGCM:@SECLEVEL=0"),
    };
    builder.set_min_proto_version(Some(lowest))?;
    builder.set_max_proto_version(Some(highest))?;
    builder.set_cipher_list(ciphers)?;
    if device == Device::WeakDh {
        allow_anything(&mut builder);
        let weak = Dh::params_from_pem(WEAK_DH.as_bytes())?;
        builder.set_tmp_dh(&weak)?;
    }
    if device == Device::ClientCertificateRequired {
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(authority.certificate().clone())?;
        builder.set_cert_store(store.build());
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    Ok(builder.build())
}
