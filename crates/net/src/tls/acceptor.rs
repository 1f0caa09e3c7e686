//! The receiving side's TLS context, and the self-signed certificate that a new node creates.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Private},
    ssl::{SslAcceptor, SslMethod},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};

use super::{TlsError, clear_errors, identify};

/// The TLS context of the receiving side.
pub type Acceptor = SslAcceptor;

/// Reads certificate chain and key, both PEM.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<Acceptor, TlsError> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    // One system call for a record, not two.
    builder.set_read_ahead(true);
    identify(&mut builder, certificate, key)?;
    // A TLS 1.3 ticket saves this side a signature at the client's next connection, but most clients do not connect
    // again. A signature with an elliptic-curve key costs less than the ticket.
    builder.set_num_tickets(usize::from(!has_elliptic_key(key)))?;
    let acceptor = builder.build();
    clear_errors();
    Ok(acceptor)
}

fn has_elliptic_key(path: &Path) -> bool {
    let key = fs::read(path).ok().and_then(|pem| PKey::private_key_from_pem(&pem).ok());
    key.is_some_and(|key| matches!(key.id(), Id::EC | Id::ED25519 | Id::ED448))
}

/// Writes a self-signed certificate for `hostname` (P-256, ten years) unless both files are there.
pub fn ensure_self_signed(certificate: &Path, key: &Path, hostname: &str) -> Result<(), TlsError> {
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let private = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let pem = self_signed(hostname, &private)?.to_pem()?;
    write_new(key, &private.private_key_to_pem_pkcs8()?, 0o600)?;
    write_new(certificate, &pem, 0o644)
}

fn self_signed(hostname: &str, key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    // A common name has at most 64 characters (RFC 5280). The alternative name has the whole host name.
    let common_name: String = hostname.chars().take(64).collect();
    name.append_entry_by_nid(Nid::COMMONNAME, &common_name)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(key)?;
    let not_before = Asn1Time::days_from_now(0)?;
    let not_after = Asn1Time::days_from_now(3650)?;
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    let alternative = SubjectAlternativeName::new().dns(hostname).build(&builder.x509v3_context(None, None))?;
    builder.append_extension(alternative)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use openssl::{
        rsa::Rsa,
        ssl::{SslConnector, SslSessionCacheMode, SslVerifyMode},
    };

    use super::*;

    #[test]
    fn a_node_makes_its_certificate_once() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        ensure_self_signed(&certificate, &key, "edge-1.test").unwrap();
        let first = fs::read(&certificate).unwrap();
        ensure_self_signed(&certificate, &key, "edge-1.test").unwrap();
        assert_eq!(first, fs::read(&certificate).unwrap());
        acceptor(&certificate, &key).map(|_| ()).unwrap();
    }

    #[test]
    fn tickets_are_made_only_where_they_save_an_expensive_signature() {
        let elliptic =
            PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap());
        let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap());
        for (key, expected) in [(elliptic.unwrap(), 0), (rsa.unwrap(), 1)] {
            assert_eq!(tickets(&key), expected, "{:?}", key.id());
        }
    }

    /// How many tickets a server with this key gives a client in one TLS 1.3 connection.
    fn tickets(key: &PKey<Private>) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key_file) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        fs::write(&certificate, self_signed("edge-1.test", key).unwrap().to_pem().unwrap()).unwrap();
        fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let acceptor = acceptor(&certificate, &key_file).unwrap();
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || acceptor.accept(there).unwrap().write_all(b"x").unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        builder.set_new_session_callback(move |_, _| _ = counted.fetch_add(1, Ordering::Relaxed));
        // Tickets come before what is read.
        builder.build().connect("edge-1.test", here).unwrap().read_exact(&mut [0]).unwrap();
        server.join().unwrap();
        count.load(Ordering::Relaxed)
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        ensure_self_signed(&path("a"), &path("a.key"), "a.test").unwrap();
        ensure_self_signed(&path("b"), &path("b.key"), "b.test").unwrap();
        let error = acceptor(&path("a"), &path("b.key")).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("failed to read private key") || error.contains("does not belong"), "{error}");
    }
}
