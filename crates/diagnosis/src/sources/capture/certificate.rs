//! What is wrong with a certificate that a client refused, as far as it shows itself. What the client trusts is not in a
//! capture, nor which name it looked for, unless its hello has it.

use std::borrow::Cow;

use jiff::Timestamp;
use protocol::tls::{Certificate, CertificateFault, HandshakeFacts};

/// The facts, with the fault of the certificate; signs are made of it where the client's alert is about a certificate.
pub(super) fn judged(facts: &HandshakeFacts, at: Timestamp) -> Cow<'_, HandshakeFacts> {
    match fault(facts, at.as_second()) {
        None => Cow::Borrowed(facts),
        fault => Cow::Owned(HandshakeFacts { certificate_fault: fault, ..facts.clone() }),
    }
}

fn fault(facts: &HandshakeFacts, now_s: i64) -> Option<CertificateFault> {
    let chain = facts.certificates.as_slice();
    let leaf = chain.first()?;
    let name = facts.client_hello.as_ref().and_then(|hello| hello.server_name.as_deref());
    match () {
        () if chain.iter().any(|certificate| certificate.not_after_s < now_s) => Some(CertificateFault::Expired),
        () if chain.iter().any(|certificate| certificate.not_before_s > now_s) => Some(CertificateFault::NotYetValid),
        () if leaf.subject == leaf.issuer => Some(CertificateFault::SelfSigned),
        () if name.is_some_and(|name| !is_for(leaf, name)) => Some(CertificateFault::NameMismatch),
        () if chain.iter().any(is_weak) => Some(CertificateFault::Weak),
        () => None,
    }
}

/// RFC 9525 section 6.3: an asterisk stands for the whole of the first label.
fn is_for(certificate: &Certificate, name: &str) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    let is_name = |known: &str| match known.strip_prefix("*.") {
        Some(domain) => parent.is_some_and(|parent| parent.eq_ignore_ascii_case(domain)),
        None => known.eq_ignore_ascii_case(name),
    };
    let common_name = certificate.subject.split(", ").find_map(|part| part.strip_prefix("CN="));
    // Where there are other names, the common one does not count.
    match certificate.names.as_slice() {
        [] => common_name.is_some_and(is_name),
        // Of very many names only the first are kept: the one may be among the others.
        names => certificate.names_omitted > 0 || names.iter().any(|known| is_name(known)),
    }
}

/// What OpenSSL refuses at security level 2, its default. Nobody checks how an authority signed itself.
fn is_weak(certificate: &Certificate) -> bool {
    let signature = certificate.signature.to_ascii_lowercase();
    let is_signed_weakly = signature.contains("sha1") || signature.contains("md5");
    let is_root = certificate.subject == certificate.issuer;
    (is_signed_weakly && !is_root) || (certificate.key == "RSA" && certificate.key_bits < 2048)
}

#[cfg(test)]
mod tests {
    use protocol::tls::ClientHello;

    use super::*;

    fn certificate() -> Certificate {
        Certificate {
            subject: "CN=mail.onprem.test, O=Onprem".to_owned(),
            issuer: "CN=Authority".to_owned(),
            serial: "01".to_owned(),
            not_before_s: 100,
            not_after_s: 300,
            names: vec!["mail.onprem.test".to_owned()],
            names_omitted: 0,
            key: "RSA".to_owned(),
            key_bits: 2048,
            signature: "sha256WithRSAEncryption".to_owned(),
            thumbprint: String::new(),
        }
    }

    fn fault_of(certificate: Certificate, server_name: Option<&str>) -> Option<CertificateFault> {
        let hello = ClientHello {
            versions: Vec::new(),
            cipher_suites: Vec::new(),
            extensions: Vec::new(),
            server_name: server_name.map(str::to_owned),
            groups: Vec::new(),
            signature_algorithms: Vec::new(),
            length_bytes: 0,
        };
        let facts =
            HandshakeFacts { client_hello: Some(hello), certificates: vec![certificate], ..HandshakeFacts::default() };
        fault(&facts, 200)
    }

    #[test]
    fn a_certificate_shows_what_is_wrong_with_it() {
        let named = |names: &[&str]| Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..certificate()
        };
        let signed = |signature: &str| Certificate { signature: signature.to_owned(), ..certificate() };
        let own = Certificate { issuer: certificate().subject, ..certificate() };
        let name = Some("mail.onprem.test");
        let table = [
            (certificate(), name, None),
            (certificate(), None, None),
            (certificate(), Some("other.test"), Some(CertificateFault::NameMismatch)),
            (named(&["*.onprem.test"]), Some("MAIL.onprem.test"), None),
            (named(&["*.test"]), name, Some(CertificateFault::NameMismatch)),
            (named(&["www.onprem.test"]), name, Some(CertificateFault::NameMismatch)),
            (Certificate { names_omitted: 1, ..named(&["www.onprem.test"]) }, name, None),
            (named(&[]), name, None),
            (Certificate { not_after_s: 199, ..certificate() }, name, Some(CertificateFault::Expired)),
            (Certificate { not_before_s: 201, ..certificate() }, name, Some(CertificateFault::NotYetValid)),
            (own, name, Some(CertificateFault::SelfSigned)),
            (signed("sha1WithRSAEncryption"), name, Some(CertificateFault::Weak)),
            (signed("ecdsa-with-SHA1"), name, Some(CertificateFault::Weak)),
            (Certificate { key_bits: 1024, ..certificate() }, name, Some(CertificateFault::Weak)),
        ];
        for (certificate, name, expected) in table {
            assert_eq!(fault_of(certificate.clone(), name), expected, "{certificate:?} for {name:?}");
        }
    }
}
