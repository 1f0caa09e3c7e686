//! The outcome of a handshake in the words of Windows' Schannel, as Exchange's protocol logs write it: names of
//! wincrypt.h's ALG_ID and schannel.h's SP_PROT, a number where there is no name.

use std::fmt;

use super::{
    Alert, Bulk, CertificateFault, Ending, HandshakeFacts, KeyExchange, Mac, Side, SuiteKeyExchange, WireVersion,
};

/// Algorithms that neither list names.
const UNKNOWN: u32 = 0;

/// Bulk ciphers: ALG_ID, name, cipher, bits of the key (0: several).
const BULKS: [(u32, &str, Bulk, u32); 8] = [
    (0x6610, "CALG_AES_256", Bulk::Aes, 256),
    (0x660f, "CALG_AES_192", Bulk::Aes, 192),
    (0x660e, "CALG_AES_128", Bulk::Aes, 128),
    (0x6801, "CALG_RC4", Bulk::Rc4, 0),
    (0x6603, "CALG_3DES", Bulk::TripleDes, 0),
    (0x6609, "CALG_3DES_112", Bulk::TripleDes, 112),
    (0x6601, "CALG_DES", Bulk::Des, 0),
    (0x6602, "CALG_RC2", Bulk::Rc2, 0),
];

const MACS: [(u32, &str, Mac); 6] = [
    (0x8003, "CALG_MD5", Mac::Md5),
    (0x8004, "CALG_SHA1", Mac::Sha1),
    (0x8004, "CALG_SHA", Mac::Sha1),
    (0x800c, "CALG_SHA_256", Mac::Sha256),
    (0x800d, "CALG_SHA_384", Mac::Sha384),
    (0x800e, "CALG_SHA_512", Mac::Sha512),
];

/// Logs have one number under two names: CALG_ECDH_EPHEM and CALG_ECDHE. What stands first is written.
const KEY_EXCHANGES: [(u32, &str, SuiteKeyExchange); 5] = [
    (0xa400, "CALG_RSA_KEYX", SuiteKeyExchange::Rsa),
    (0xaa02, "CALG_DH_EPHEM", SuiteKeyExchange::Dhe),
    (0xae06, "CALG_ECDH_EPHEM", SuiteKeyExchange::Ecdhe),
    (0xae06, "CALG_ECDHE", SuiteKeyExchange::Ecdhe),
    (0xaa05, "CALG_ECDH", SuiteKeyExchange::Ecdh),
];

/// The client's bit of each version; the server's is half of it.
const PROTOCOLS: [(u32, &str, WireVersion); 7] = [
    (8, "SSL2", WireVersion(0x0002)),
    (32, "SSL3", WireVersion::SSL30),
    (128, "TLS1_0", WireVersion::TLS10),
    (128, "TLS1", WireVersion::TLS10),
    (512, "TLS1_1", WireVersion::TLS11),
    (2048, "TLS1_2", WireVersion::TLS12),
    (8192, "TLS1_3", WireVersion::TLS13),
];

/// What the line of a handshake that succeeded says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiation {
    /// Which end wrote the log.
    pub side: Side,
    pub version: WireVersion,
    pub bulk: Bulk,
    pub bulk_bits: u32,
    pub mac: Mac,
    /// 0: encryption itself authenticates.
    pub mac_bits: u32,
    pub key_exchange: SuiteKeyExchange,
    pub key_exchange_bits: u32,
}

impl Negotiation {
    /// `None` where nothing was agreed on.
    pub fn new(side: Side, facts: &HandshakeFacts) -> Option<Self> {
        let hello = facts.server_hello.as_ref().filter(|_| facts.completed)?;
        let suite = hello.cipher_suite;
        let bits = |key_exchange: Option<KeyExchange>| key_exchange.map_or(0, KeyExchange::bits);
        let certificate_bits = facts.certificates.first().map_or(0, |leaf| leaf.key_bits);
        let (key_exchange, key_exchange_bits) = match suite.key_exchange() {
            SuiteKeyExchange::Tls13 => {
                let finite = hello.key_exchange.is_some_and(KeyExchange::is_finite_field);
                let kind = if finite { SuiteKeyExchange::Dhe } else { SuiteKeyExchange::Ecdhe };
                (kind, bits(hello.key_exchange))
            }
            kind @ (SuiteKeyExchange::Rsa | SuiteKeyExchange::Dh | SuiteKeyExchange::Ecdh) => (kind, certificate_bits),
            kind => (kind, bits(hello.key_exchange)),
        };
        Some(Self {
            side,
            version: hello.version,
            bulk: suite.bulk(),
            bulk_bits: suite.bulk_bits(),
            mac: suite.mac(),
            mac_bits: if suite.is_authenticated() { 0 } else { suite.mac().bits() },
            key_exchange,
            key_exchange_bits,
        })
    }

    /// `SP_PROT_TLS1_0_CLIENT`.
    fn protocol(&self) -> String {
        let number = match PROTOCOLS.iter().find(|(.., version)| *version == self.version) {
            Some((_, name, _)) if self.side == Side::Client => return format!("SP_PROT_{name}_CLIENT"),
            Some((_, name, _)) => return format!("SP_PROT_{name}_SERVER"),
            None => UNKNOWN,
        };
        number.to_string()
    }

    fn bulk_name(&self) -> String {
        let matches = |&&(_, _, bulk, bits): &&_| bulk == self.bulk && (bits == 0 || bits == self.bulk_bits);
        name(BULKS.iter().find(matches).map(|entry| entry.1))
    }

    fn mac_name(&self) -> String {
        name(MACS.iter().find(|entry| entry.2 == self.mac).map(|entry| entry.1))
    }

    fn key_exchange_name(&self) -> String {
        name(KEY_EXCHANGES.iter().find(|entry| entry.2 == self.key_exchange).map(|entry| entry.1))
    }
}

fn name(known: Option<&str>) -> String {
    known.map_or_else(|| UNKNOWN.to_string(), str::to_owned)
}

impl fmt::Display for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TLS protocol {} negotiation succeeded using bulk encryption algorithm {} with strength {} bits, MAC hash \
             algorithm {} with strength {} bits and key exchange algorithm {} with strength {} bits",
            self.protocol(),
            self.bulk_name(),
            self.bulk_bits,
            self.mac_name(),
            self.mac_bits,
            self.key_exchange_name(),
            self.key_exchange_bits,
        )
    }
}

/// The log's line of a handshake that succeeded; `side` is the one that writes the log.
pub fn negotiation_succeeded(side: Side, facts: &HandshakeFacts) -> Option<String> {
    Negotiation::new(side, facts).map(|negotiation| negotiation.to_string())
}

/// Reads such a line, of any version of Exchange.
pub fn read_negotiation(text: &str) -> Option<Negotiation> {
    let (protocol, rest) = text.trim().strip_prefix("TLS protocol ")?.split_once(" negotiation succeeded using ")?;
    let (side, version) = read_protocol(protocol)?;
    let rest = rest.strip_prefix("bulk encryption algorithm ")?;
    let (bulk, bulk_bits, rest) = read_algorithm(rest)?;
    let rest = rest.strip_prefix(", MAC hash algorithm ")?;
    let (mac, mac_bits, rest) = read_algorithm(rest)?;
    let rest = rest.strip_prefix(" and key exchange algorithm ")?;
    let (key_exchange, key_exchange_bits, _) = read_algorithm(rest)?;
    Some(Negotiation {
        side,
        version,
        bulk: find(&BULKS, bulk, |entry| (entry.0, entry.1)).map_or(Bulk::Unknown, |entry| entry.2),
        bulk_bits,
        mac: find(&MACS, mac, |entry| (entry.0, entry.1)).map_or(Mac::Unknown, |entry| entry.2),
        mac_bits,
        key_exchange: find(&KEY_EXCHANGES, key_exchange, |entry| (entry.0, entry.1))
            .map_or(SuiteKeyExchange::Other, |entry| entry.2),
        key_exchange_bits,
    })
}

/// The entry with this name or number.
fn find<'a, E>(table: &'a [E], word: &str, key: impl Fn(&E) -> (u32, &'static str)) -> Option<&'a E> {
    let number = word.parse::<u32>().ok();
    table.iter().find(|entry| key(entry).1 == word || Some(key(entry).0) == number)
}

fn read_protocol(word: &str) -> Option<(Side, WireVersion)> {
    let number = word.parse::<u32>().ok();
    PROTOCOLS.iter().find_map(|&(bit, name, version)| {
        let side = word.strip_prefix("SP_PROT_").and_then(|word| word.strip_prefix(name));
        match (side, number) {
            (Some("_CLIENT"), _) => Some((Side::Client, version)),
            (Some("_SERVER"), _) => Some((Side::Server, version)),
            (_, Some(number)) if number == bit => Some((Side::Client, version)),
            (_, Some(number)) if number == bit / 2 => Some((Side::Server, version)),
            _ => None,
        }
    })
}

/// `CALG_RC4 with strength 128 bits`, and what follows.
fn read_algorithm(text: &str) -> Option<(&str, u32, &str)> {
    let (name, rest) = text.split_once(" with strength ")?;
    let (bits, rest) = rest.split_once(" bits")?;
    Some((name, bits.parse().ok()?, rest))
}

/// The log's line of a handshake that failed, its reason in the words of SSPI's status codes.
pub fn negotiation_failed(facts: &HandshakeFacts) -> String {
    format!("TLS negotiation failed with error {}", failure(facts))
}

fn failure(facts: &HandshakeFacts) -> &'static str {
    let telling = facts.alerts.iter().find(|alert| alert.fatal || alert.description.is_none());
    if let Some(alert) = telling {
        return alert_status(alert, facts.certificate_fault);
    }
    match (facts.ended, facts.certificate_fault) {
        _ if facts.malformed.is_some() => "InvalidToken",
        // The other side hung up, whatever one thinks of its certificate.
        (Some(ended), _) if ended.by == Side::Server || ended.how == Ending::Reset => "SocketError",
        (_, Some(fault)) => fault_status(fault),
        _ => "SocketError",
    }
}

/// Alerts about certificates say less than what was found wrong with the certificate.
fn alert_status(alert: &Alert, fault: Option<CertificateFault>) -> &'static str {
    match (alert.description, fault) {
        (Some(Alert::HANDSHAKE_FAILURE | Alert::INSUFFICIENT_SECURITY | Alert::PROTOCOL_VERSION), _) => {
            "AlgorithmMismatch"
        }
        (None | Some(42..=46 | 48), Some(fault)) if alert.by == Side::Client => fault_status(fault),
        (Some(Alert::CERTIFICATE_EXPIRED), _) => "CertExpired",
        (Some(Alert::UNKNOWN_CA), _) => "UntrustedRoot",
        (Some(42..=46), _) => "CertUnknown",
        _ => "IllegalMessage",
    }
}

fn fault_status(fault: CertificateFault) -> &'static str {
    match fault {
        CertificateFault::Expired | CertificateFault::NotYetValid => "CertExpired",
        CertificateFault::SelfSigned | CertificateFault::Untrusted => "UntrustedRoot",
        CertificateFault::NameMismatch => "WrongPrincipal",
        CertificateFault::Weak | CertificateFault::Invalid => "CertUnknown",
    }
}
