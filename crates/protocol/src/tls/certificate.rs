//! Reads the fields of an X.509 certificate (RFC 5280) that matter for mail transport.

use sha1::{Digest, Sha1};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::{Oid, asn1_rs::Tag},
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev, oid2sn},
    parse_x509_certificate,
    public_key::PublicKey,
    x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name},
};

use super::{
    Certificate,
    message::bit_length,
    text::{hex, printable},
};
use crate::kept::{self, json_bytes};

/// Maximum length of one text of the leaf, in bytes of JSON: it is stored with every attempt.
const TEXT_BYTES_MAX: usize = 320;
/// The same for the authorities above the leaf.
const CHAIN_TEXT_BYTES_MAX: usize = 128;
const NAMES_BYTES_MAX: usize = 512;
/// RFC 5280 section 4.1.2.2 allows 20 octets.
const SERIAL_BYTES_MAX: usize = 20;
/// Certificates of a chain that are kept: the leaf, two that lead to the root, and the root.
const CHAIN_MAX: usize = 4;

impl Certificate {
    /// The certificates of a chain that are kept, leaf first. Skips everything that is not a certificate.
    pub fn parse_chain<D: AsRef<[u8]>>(chain: impl IntoIterator<Item = D>) -> Vec<Self> {
        let certificates = chain.into_iter().take(CHAIN_MAX).filter_map(|der| Self::parse(der.as_ref()));
        let mut certificates: Vec<Self> = certificates.collect();
        // The host names in an authority's own certificate do not matter.
        for authority in certificates.iter_mut().skip(1) {
            authority.names.clear();
            for text in [&mut authority.subject, &mut authority.issuer, &mut authority.key, &mut authority.signature] {
                *text = kept::cut(text, CHAIN_TEXT_BYTES_MAX);
            }
        }
        certificates
    }

    /// `None`: `der` is not a certificate.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let (key, key_bits) = key(certificate.public_key());
        let algorithm = &certificate.signature_algorithm.algorithm;
        let signature = oid2sn(algorithm, oid_registry()).map_or_else(|_| algorithm.to_id_string(), str::to_owned);
        let serial = certificate.serial.to_bytes_be();
        let (names, names_omitted) = alternative_names(&certificate);
        Some(Self {
            subject: cut(name(certificate.subject())),
            issuer: cut(name(certificate.issuer())),
            serial: hex(serial.get(..SERIAL_BYTES_MAX).unwrap_or(&serial), ""),
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            names,
            names_omitted,
            key: cut(key),
            key_bits,
            signature: cut(signature),
            thumbprint: hex(&Sha1::digest(der), ""),
        })
    }
}

/// RFC 4514 section 2.1: the last part, which is the most specific, comes first. `+` joins attributes of one part.
fn name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(", ")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let kind = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
    format!("{kind}={}", escaped(&text(attribute)))
}

/// Old certificates have text in old encodings.
fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let bytes = attribute.as_slice();
    if attribute.attr_value().tag() == Tag::BmpString {
        let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        return char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Text that is declared as Teletex is Latin-1 in practice.
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// RFC 4514 section 2.4. Replaces control characters too, because terminals obey them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', character]),
            _ if character.is_control() => escaped.push('?'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// The first names, and how many more there are.
fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<String>, u32) {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return (Vec::new(), 0) };
    let names = extension.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(cut(printable(name.as_bytes()))),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    let (mut kept, mut omitted, mut room) = (Vec::new(), 0, NAMES_BYTES_MAX);
    for name in names {
        // With quotation marks and comma.
        let bytes = json_bytes(&name) + 3;
        if omitted == 0 && bytes <= room {
            room -= bytes;
            kept.push(name);
        } else {
            omitted += 1;
        }
    }
    (kept, omitted)
}

fn cut(text: String) -> String {
    kept::cut(&text, TEXT_BYTES_MAX)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}

/// Name and bits of a public key.
fn key(info: &SubjectPublicKeyInfo<'_>) -> (String, u32) {
    let algorithm = &info.algorithm.algorithm;
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA".to_owned(), bit_length(key.modulus)),
        // The public value is any number below the prime; primes come in steps of 64 bits (FIPS 186).
        Ok(PublicKey::DSA(y)) => ("DSA".to_owned(), bit_length(y).next_multiple_of(64)),
        Ok(PublicKey::EC(_)) => elliptic_curve(info),
        _ => match algorithm.to_id_string().as_str() {
            // RFC 8410.
            "1.3.101.112" => ("Ed25519".to_owned(), 256),
            "1.3.101.113" => ("Ed448".to_owned(), 448),
            other => (other.to_owned(), 0),
        },
    }
}

/// RFC 5480 section 2.1.1.1: the parameters name the curve by its object identifier.
fn elliptic_curve(info: &SubjectPublicKeyInfo<'_>) -> (String, u32) {
    let parameters = info.algorithm.parameters.clone();
    let Some(curve) = parameters.and_then(|any| Oid::try_from(any).ok()) else { return ("EC".to_owned(), 0) };
    let curve = curve.to_id_string();
    let (name, bits) = match curve.as_str() {
        "1.2.840.10045.3.1.1" => ("P-192", 192),
        "1.2.840.10045.3.1.7" => ("P-256", 256),
        "1.3.132.0.10" => ("secp256k1", 256),
        "1.3.132.0.33" => ("P-224", 224),
        "1.3.132.0.34" => ("P-384", 384),
        "1.3.132.0.35" => ("P-521", 521),
        "1.3.36.3.3.2.8.1.1.7" => ("brainpoolP256r1", 256),
        "1.3.36.3.3.2.8.1.1.11" => ("brainpoolP384r1", 384),
        "1.3.36.3.3.2.8.1.1.13" => ("brainpoolP512r1", 512),
        other => (other, 0),
    };
    (format!("EC {name}"), bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -set_serial 0x00c0ffee -days 3650 \
    ///   -subj '/C=DE/O=A, B \+ "C"/CN=mail.onprem.test' \
    ///   -addext 'subjectAltName=DNS:mail.onprem.test,IP:192.0.2.1,IP:2001:db8::1,email:a@x.test'
    const DER: &str = "\
        3082023c308201c3a003020102020400c0ffee300a06082a8648ce3d040302303d310b300906035504061302444531133011\
        060355040a0c0a412c2042202b202243223119301706035504030c106d61696c2e6f6e7072656d2e74657374301e170d3236\
        313132353039333635345a170d3336313132323039333635345a303d310b300906035504061302444531133011060355040a\
        0c0a412c2042202b202243223119301706035504030c106d61696c2e6f6e7072656d2e746573743076301006072a8648ce3d\
        020106052b81040022036200043df03212ca2cee9a4c46f0bd5bc796f416b1b7ed4133515e84c4d6d961ec3cdd43b214db10\
        a0f28faf9f8a7b2353ce13b62a54e3efc1b7d6fb2e5e06845e1a4250a5adb591e993646e789b01ae2b66c4c048720eb9fda3\
        80b17f748dd12ef5e1a38193308190301d0603551d0e0416041445130d36b9a48214e6310bb6af4feaf8474d2cfa301f0603\
        551d2304183016801445130d36b9a48214e6310bb6af4feaf8474d2cfa300f0603551d130101ff040530030101ff303d0603\
        551d110436303482106d61696c2e6f6e7072656d2e746573748704c0000201871020010db800000000000000000000000181\
        086140782e74657374300a06082a8648ce3d040302036700306402302f5fc292143607788dac848f8282318ae8bce8ca8f01\
        d9f518e5f299f2ca8190b6752d9ac935012c24acd3e795a78bf902304aa20a6abb382d3f18a86e2ad5993c4bbcdf6dfc1133\
        14c006292c987755e296b901ceed29365f784d2ab23f678c427c";

    #[test]
    fn what_openssl_makes_is_read() {
        let der: Vec<u8> =
            (0..DER.len()).step_by(2).map(|at| u8::from_str_radix(&DER[at..at + 2], 16).expect("two digits")).collect();
        let name = r#"CN=mail.onprem.test, O=A\, B \+ \"C\", C=DE"#;
        let expected = Certificate {
            subject: name.to_owned(),
            issuer: name.to_owned(),
            serial: "C0FFEE".to_owned(),
            not_before_s: 1795599414,
            not_after_s: 2110959414,
            names: ["mail.onprem.test", "192.0.2.1", "2001:db8::1"].map(str::to_owned).to_vec(),
            names_omitted: 0,
            key: "EC P-384".to_owned(),
            key_bits: 384,
            signature: "ecdsa-with-SHA256".to_owned(),
            thumbprint: "44FBCD6324AE6AB5229290188E84407BE8C32E42".to_owned(),
        };
        assert_eq!(Certificate::parse(&der), Some(expected));
        // Half of it is not a certificate.
        assert_eq!(Certificate::parse(&der[..der.len() / 2]), None);
    }
}
