//! SHA-256 and HMAC for the signatures of requests, by the OpenSSL that is in the binary already.

use object_store::{
    Error, Result,
    client::{CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm},
};
use openssl::{
    error::ErrorStack,
    hash::{Hasher, MessageDigest},
    pkey::{PKey, Private},
};

#[derive(Debug)]
pub(super) struct OpenSsl;

fn failed(error: ErrorStack) -> Error {
    Error::Generic { store: "OpenSSL", source: Box::new(error) }
}

fn digest_of(algorithm: &DigestAlgorithm) -> Result<MessageDigest> {
    match algorithm {
        DigestAlgorithm::Sha256 => Ok(MessageDigest::sha256()),
        _ => Err(Error::NotSupported { source: "only SHA-256".into() }),
    }
}

impl CryptoProvider for OpenSsl {
    fn digest(&self, algorithm: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        let hasher = Hasher::new(digest_of(&algorithm)?).map_err(failed)?;
        Ok(Box::new(Digest { hasher, fault: None, done: Vec::new() }))
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> Result<Box<dyn HmacContext>> {
        let (digest, key) = (digest_of(&algorithm)?, PKey::hmac(secret).map_err(failed)?);
        Ok(Box::new(Hmac { digest, key, data: Vec::new(), done: Vec::new() }))
    }

    /// For the logins of another cloud.
    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> Result<Box<dyn Signer>> {
        Err(Error::NotSupported { source: "no signatures with private keys".into() })
    }
}

struct Digest {
    hasher: Hasher,
    fault: Option<ErrorStack>,
    done: Vec<u8>,
}

impl DigestContext for Digest {
    fn update(&mut self, data: &[u8]) {
        if let Err(error) = self.hasher.update(data) {
            self.fault = Some(error);
        }
    }

    fn finish(&mut self) -> Result<&[u8]> {
        if let Some(fault) = self.fault.take() {
            return Err(failed(fault));
        }
        self.done = self.hasher.finish().map_err(failed)?.to_vec();
        Ok(&self.done)
    }
}

/// What is signed is short, and is kept until the end.
struct Hmac {
    digest: MessageDigest,
    key: PKey<Private>,
    data: Vec<u8>,
    done: Vec<u8>,
}

impl HmacContext for Hmac {
    fn update(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        let mut signer = openssl::sign::Signer::new(self.digest, &self.key).map_err(failed)?;
        self.done = signer.sign_oneshot_to_vec(&self.data).map_err(failed)?;
        Ok(&self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FIPS 180-2, appendix B.2.
    #[test]
    fn a_digest_is_that_of_the_standard() {
        let mut digest = OpenSsl.digest(DigestAlgorithm::Sha256).unwrap();
        digest.update(b"abcdbcdecdefdefgefghfghi");
        digest.update(b"ghijhijkijkljklmklmnlmnomnopnopq");
        let expected = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
        assert_eq!(hex(digest.finish().unwrap()), expected);
    }

    /// RFC 4231, test case 2, and an empty key.
    #[test]
    fn an_hmac_is_that_of_the_rfc() {
        let of = |key: &[u8], data: &[&[u8]]| {
            let mut hmac = OpenSsl.hmac(DigestAlgorithm::Sha256, key).unwrap();
            data.iter().for_each(|data| hmac.update(data));
            hex(hmac.finish().unwrap())
        };
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(of(b"Jefe", &[b"what do ya want ", b"for nothing?"]), expected);
    }
}
