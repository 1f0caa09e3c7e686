//! OpenSSL's names of versions and cipher suites, made from IANA's. Postfix, Exim and most logs write them.

use std::borrow::Cow;

use super::{CipherSuite, WireVersion};

impl WireVersion {
    /// Such as `TLSv1.2`. OpenSSL calls TLS 1.0 `TLSv1`.
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

impl CipherSuite {
    /// Such as `ECDHE-RSA-AES128-GCM-SHA256`. OpenSSL uses IANA's names for TLS 1.3, and so does this function for
    /// suites that OpenSSL does not have.
    pub fn openssl_name(self) -> String {
        let name = self.name();
        let parts = name.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_"));
        match parts {
            Some((keys, cipher)) => [key_exchange(keys), bulk(cipher, keys)].concat(),
            None => name.into_owned(),
        }
    }
}

/// The part before the cipher, with a hyphen. RSA alone is left out.
fn key_exchange(keys: &str) -> String {
    match keys {
        "RSA" => String::new(),
        "DH_anon" => "ADH-".to_owned(),
        "ECDH_anon" => "AECDH-".to_owned(),
        other => format!("{}-", other.replace('_', "-")),
    }
}

/// Cipher, mode and hash.
fn bulk(cipher: &str, keys: &str) -> String {
    match cipher {
        "3DES_EDE_CBC_SHA" => return "DES-CBC3-SHA".to_owned(),
        "DES_CBC_SHA" => return "DES-CBC-SHA".to_owned(),
        "RC4_128_SHA" => return "RC4-SHA".to_owned(),
        "RC4_128_MD5" => return "RC4-MD5".to_owned(),
        "SEED_CBC_SHA" => return "SEED-SHA".to_owned(),
        "IDEA_CBC_SHA" => return "IDEA-CBC-SHA".to_owned(),
        // The hash is not named where there is only one.
        "CHACHA20_POLY1305_SHA256" => return "CHACHA20-POLY1305".to_owned(),
        _ => {}
    }
    let name = cipher.replace("_CBC_", "_").replace("_CCM_8", "_CCM8");
    let mut joined = name.clone();
    for algorithm in ["AES", "CAMELLIA", "ARIA"] {
        if let Some(rest) = name.strip_prefix(algorithm).and_then(|rest| rest.strip_prefix('_')) {
            joined = format!("{algorithm}{rest}");
        }
    }
    // A suite of plain PSK names its mode before RFC 5487.
    let is_old_psk = keys.ends_with("PSK") && cipher.ends_with("_CBC_SHA");
    if is_old_psk {
        joined = joined.replace("_SHA", "_CBC_SHA");
    }
    joined.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_openssl() {
        for (number, name) in [
            (0x0005, "RC4-SHA"),
            (0x0004, "RC4-MD5"),
            (0x000a, "DES-CBC3-SHA"),
            (0x0016, "DHE-RSA-DES-CBC3-SHA"),
            (0x002f, "AES128-SHA"),
            (0x0033, "DHE-RSA-AES128-SHA"),
            (0x0034, "ADH-AES128-SHA"),
            (0x003d, "AES256-SHA256"),
            (0x0041, "CAMELLIA128-SHA"),
            (0x009c, "AES128-GCM-SHA256"),
            (0xc009, "ECDHE-ECDSA-AES128-SHA"),
            (0xc014, "ECDHE-RSA-AES256-SHA"),
            (0xc018, "AECDH-AES128-SHA"),
            (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
            (0xc028, "ECDHE-RSA-AES256-SHA384"),
            (0xc09c, "AES128-CCM"),
            (0xc0a0, "AES128-CCM8"),
            (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
            (0x1301, "TLS_AES_128_GCM_SHA256"),
            (0xfafa, "0xfafa"),
        ] {
            assert_eq!(CipherSuite(number).openssl_name(), name);
        }
        assert_eq!((&*WireVersion::TLS10.openssl_name(), &*WireVersion::TLS13.openssl_name()), ("TLSv1", "TLSv1.3"));
    }
}
