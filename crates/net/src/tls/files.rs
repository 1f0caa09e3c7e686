//! Checks certificates and keys in files before they are needed: which ones do not work, and which ones expire soon.

use std::{fs, path::Path};

use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    pkey::{PKey, Private},
    x509::{X509, X509NameRef},
};

use super::{clear_errors, load_providers, reason};

/// Certificates in PEM, in the order of their file. At least one.
#[derive(Clone, Debug)]
pub struct Certificates(Vec<X509>);

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The short name of the certificate's owner.
    pub subject: String,
    pub not_before_s: i64,
    pub not_after_s: i64,
}

/// A private key in PEM.
#[derive(Clone, Debug)]
pub struct PrivateKey(PKey<Private>);

/// Reads all certificates of a file. The error says what is wrong, for people.
pub fn read_certificates(path: &Path) -> Result<Certificates, String> {
    let bytes = read(path)?;
    let certificates = X509::stack_from_pem(&bytes);
    clear_errors();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{} has no certificate; it must begin with -----BEGIN CERTIFICATE-----", path.display()))
        }
        Ok(certificates) => Ok(Certificates(certificates)),
        Err(error) => Err(format!("{} contains a damaged certificate ({})", path.display(), reason(&error))),
    }
}

/// Reads a private key. The error says what is wrong, for people.
pub fn read_private_key(path: &Path) -> Result<PrivateKey, String> {
    let bytes = read(path)?;
    // OpenSSL would ask for the passphrase on the terminal.
    let is_encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
    if is_encrypted {
        let path = path.display();
        return Err(format!("{path} is protected by a passphrase; store the key without one: openssl pkey -in {path}"));
    }
    if let Err(error) = load_providers() {
        return Err(format!("failed to set up OpenSSL: {}", reason(&error)));
    }
    let key = PKey::private_key_from_pem(&bytes);
    clear_errors();
    key.map(PrivateKey).map_err(|_| {
        format!("{} has no private key; it must have a line -----BEGIN … PRIVATE KEY-----", path.display())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("failed to read {}: {error}", path.display()))
}

impl Certificates {
    /// True if the key belongs to the first certificate, which is this side's own.
    pub fn fit(&self, key: &PrivateKey) -> bool {
        let public = self.0.first().and_then(|certificate| certificate.public_key().ok());
        let fits = public.is_some_and(|public| public.public_eq(&key.0));
        clear_errors();
        fits
    }

    /// In the order of the file.
    pub fn validity(&self) -> Vec<Validity> {
        let of = |certificate: &X509| {
            Some(Validity {
                subject: short_name(certificate.subject_name()),
                not_before_s: seconds(certificate.not_before())?,
                not_after_s: seconds(certificate.not_after())?,
            })
        };
        self.0.iter().filter_map(of).collect()
    }
}

/// The common name, or the last part of the subject.
fn short_name(name: &X509NameRef) -> String {
    let common = name.entries_by_nid(openssl::nid::Nid::COMMONNAME).next();
    let entry = common.or_else(|| name.entries().last());
    entry.and_then(|entry| entry.data().to_string().ok()).unwrap_or_else(|| "without a name".to_owned())
}

fn seconds(time: &Asn1TimeRef) -> Option<i64> {
    let difference = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(difference.days) * 86_400 + i64::from(difference.secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ensure_self_signed;

    #[test]
    fn files_are_read_or_said_to_be_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        ensure_self_signed(&path("a.pem"), &path("a.key"), "a.test").unwrap();
        ensure_self_signed(&path("b.pem"), &path("b.key"), "b.test").unwrap();
        let certificates = read_certificates(&path("a.pem")).unwrap();
        let validity = certificates.validity();
        assert_eq!(validity[0].subject, "a.test");
        assert_eq!((validity[0].not_after_s - validity[0].not_before_s) / 86_400, 3650);
        assert!(certificates.fit(&read_private_key(&path("a.key")).unwrap()));
        assert!(!certificates.fit(&read_private_key(&path("b.key")).unwrap()));
        fs::write(path("text"), "no PEM at all").unwrap();
        fs::write(path("locked"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
        for (result, expected) in [
            (read_certificates(&path("text")).map(drop), "has no certificate"),
            (read_certificates(&path("none")).map(drop), "No such file"),
            (read_private_key(&path("text")).map(drop), "has no private key"),
            (read_private_key(&path("a.pem")).map(drop), "has no private key"),
            (read_private_key(&path("locked")).map(drop), "passphrase"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
