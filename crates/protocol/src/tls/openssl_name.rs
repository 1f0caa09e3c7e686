//! Cipher suites and versions by OpenSSL's names, which logs, settings and this gateway's history use.

use std::borrow::Cow;

use super::{CipherSuite, WireVersion};

/// What OpenSSL writes otherwise: IANA's words and its own, in this order.
const WORDS: [(&str, &str); 11] = [
    ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    ("3DES_EDE_CBC", "DES-CBC3"),
    ("RC4_128", "RC4"),
    ("SEED_CBC", "SEED"),
    ("AES_", "AES"),
    ("CAMELLIA_", "CAMELLIA"),
    ("ARIA_", "ARIA"),
    ("128_CBC", "128"),
    ("256_CBC", "256"),
    ("CCM_8", "CCM8"),
    ("_", "-"),
];

impl CipherSuite {
    /// OpenSSL's name, such as `ECDHE-RSA-AES128-GCM-SHA256`. A suite with a pre-shared key or a password keeps IANA's
    /// name: mail servers do not use them.
    pub fn openssl_name(self) -> Cow<'static, str> {
        let name = self.name();
        let parts = name.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_"));
        let is_kept = ["PSK", "SRP", "KRB5", "EXPORT"].iter().any(|word| name.contains(word));
        let Some((keys, bulk)) = parts.filter(|_| !is_kept) else { return name };
        let keys = match keys {
            "RSA" => String::new(),
            "DH_anon" => "ADH-".to_owned(),
            "ECDH_anon" => "AECDH-".to_owned(),
            "ECDHE_RSA" if bulk.starts_with("ARIA") => "ECDHE-".to_owned(),
            keys => keys.replace('_', "-") + "-",
        };
        let bulk = WORDS.iter().fold(bulk.to_owned(), |bulk, (iana, openssl)| bulk.replace(iana, openssl));
        Cow::Owned(keys + &bulk)
    }
}

impl WireVersion {
    /// OpenSSL's name, such as `TLSv1.2`.
    pub fn openssl_name(self) -> Cow<'static, str> {
        match self {
            Self::SSL30 => Cow::Borrowed("SSLv3"),
            Self::TLS10 => Cow::Borrowed("TLSv1"),
            Self::TLS11 => Cow::Borrowed("TLSv1.1"),
            Self::TLS12 => Cow::Borrowed("TLSv1.2"),
            Self::TLS13 => Cow::Borrowed("TLSv1.3"),
            other => Cow::Owned(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl ciphers -stdname` lists them.
    #[test]
    fn names_are_those_of_openssl() {
        let table = [
            (0x0005, "RC4-SHA"),
            (0x0004, "RC4-MD5"),
            (0x0009, "DES-CBC-SHA"),
            (0x000a, "DES-CBC3-SHA"),
            (0x0016, "DHE-RSA-DES-CBC3-SHA"),
            (0x002f, "AES128-SHA"),
            (0x0034, "ADH-AES128-SHA"),
            (0x003d, "AES256-SHA256"),
            (0x0007, "IDEA-CBC-SHA"),
            (0x0096, "SEED-SHA"),
            (0x0088, "DHE-RSA-CAMELLIA256-SHA"),
            (0x009d, "AES256-GCM-SHA384"),
            (0x1301, "TLS_AES_128_GCM_SHA256"),
            (0xc018, "AECDH-AES128-SHA"),
            (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
            (0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
            (0xc0a0, "AES128-CCM8"),
            (0xc0ad, "ECDHE-ECDSA-AES256-CCM"),
            (0xc060, "ECDHE-ARIA128-GCM-SHA256"),
            (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
            (0xfffe, "0xfffe"),
        ];
        for (number, name) in table {
            assert_eq!(CipherSuite(number).openssl_name(), name);
        }
        assert_eq!(WireVersion::TLS10.openssl_name(), "TLSv1");
        assert_eq!(WireVersion(0x0002).openssl_name(), "SSL 2.0");
    }
}
