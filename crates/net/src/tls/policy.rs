//! Whether OpenSSL knows everything that a policy names. OpenSSL itself passes over names that it does not know, so that
//! a slip of the pen would allow something else than what was meant.

use openssl::ssl::{SslContextBuilder, SslMethod};
use protocol::tls::{TlsPolicy, TlsVersion};

use super::{connector::under, load_providers, reason};

/// One fault of a policy, at one of its settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFault {
    /// As the configuration calls it.
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

/// Words of ciphers(1) that may be excluded though nothing here has them.
const CLASSES: [&str; 24] = [
    "aNULL", "eNULL", "NULL", "EXP", "EXPORT", "LOW", "MEDIUM", "HIGH", "DES", "3DES", "RC2", "RC4", "IDEA", "SEED",
    "MD5", "SHA1", "PSK", "SRP", "aDSS", "kRSA", "aECDH", "GOST", "CAMELLIA", "ARIA",
];

/// Everything that is wrong with a policy; empty if it can be used.
pub fn check_policy(policy: &TlsPolicy) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    let mut fault = |setting, message| faults.push(PolicyFault { setting, message });
    if let Err(error) = load_providers() {
        fault("name", format!("OpenSSL cannot be used: {}", reason(&error)));
    }
    if policy.minimum > policy.maximum {
        fault("minimum", format!("the minimum, {}, is above the maximum, {}", policy.minimum, policy.maximum));
    }
    let old_versions = policy.minimum < TlsVersion::Tls13;
    if policy.ciphers.trim().is_empty() && old_versions {
        fault("ciphers", format!("no cipher is named, and {} needs some; {CIPHERS_HELP}", policy.minimum));
    }
    for word in words(&policy.ciphers).filter(|word| !is_known_cipher(word)) {
        fault("ciphers", format!("OpenSSL knows no cipher \"{word}\"; {}{CIPHERS_HELP}", near_cipher(word)));
    }
    if policy.suites.trim().is_empty() && policy.maximum >= TlsVersion::Tls13 {
        fault("suites", format!("no suite is named, and TLS 1.3 needs one of {}", SUITES.join(", ")));
    }
    for word in words(&policy.suites).filter(|word| !SUITES.contains(word)) {
        fault("suites", format!("there is no TLS 1.3 suite \"{word}\"; suites are: {}", SUITES.join(", ")));
    }
    for word in words(&policy.groups).filter(|word| !is_known_group(word)) {
        fault("groups", format!("OpenSSL knows no group \"{word}\"; groups are: {}", GROUPS.join(", ")));
    }
    // What the parts do not show, such as a list whose exclusions leave nothing.
    if faults.is_empty()
        && let Err(error) = under(policy)
    {
        faults.push(PolicyFault {
            setting: "ciphers",
            message: format!("nothing is left to offer ({})", reason(&error)),
        });
    }
    faults
}

const CIPHERS_HELP: &str =
    "names are those of OpenSSL's ciphers(1), such as AES256-SHA or ECDHE+AESGCM, with ! before what is to be left out";

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

/// `+` before a word moves it to the end, `-` and `!` take it away; `@` begins a command.
fn is_known_cipher(word: &str) -> bool {
    let excluded = word.starts_with('!') || word.starts_with('-');
    let bare = word.trim_start_matches(['!', '-', '+']);
    if bare == "@STRENGTH" || bare == "DEFAULT" || bare == "ALL" || bare == "COMPLEMENTOFALL" {
        return true;
    }
    // The level has a setting of its own.
    if bare.starts_with('@') {
        return false;
    }
    let matches = |list: &str| context().is_some_and(|mut context| context.set_cipher_list(list).is_ok());
    (excluded && CLASSES.contains(&bare)) || matches(bare)
}

fn is_known_group(word: &str) -> bool {
    context().is_some_and(|mut context| context.set_groups_list(word).is_ok())
}

/// Names that people most often mean.
const COMMON: [&str; 24] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-SHA",
    "DHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES256-SHA256",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
    "RC4-SHA",
    "RC4-MD5",
    "HIGH",
    "MEDIUM",
    "COMPLEMENTOFALL",
];

/// The name that was probably meant: the one with which the word has the longest beginning in common.
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

    #[test]
    fn faults_are_told_at_their_setting() {
        let modern = TlsPolicy::modern;
        let table = [
            (
                TlsPolicy { ciphers: "AES256-SHA:RC4-SHAA".to_owned(), ..modern() },
                "ciphers",
                "RC4-SHAA\"; did you mean \"RC4-SHA\"?",
            ),
            (TlsPolicy { ciphers: "ALL:!RC44".to_owned(), ..modern() }, "ciphers", "\"!RC44\""),
            (TlsPolicy { ciphers: String::new(), ..modern() }, "ciphers", "no cipher is named"),
            (TlsPolicy { ciphers: "RC4:!RC4".to_owned(), ..modern() }, "ciphers", "nothing is left"),
            (TlsPolicy { ciphers: "ALL:@SECLEVEL=0".to_owned(), ..modern() }, "ciphers", "@SECLEVEL=0"),
            (TlsPolicy { suites: "TLS_RC4".to_owned(), ..modern() }, "suites", "there is no TLS 1.3 suite \"TLS_RC4\""),
            (TlsPolicy { suites: String::new(), ..modern() }, "suites", "no suite is named"),
            (TlsPolicy { groups: "P-257".to_owned(), ..modern() }, "groups", "no group \"P-257\""),
            (
                TlsPolicy { minimum: TlsVersion::Tls13, maximum: TlsVersion::Tls12, ..modern() },
                "minimum",
                "above the maximum",
            ),
        ];
        for (policy, setting, message) in table {
            let faults = check_policy(&policy);
            let found = faults.iter().any(|fault| fault.setting == setting && fault.message.contains(message));
            assert!(found, "{setting} {message}: {faults:?}");
        }
    }
}
