//! The built-in policy that an old server needs: the strictest one that contains what worked.

use super::{TlsPolicy, TlsVersion};

/// What a cipher suite's name may contain that the policy `intermediate` excludes.
const BROKEN: [&str; 6] = ["RC4", "RC2", "DES", "IDEA", "SEED", "MD5"];
/// What no built-in policy has: no encryption, keys for export, servers without a name, shared keys.
const NEVER: [&str; 7] = ["NULL", "EXP", "ADH", "AECDH", "ANON", "PSK", "SRP"];
const AUTHENTICATED: [&str; 3] = ["GCM", "POLY1305", "CCM"];

impl TlsPolicy {
    /// The strictest built-in policy that contains a version and a cipher suite that worked, by their names in OpenSSL or
    /// at IANA. `None`: there is none, or the version is unknown.
    pub fn strictest_with(version: &str, suite: &str) -> Option<Self> {
        let version = version_named(version)?;
        let suite = suite.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| suite.contains(part));
        // ECDHE and DHE, in both spellings; TLS 1.3 has nothing else.
        let is_forward_secret = version == TlsVersion::Tls13 || suite.contains("DHE") || suite.contains("EDH");
        match () {
            () if suite.is_empty() || has(&NEVER) => None,
            () if has(&BROKEN) => Some(Self::legacy()),
            () if version >= TlsVersion::Tls12 && is_forward_secret && has(&AUTHENTICATED) => Some(Self::modern()),
            () => Some(Self::intermediate()),
        }
    }
}

/// `TLSv1`, `TLS1.0`, `TLSv1.2`, `TLS 1.3`.
fn version_named(name: &str) -> Option<TlsVersion> {
    let number = name.trim().to_ascii_lowercase();
    let number = number.strip_prefix("tls")?.trim_start_matches(['v', ' ', '_']).replace('_', ".");
    match number.as_str() {
        "1" | "1.0" => Some(TlsVersion::Tls10),
        "1.1" => Some(TlsVersion::Tls11),
        "1.2" => Some(TlsVersion::Tls12),
        "1.3" => Some(TlsVersion::Tls13),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_policy_with_what_worked_is_named() {
        for (version, suite, expected) in [
            ("TLSv1", "RC4-SHA", Some("legacy")),
            ("TLSv1", "DES-CBC3-SHA", Some("legacy")),
            ("TLS 1.0", "TLS_RSA_WITH_RC4_128_MD5", Some("legacy")),
            ("TLSv1", "AES128-SHA", Some("intermediate")),
            ("TLSv1.2", "AES128-SHA256", Some("intermediate")),
            ("TLSv1.2", "AES256-GCM-SHA384", Some("intermediate")),
            ("TLSv1.2", "ECDHE-RSA-AES128-SHA", Some("intermediate")),
            ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", Some("modern")),
            ("TLSv1.2", "DHE-RSA-CHACHA20-POLY1305", Some("modern")),
            ("TLSv1.3", "TLS_AES_256_GCM_SHA384", Some("modern")),
            ("TLSv1", "ADH-AES256-SHA", None),
            ("TLSv1.2", "NULL-SHA", None),
            ("SSLv3", "RC4-SHA", None),
            ("", "", None),
        ] {
            let policy = TlsPolicy::strictest_with(version, suite).map(|policy| policy.name);
            assert_eq!(policy.as_deref(), expected, "{version} {suite}");
        }
    }
}
