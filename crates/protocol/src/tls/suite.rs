//! Cipher suites by their number (IANA "TLS Cipher Suites"), and their parts.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use tls_parser::{TlsCipherAu, TlsCipherEnc, TlsCipherKx, TlsCipherMac, TlsCipherSuite, TlsPRF};

use super::WireVersion;

/// A cipher suite by its number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CipherSuite(pub u16);

/// How client and server agree on keys, and how the server is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SuiteKeyExchange {
    /// The client encrypts the secret with the certificate's key: no forward secrecy.
    Rsa,
    /// The certificate has a Diffie-Hellman key.
    Dh,
    Dhe,
    /// The server is not authenticated.
    DhAnonymous,
    Ecdh,
    Ecdhe,
    EcdhAnonymous,
    Psk,
    RsaPsk,
    DhePsk,
    EcdhePsk,
    /// In TLS 1.3, the extensions decide and not the cipher suite.
    Tls13,
    /// Kerberos, SRP, ECCPWD, or an unknown cipher suite.
    Other,
}

/// What the data is encrypted with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bulk {
    Null,
    Rc2,
    Rc4,
    Des,
    TripleDes,
    Idea,
    Seed,
    Camellia,
    Aes,
    Aria,
    ChaCha20,
    Sm4,
    Aegis,
    Unknown,
}

/// The hash of the message authentication code. If encryption itself authenticates, the hash of key derivation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mac {
    Null,
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Unknown,
}

impl Mac {
    pub fn bits(self) -> u32 {
        match self {
            Self::Null | Self::Unknown => 0,
            Self::Md5 => 128,
            Self::Sha1 => 160,
            Self::Sha256 => 256,
            Self::Sha384 => 384,
            Self::Sha512 => 512,
        }
    }
}

impl CipherSuite {
    fn parts(self) -> Option<&'static TlsCipherSuite> {
        TlsCipherSuite::from_id(self.0)
    }

    pub fn is_known(self) -> bool {
        self.parts().is_some()
    }

    /// IANA's name, e.g. `TLS_RSA_WITH_RC4_128_SHA`, or the number if there is none.
    pub fn name(self) -> Cow<'static, str> {
        match self.parts() {
            Some(parts) => Cow::Borrowed(parts.name),
            None => Cow::Owned(format!("0x{:04x}", self.0)),
        }
    }

    pub fn key_exchange(self) -> SuiteKeyExchange {
        use SuiteKeyExchange as Kx;
        let Some(parts) = self.parts() else { return Kx::Other };
        match (parts.kx, parts.au) {
            (TlsCipherKx::Tls13, _) => Kx::Tls13,
            (TlsCipherKx::Psk, TlsCipherAu::Dhe) | (TlsCipherKx::Dhe, TlsCipherAu::Psk) => Kx::DhePsk,
            (TlsCipherKx::Psk, _) => Kx::Psk,
            (TlsCipherKx::Rsa, TlsCipherAu::Psk) => Kx::RsaPsk,
            (TlsCipherKx::Rsa, _) => Kx::Rsa,
            (TlsCipherKx::Dh, TlsCipherAu::Null) => Kx::DhAnonymous,
            (TlsCipherKx::Dh, _) => Kx::Dh,
            (TlsCipherKx::Dhe, _) => Kx::Dhe,
            (TlsCipherKx::Ecdh, TlsCipherAu::Null) => Kx::EcdhAnonymous,
            (TlsCipherKx::Ecdh, _) => Kx::Ecdh,
            (TlsCipherKx::Ecdhe, TlsCipherAu::Psk) => Kx::EcdhePsk,
            (TlsCipherKx::Ecdhe, _) => Kx::Ecdhe,
            _ => Kx::Other,
        }
    }

    pub fn bulk(self) -> Bulk {
        let Some(parts) = self.parts() else { return Bulk::Unknown };
        match parts.enc {
            TlsCipherEnc::Null => Bulk::Null,
            TlsCipherEnc::Des => Bulk::Des,
            TlsCipherEnc::TripleDes => Bulk::TripleDes,
            TlsCipherEnc::Rc2 => Bulk::Rc2,
            TlsCipherEnc::Rc4 => Bulk::Rc4,
            TlsCipherEnc::Aria => Bulk::Aria,
            TlsCipherEnc::Idea => Bulk::Idea,
            TlsCipherEnc::Seed => Bulk::Seed,
            TlsCipherEnc::Aes => Bulk::Aes,
            TlsCipherEnc::Camellia => Bulk::Camellia,
            TlsCipherEnc::Chacha20_Poly1305 => Bulk::ChaCha20,
            TlsCipherEnc::Sm4 => Bulk::Sm4,
            TlsCipherEnc::Aegis => Bulk::Aegis,
        }
    }

    /// Bits of the key. 0: unknown.
    pub fn bulk_bits(self) -> u32 {
        match self.bulk() {
            // RFC 8439 section 2.3. The table says 128.
            Bulk::ChaCha20 => 256,
            _ => self.parts().map_or(0, |parts| parts.enc_size.into()),
        }
    }

    pub fn mac(self) -> Mac {
        let Some(parts) = self.parts() else { return Mac::Unknown };
        match (parts.mac, &parts.prf) {
            (TlsCipherMac::Null, _) => Mac::Null,
            (TlsCipherMac::HmacMd5, _) => Mac::Md5,
            (TlsCipherMac::HmacSha1, _) => Mac::Sha1,
            (TlsCipherMac::HmacSha256, _) => Mac::Sha256,
            (TlsCipherMac::HmacSha384, _) => Mac::Sha384,
            (TlsCipherMac::HmacSha512, _) => Mac::Sha512,
            // RFC 5246 section 5: SHA-256 unless the suite names another hash.
            (TlsCipherMac::Aead, TlsPRF::Default | TlsPRF::Sha256) => Mac::Sha256,
            (TlsCipherMac::Aead, TlsPRF::Sha384) => Mac::Sha384,
            (TlsCipherMac::Aead, TlsPRF::Sha512) => Mac::Sha512,
            (TlsCipherMac::Aead, _) => Mac::Unknown,
        }
    }

    /// Authenticated encryption (AEAD): no separate MAC.
    pub fn is_authenticated(self) -> bool {
        self.bulk() == Bulk::Aegis || self.parts().is_some_and(|parts| parts.mac == TlsCipherMac::Aead)
    }

    /// True if the server's key, when it leaks later, does not reveal earlier connections.
    pub fn has_forward_secrecy(self) -> bool {
        use SuiteKeyExchange as Kx;
        match self.key_exchange() {
            Kx::Dhe | Kx::Ecdhe | Kx::DhAnonymous | Kx::EcdhAnonymous | Kx::DhePsk | Kx::EcdhePsk | Kx::Tls13 => true,
            Kx::Rsa | Kx::Dh | Kx::Ecdh | Kx::Psk | Kx::RsaPsk | Kx::Other => false,
        }
    }

    fn is_anonymous(self) -> bool {
        matches!(self.key_exchange(), SuiteKeyExchange::DhAnonymous | SuiteKeyExchange::EcdhAnonymous)
    }

    /// True if RFC 9325 still recommends it: TLS 1.2 or later, authenticated encryption, forward secrecy, an
    /// authenticated server.
    pub fn is_modern(self, version: WireVersion) -> bool {
        version >= WireVersion::TLS12 && self.is_authenticated() && self.has_forward_secrecy() && !self.is_anonymous()
    }

    /// Bytes that authenticated encryption adds to each record (RFC 6655 section 4: 8 for CCM_8, else 16).
    pub(super) fn tag_bytes(self) -> usize {
        if self.parts().is_some_and(|parts| parts.name.contains("_CCM_8")) { 8 } else { 16 }
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_come_apart() {
        use SuiteKeyExchange as Kx;
        #[rustfmt::skip]
        let cases = [
            (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Kx::Rsa, Bulk::Rc4, 128, Mac::Sha1, false),
            (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Kx::Rsa, Bulk::TripleDes, 168, Mac::Sha1, false),
            (0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", Kx::DhAnonymous, Bulk::Aes, 128, Mac::Sha1, false),
            (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Kx::Dhe, Bulk::Aes, 128, Mac::Sha256, true),
            (0x00a6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256", Kx::DhAnonymous, Bulk::Aes, 128, Mac::Sha256, false),
            (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Kx::Rsa, Bulk::Aes, 256, Mac::Sha384, false),
            (0x1303, "TLS_CHACHA20_POLY1305_SHA256", Kx::Tls13, Bulk::ChaCha20, 256, Mac::Sha256, true),
            (0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", Kx::EcdhAnonymous, Bulk::Aes, 128, Mac::Sha1, false),
            (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Kx::Ecdhe, Bulk::Aes, 256, Mac::Sha384, true),
            (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", Kx::Ecdhe, Bulk::Aes, 128, Mac::Sha256, true),
            (0xfffe, "0xfffe", Kx::Other, Bulk::Unknown, 0, Mac::Unknown, false),
        ];
        for (number, name, key_exchange, bulk, bits, mac, modern) in cases {
            let suite = CipherSuite(number);
            let parts = (suite.key_exchange(), suite.bulk(), suite.bulk_bits(), suite.mac());
            assert_eq!(parts, (key_exchange, bulk, bits, mac), "{name}");
            assert_eq!(suite.to_string(), name);
            assert_eq!(suite.is_modern(WireVersion::TLS12), modern, "{name}");
            assert!(!suite.is_modern(WireVersion::TLS11), "{name}");
        }
    }
}
