//! Handshake facts: what both sides offered and chose, who alerted, and how it ended. "Not observed" is `None` or an
//! empty list, and is never taken for "absent". Numbers are those on the wire; names are for people.

use serde::{Deserialize, Serialize};

use super::{CipherSuite, WireVersion};

/// One end of the connection that is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Client,
    Server,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One handshake as it was seen on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HandshakeFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hello: Option<ClientHello>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_hello: Option<ServerHello>,
    /// The server's chain, leaf first, if it was sent in plaintext (up to TLS 1.2) or the library returned it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Why the chain is not valid for the host's name. `None`: it is valid, or it was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_fault: Option<CertificateFault>,
    /// The server asked for a client certificate: in plaintext, or the client answered that it has none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_certificate_requested: bool,
    /// In the order in which they were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// An earlier session was resumed, so no certificate was sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Both sides have sent the message that ends the handshake.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub completed: bool,
    /// How the connection ended, if it ended within the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Bytes of the handshake from the client, and from the server.
    pub client_bytes: u64,
    pub server_bytes: u64,
    /// From the first byte to the handshake's end, in milliseconds.
    pub duration_ms: u64,
    /// The first bytes on the wire that are not TLS, described for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}

impl HandshakeFacts {
    /// The server chose a cipher suite that is not in the client's list.
    pub fn chose_cipher_not_offered(&self) -> bool {
        let (Some(client), Some(server)) = (&self.client_hello, &self.server_hello) else { return false };
        !client.cipher_suites.is_empty() && !client.cipher_suites.contains(&server.cipher_suite)
    }
}

/// RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientHello {
    /// Versions that the client accepts: those of supported_versions, or legacy_version alone if the hello has no such
    /// list. Such a client may accept older versions too. Highest first, without GREASE.
    pub versions: Vec<WireVersion>,
    /// In order of preference, without GREASE and signalling values (TLS_FALLBACK_SCSV, renegotiation info).
    pub cipher_suites: Vec<CipherSuite>,
    /// Numbers of the extensions in their order, without GREASE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// supported_groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u16>,
    /// signature_algorithms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signature_algorithms: Vec<u16>,
    /// Bytes of the handshake message: some middleboxes fail on messages over 256 or 512.
    pub length_bytes: u32,
}

/// RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerHello {
    /// supported_versions if present, otherwise legacy_version.
    pub version: WireVersion,
    pub cipher_suite: CipherSuite,
    /// How the keys were exchanged, from key_share or ServerKeyExchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<KeyExchange>,
    /// A HelloRetryRequest came before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// An elliptic curve or a finite field group by its number (IANA "TLS Supported Groups").
    Group(u16),
    /// Finite field Diffie-Hellman with a prime of this size, chosen by the server (up to TLS 1.2).
    DiffieHellman { prime_bits: u32 },
}

/// The fields of an X.509 certificate (RFC 5280) that matter for mail transport. Times are seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal, upper case.
    pub serial: String,
    pub not_before_s: i64,
    pub not_after_s: i64,
    /// dNSName and iPAddress entries of subjectAltName.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Number of further entries.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_omitted: u32,
    /// e.g. `RSA`, `EC P-256`, or the algorithm's object identifier.
    pub key: String,
    /// Size of the modulus or the curve. 0: unknown.
    pub key_bits: u32,
    /// e.g. `sha1WithRSAEncryption`, or the object identifier.
    pub signature: String,
    /// SHA-1 over the whole certificate, hexadecimal, upper case: what Windows calls the thumbprint.
    pub thumbprint: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why a certificate is not valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateFault {
    Expired,
    NotYetValid,
    SelfSigned,
    /// This node does not trust its issuer, or an intermediate certificate is missing.
    Untrusted,
    NameMismatch,
    /// Key or signature is not considered safe, such as SHA-1 or RSA under 2048 bits.
    Weak,
    /// Any other fault.
    Invalid,
}

/// RFC 8446 section 6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert {
    pub by: Side,
    /// `None`: it was encrypted, and the library did not report it either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<u8>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fatal: bool,
}

/// Who ended the connection, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub by: Side,
    pub how: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// FIN: an orderly end of the stream.
    Fin,
    /// RST.
    Reset,
    /// The opposite side waited without an answer from this side.
    Silence,
}
