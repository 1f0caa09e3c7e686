//! Passwords: argon2id (RFC 9106), by the OpenSSL that is in the binary already.

use std::fmt;

use data_encoding::BASE64_NOPAD;
use openssl::{kdf::argon2id, memcmp};

use crate::{Result, StoreError, secret::random};

/// 19 MiB twice: the least that OWASP recommends, 64 ms on a common processor.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// What a stored hash may demand at most, so that a damaged row does not stop a node.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 100;

/// What is stored of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub(crate) String);

/// A stored hash as it was read.
struct Parts {
    memory_kib: u32,
    passes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// It takes a while; call it where that may block.
    pub fn of(password: &str) -> Result<Self> {
        let salt = random::<SALT_BYTES>()?;
        let hash = derive(password, &salt, MEMORY_KIB, PASSES)
            .ok_or_else(|| StoreError::Other("OpenSSL computes no argon2id".to_owned()))?;
        Ok(Self::from_parts(&salt, &hash))
    }

    /// A hash that no password has, so that a refusal takes as long for a name that no user has.
    pub fn of_nobody() -> Self {
        Self::from_parts(&[0; SALT_BYTES], &[0; HASH_BYTES])
    }

    fn from_parts(salt: &[u8], hash: &[u8]) -> Self {
        let (salt, hash) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(hash));
        Self(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
    }

    /// True if it is the hash of this password. It takes a while.
    pub fn is_of(&self, password: &str) -> bool {
        let Some(Parts { memory_kib, passes, salt, hash }) = self.parts() else { return false };
        derive(password, &salt, memory_kib, passes).is_some_and(|derived| memcmp::eq(&derived, &hash))
    }

    fn parts(&self) -> Option<Parts> {
        let mut fields = self.0.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
        let mut costs = costs.split(',');
        let mut cost = |name, max| -> Option<u32> {
            let value = costs.next()?.strip_prefix(name)?.parse().ok()?;
            (1..=max).contains(&value).then_some(value)
        };
        let (memory_kib, passes, _) = (cost("m=", MEMORY_KIB_MAX)?, cost("t=", PASSES_MAX)?, cost("p=", LANES)?);
        let decode = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        (hash.len() == HASH_BYTES && fields.next().is_none()).then_some(Parts { memory_kib, passes, salt, hash })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

fn derive(password: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    let mut hash = [0; HASH_BYTES];
    let derived = argon2id(None, password.as_bytes(), salt, None, None, passes, LANES, memory_kib, &mut hash);
    derived.is_ok().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits() {
        let hash = PasswordHash::of("correct horse battery").unwrap();
        assert!(hash.is_of("correct horse battery"));
        for wrong in ["", "correct horse batterz", "correct horse battery ", "Correct horse battery"] {
            assert!(!hash.is_of(wrong), "{wrong}");
        }
        assert_ne!(PasswordHash::of("correct horse battery").unwrap(), hash);
        assert!(!PasswordHash::of_nobody().is_of(""));
    }

    /// Made by the reference implementation.
    #[test]
    fn a_hash_is_that_of_the_standard() {
        let hash = "$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$i6P6cCvSwI/Gp4MO3l8wvjoXUe1JLzHNfXagpIByW1o";
        assert!(PasswordHash(hash.to_owned()).is_of("password"));
    }

    #[test]
    fn a_damaged_hash_fits_nothing() {
        let good = PasswordHash::of_nobody().0;
        for (what, by) in [
            ("$argon2id", "$argon2i"),
            ("v=19", "v=16"),
            ("m=19456", "m=4294967295"),
            ("t=2", "t=0"),
            ("p=1", "p=4"),
            ("m=19456,", ""),
            ("AAAA$", "AAA*$"),
        ] {
            let damaged = good.replace(what, by);
            assert_ne!(damaged, good);
            assert!(PasswordHash(damaged.clone()).parts().is_none(), "{damaged}");
        }
        assert!(PasswordHash(format!("{good}$")).parts().is_none());
    }
}
