//! Mail addresses as they appear in envelopes (RFC 5321 section 4.1.2, RFC 6531 for UTF-8).

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// `local-part@domain` as the client sent it, without angle brackets or source route.
///
/// The text is checked by [`Address::parse`]; the domain may be an address literal in square brackets.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: Box<str>,
    /// Byte offset of the `@` that separates the local part from the domain.
    at: usize,
}

/// Why a text is not an address. Reads on after "failed to parse address: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("it has no @")]
    NoDomain,
    #[error("the local part is empty or over 64 octets")]
    LocalPartLength,
    #[error("the domain is empty or over 255 octets")]
    DomainLength,
    #[error("the local part has a character that must be quoted")]
    LocalPartCharacter,
    #[error("the domain has a character that no host name has")]
    DomainCharacter,
}

impl Address {
    /// Parses `local@domain`; the local part may be a quoted string, the domain an address literal.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = text.rfind('@').ok_or(AddressError::NoDomain)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        if local.is_empty() || local.len() > 64 {
            return Err(AddressError::LocalPartLength);
        }
        if domain.is_empty() || domain.len() > 255 {
            return Err(AddressError::DomainLength);
        }
        if !is_local_part(local) {
            return Err(AddressError::LocalPartCharacter);
        }
        if !is_domain(domain) {
            return Err(AddressError::DomainCharacter);
        }
        Ok(Self { text: text.into(), at })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain as it was sent. To compare domains, use [`Address::domain_key`].
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The domain in lower case and as A-labels (RFC 5890), for lookups and comparisons.
    pub fn domain_key(&self) -> String {
        domain_key(self.domain())
    }

    /// True if it can only be sent to a server that offers SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

/// A domain name in lower case and as A-labels. A text that is not a domain name is only converted to lower case.
pub fn domain_key(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        return domain.to_ascii_lowercase();
    }
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase())
}

/// The address in a literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3). The tag may be in
/// any letter case, and may be missing.
pub fn address_literal(domain: &str) -> Option<IpAddr> {
    let literal = domain.strip_prefix('[')?.strip_suffix(']')?;
    match literal.split_at_checked("IPv6:".len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse().ok().map(IpAddr::V6),
        _ => literal.parse().ok(),
    }
}

fn is_local_part(local: &str) -> bool {
    match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => is_quoted_content(quoted),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c)
}

fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

fn is_quoted_content(quoted: &str) -> bool {
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        let ok = match c {
            '\\' => chars.next().is_some_and(|next| (' '..='~').contains(&next)),
            '"' => false,
            c => (' '..='~').contains(&c) || is_utf8_text(c),
        };
        if !ok {
            return false;
        }
    }
    true
}

fn is_domain(domain: &str) -> bool {
    if domain.starts_with('[') {
        return address_literal(domain).is_some();
    }
    domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8_text(c))
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text.into()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

/// Where non-delivery notices go: an address, or nowhere (RFC 5321 section 4.5.5).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`: the sender of notices, to whom no notice may be sent.
    Null,
    Address(Address),
}

impl ReversePath {
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// The address without angle brackets, empty for the null sender.
    pub fn as_str(&self) -> &str {
        self.address().map_or("", Address::as_str)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ReversePath> for String {
    fn from(path: ReversePath) -> Self {
        path.as_str().to_owned()
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self::Null) } else { Address::parse(&text).map(Self::Address) }
    }
}
