//! Checks that OpenSSL supports everything that a policy names. OpenSSL itself ignores unknown names, so a typing error
//! would allow something other than what was meant.

use openssl::ssl::{SslContextBuilder, SslMethod};
use protocol::tls::{TlsPolicy, TlsVersion};

use super::{connector::under, load_providers, offer, reason};

/// One fault of a policy, at one of its settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFault {
    /// Its name in the configuration.
    pub setting: &'static str,
    /// What is wrong and what is allowed, for people.
    pub message: String,
}

/// Suites of TLS 1.3 (RFC 8446 appendix B.4).
const SUITES: [&str; 5] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// Names of ciphers(1) that may be excluded although this build has no such cipher suite.
const CLASSES: [&str; 24] = [
    "aNULL", "eNULL", "NULL", "EXP", "EXPORT", "LOW", "MEDIUM", "HIGH", "DES", "3DES", "RC2", "RC4", "IDEA", "SEED",
    "MD5", "SHA1", "PSK", "SRP", "aDSS", "kRSA", "aECDH", "GOST", "CAMELLIA", "ARIA",
];

/// All faults of a policy. Empty if it can be used.
pub fn check_policy(policy: &TlsPolicy) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    let mut fault = |setting, message| faults.push(PolicyFault { setting, message });
    if let Err(error) = load_providers() {
        fault("name", format!("failed to set up OpenSSL: {}", reason(&error)));
    }
    if policy.minimum > policy.maximum {
        fault(
            "minimum",
            format!("the minimum, {}, is newer than the maximum, {}; swap them", policy.minimum, policy.maximum),
        );
    }
    let old_versions = policy.minimum < TlsVersion::Tls13;
    if policy.ciphers.trim().is_empty() && old_versions {
        fault(
            "ciphers",
            format!("no cipher suite is named, but {} requires at least one; {CIPHERS_HELP}", policy.minimum),
        );
    }
    for word in words(&policy.ciphers).filter(|word| !is_known_cipher(word)) {
        fault("ciphers", format!("OpenSSL has no cipher suite \"{word}\"; {}{CIPHERS_HELP}", near_cipher(word)));
    }
    if policy.suites.trim().is_empty() && policy.maximum >= TlsVersion::Tls13 {
        fault(
            "suites",
            format!("no cipher suite is named, but TLS 1.3 requires at least one of {}", SUITES.join(", ")),
        );
    }
    for word in words(&policy.suites).filter(|word| !SUITES.contains(word)) {
        fault("suites", format!("TLS 1.3 has no cipher suite \"{word}\"; cipher suites are: {}", SUITES.join(", ")));
    }
    for word in words(&policy.groups).filter(|word| !is_known_group(word)) {
        fault("groups", format!("OpenSSL has no group \"{word}\"; groups are: {}", GROUPS.join(", ")));
    }
    // Faults that no single name shows, such as a list whose exclusions leave nothing.
    if faults.is_empty()
        && let Some(fault) = check_offer(policy)
    {
        faults.push(fault);
    }
    faults
}

/// Settings that OpenSSL silently ignores.
pub fn policy_warnings(policy: &TlsPolicy) -> Vec<PolicyFault> {
    let is_kept_from_old = policy.minimum < TlsVersion::Tls12 && policy.maximum >= TlsVersion::Tls12;
    if !is_kept_from_old || policy.security_level == 0 {
        return Vec::new();
    }
    let message = format!(
        "the minimum, {}, has no effect: at security_level {} OpenSSL uses TLS 1.2 or newer only; set security_level = 0 \
         to reach servers with older versions, or minimum = \"1.2\"",
        policy.minimum, policy.security_level
    );
    vec![PolicyFault { setting: "minimum", message }]
}

/// Checks that at least one cipher suite is left to offer.
fn check_offer(policy: &TlsPolicy) -> Option<PolicyFault> {
    if let Err(error) = under(policy) {
        let message =
            format!("no cipher suite is left to offer ({}); name at least one that is not excluded", reason(&error));
        return Some(PolicyFault { setting: "ciphers", message });
    }
    // For OpenSSL the hash of TLS 1.0 and 1.1 is too weak for all levels above 0 (SSL_CTX_set_security_level(3)).
    if policy.maximum < TlsVersion::Tls12 && policy.security_level > 0 {
        let message = format!(
            "{} and older cannot be used at security_level {}: every handshake would fail; set security_level = 0, or \
             maximum = \"1.2\" or newer",
            policy.maximum, policy.security_level
        );
        return Some(PolicyFault { setting: "maximum", message });
    }
    match offer(policy) {
        Ok(Some(_)) | Err(_) => None,
        Ok(None) => {
            let level = policy.security_level;
            let message = format!(
                "security_level {level} forbids all these cipher suites; lower it, or name other cipher suites"
            );
            Some(PolicyFault { setting: "ciphers", message })
        }
    }
}

const CIPHERS_HELP: &str =
    "use names of OpenSSL's ciphers(1), such as AES256-SHA or ECDHE+AESGCM, with ! before a name to exclude it";

const GROUPS: [&str; 12] = [
    "X25519",
    "X448",
    "P-256",
    "P-384",
    "P-521",
    "X25519MLKEM768",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "ffdhe8192",
    "prime256v1",
];

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ']).map(str::trim).filter(|word| !word.is_empty())
}

fn context() -> Option<SslContextBuilder> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).ok()?;
    builder.set_security_level(0);
    Some(builder)
}

/// `+` before a word moves it to the end, `-` and `!` exclude it, and `@` starts a command.
fn is_known_cipher(word: &str) -> bool {
    let excluded = word.starts_with('!') || word.starts_with('-');
    let bare = word.trim_start_matches(['!', '-', '+']);
    if bare == "@STRENGTH" || bare == "DEFAULT" || bare == "ALL" || bare == "COMPLEMENTOFALL" {
        return true;
    }
    // The level has its own setting.
    if bare.starts_with('@') {
        return false;
    }
    let matches = |list: &str| context().is_some_and(|mut context| context.set_cipher_list(list).is_ok());
    (excluded && CLASSES.contains(&bare)) || matches(bare)
}

fn is_known_group(word: &str) -> bool {
    context().is_some_and(|mut context| context.set_groups_list(word).is_ok())
}

/// Names that are meant most often. All have forward secrecy and authenticated encryption, because a suggestion must
/// never make a policy weaker.
const COMMON: [&str; 8] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
];

/// The name that was probably meant: the one with the longest common beginning.
fn near_cipher(word: &str) -> String {
    let bare = word.trim_start_matches(['!', '-', '+']);
    let common = |name: &&str| name.bytes().zip(bare.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    match COMMON.into_iter().max_by_key(common) {
        Some(name) if common(&name) >= 3 => format!("did you mean \"{name}\"? "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_policies_are_sound() {
        for policy in TlsPolicy::built_in() {
            assert_eq!(check_policy(&policy), vec![], "{}", policy.name);
        }
    }

    fn legacy_at(security_level: u32) -> TlsPolicy {
        TlsPolicy { security_level, ..TlsPolicy::legacy() }
    }

    #[test]
    fn a_minimum_without_effect_is_warned_of() {
        let warned = |level| policy_warnings(&legacy_at(level)).iter().map(|fault| fault.setting).collect::<Vec<_>>();
        assert_eq!((warned(0), warned(1)), (vec![], vec!["minimum"]));
        assert_eq!(check_policy(&legacy_at(1)), vec![]);
    }

    #[test]
    fn a_guess_never_names_anything_weak() {
        for word in ["RC4", "RC4-SHAA", "DES-CBC3-SH", "AES256-SH", "MEDIU", "NUL", "EXP-RC4"] {
            assert_eq!(near_cipher(word), "", "{word}");
        }
    }

    #[test]
    fn faults_are_told_at_their_setting() {
        let modern = TlsPolicy::modern;
        let table = [
            (
                TlsPolicy { ciphers: "AES256-SHA:RC4-SHAA".to_owned(), ..modern() },
                "ciphers",
                "RC4-SHAA\"; use names of",
            ),
            (
                TlsPolicy { ciphers: "ECDHE-RSA-AES256-GCM-SHA".to_owned(), ..modern() },
                "ciphers",
                "did you mean \"ECDHE-RSA-AES256-GCM-SHA384\"?",
            ),
            (
                TlsPolicy { minimum: TlsVersion::Tls10, maximum: TlsVersion::Tls10, ..legacy_at(2) },
                "maximum",
                "TLS 1.0 and older cannot be used at security_level 2",
            ),
            (TlsPolicy { ciphers: "ALL:!RC44".to_owned(), ..modern() }, "ciphers", "\"!RC44\""),
            (TlsPolicy { ciphers: String::new(), ..modern() }, "ciphers", "no cipher suite is named"),
            (TlsPolicy { ciphers: "RC4:!RC4".to_owned(), ..modern() }, "ciphers", "no cipher suite is left"),
            (TlsPolicy { ciphers: "ALL:@SECLEVEL=0".to_owned(), ..modern() }, "ciphers", "@SECLEVEL=0"),
            (
                TlsPolicy { suites: "TLS_RC4".to_owned(), ..modern() },
                "suites",
                "TLS 1.3 has no cipher suite \"TLS_RC4\"",
            ),
            (TlsPolicy { suites: String::new(), ..modern() }, "suites", "no cipher suite is named"),
            (TlsPolicy { groups: "P-257".to_owned(), ..modern() }, "groups", "no group \"P-257\""),
            (
                TlsPolicy { minimum: TlsVersion::Tls13, maximum: TlsVersion::Tls12, ..modern() },
                "minimum",
                "newer than the maximum",
            ),
        ];
        for (policy, setting, message) in table {
            let faults = check_policy(&policy);
            let found = faults.iter().any(|fault| fault.setting == setting && fault.message.contains(message));
            assert!(found, "{setting} {message}: {faults:?}");
        }
    }
}
