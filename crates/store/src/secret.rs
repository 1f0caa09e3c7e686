//! Secrets that prove who asks: 32 random bytes, of which only the hash is stored.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use openssl::{error::ErrorStack, rand::rand_bytes, sha::sha256};

use crate::{Result, StoreError};

const BYTES: usize = 32;

/// The holder's side: it is given to one person or browser, once, and is never stored or logged.
pub struct Secret([u8; BYTES]);

/// What is stored of a secret. It cannot be guessed from that, so a plain digest is enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecretHash(pub(crate) [u8; BYTES]);

impl Secret {
    pub fn new() -> Result<Self> {
        Ok(Self(random()?))
    }

    /// As [`Secret::text`] wrote it.
    pub fn read(text: &str) -> Option<Self> {
        // Longer texts are not even decoded.
        let bytes = (text.len() <= 2 * BYTES).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??;
        bytes.try_into().ok().map(Self)
    }

    /// 43 characters for a URL, a cookie or a form.
    pub fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let unable = |error: ErrorStack| StoreError::Other(format!("OpenSSL gives no random numbers: {error}"));
    rand_bytes(&mut bytes).map_err(unable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_nothing_else_does() {
        let (secret, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        let text = secret.text();
        assert_eq!(Secret::read(&text).unwrap().hash(), secret.hash());
        assert_ne!(secret.hash(), other.hash());
        assert!(!format!("{secret:?}").contains(&text));
        let changed = |make: fn(&mut String)| {
            let mut text = text.clone();
            make(&mut text);
            text
        };
        for wrong in [
            String::new(),
            changed(|text| text.push('A')),
            changed(|text| text.truncate(42)),
            changed(|text| text.replace_range(0..1, "/")),
            changed(|text| text.insert(0, ' ')),
            "A".repeat(10_000),
            "\0".repeat(43),
        ] {
            assert!(Secret::read(&wrong).is_none(), "{wrong}");
        }
    }
}
