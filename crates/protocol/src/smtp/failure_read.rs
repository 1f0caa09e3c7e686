//! Reads a [`FailureKind`] back from its own words: a protocol log has no other place for it.

use super::FailureKind;

impl FailureKind {
    /// The kind that `Display` wrote, in this version or in an older one; `None`: other words.
    pub fn read(text: &str) -> Option<Self> {
        let plain = [
            Self::Rejected,
            Self::HostNotFound,
            Self::NullMx,
            Self::ConnectionRefused,
            Self::NetworkUnreachable,
            Self::ConnectionReset,
            Self::ConnectionClosed,
            Self::StartTlsNotOffered,
            Self::StartTlsMasked,
            Self::MailLoop,
        ];
        let older =
            [("STARTTLS is required and masked as XXXXXXXA, as firewalls that inspect SMTP do", Self::StartTlsMasked)];
        let known = plain.into_iter().find(|kind| kind.to_string() == text);
        let known = known.or_else(|| older.into_iter().find(|(words, _)| *words == text).map(|(_, kind)| kind));
        known.or_else(|| with_detail(text)).or_else(|| with_numbers(text)).or_else(|| expired(text))
    }
}

/// `DNS failure (SERVFAIL)`
fn with_detail(text: &str) -> Option<FailureKind> {
    let (words, detail) = text.strip_suffix(')')?.split_once(" (")?;
    let detail = detail.to_owned();
    Some(match words {
        "DNS failure" => FailureKind::DnsFailure { detail },
        "TLS handshake failed" => FailureKind::HandshakeFailed { detail },
        "the encrypted connection broke" => FailureKind::TlsBroken { detail },
        "the answer is not SMTP" => FailureKind::BadReply { detail },
        "fault on this node" => FailureKind::Local { detail },
        _ => return None,
    })
}

fn with_numbers(text: &str) -> Option<FailureKind> {
    let between = |before: &str, behind: &str| text.strip_prefix(before)?.strip_suffix(behind);
    if let Some(after_s) = between("no answer within ", " s") {
        return Some(FailureKind::TimedOut { after_s: after_s.parse().ok()? });
    }
    if let Some(sizes) = between("", " that the destination accepts") {
        let (size, size_max) = sizes.split_once(" bytes are more than the ")?;
        let (size_bytes, size_max_bytes) = (size.parse().ok()?, size_max.parse().ok()?);
        return Some(FailureKind::TooLarge { size_bytes, size_max_bytes });
    }
    if let Some(address) = between("", " is not a public internet address, and [internet] allow does not list it") {
        return Some(FailureKind::AddressNotAllowed { address: address.parse().ok()? });
    }
    let extension = between("the destination does not offer ", "").filter(|extension| !extension.contains(' '))?;
    Some(FailureKind::ExtensionMissing { extension: extension.to_owned() })
}

fn expired(text: &str) -> Option<FailureKind> {
    let rest = text.strip_prefix("expired in the queue")?;
    let cause = match rest {
        "" => None,
        rest => Some(Box::new(FailureKind::read(rest.strip_prefix(", last attempt: ")?)?)),
    };
    Some(FailureKind::Expired { cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_words() {
        let detail = || "no (known) reason".to_owned();
        let kinds = [
            FailureKind::Rejected,
            FailureKind::HostNotFound,
            FailureKind::NullMx,
            FailureKind::DnsFailure { detail: detail() },
            FailureKind::ConnectionRefused,
            FailureKind::NetworkUnreachable,
            FailureKind::ConnectionReset,
            FailureKind::ConnectionClosed,
            FailureKind::TimedOut { after_s: 300 },
            FailureKind::HandshakeFailed { detail: detail() },
            FailureKind::TlsBroken { detail: detail() },
            FailureKind::StartTlsNotOffered,
            FailureKind::StartTlsMasked,
            FailureKind::ExtensionMissing { extension: "SMTPUTF8".to_owned() },
            FailureKind::TooLarge { size_bytes: 20, size_max_bytes: 10 },
            FailureKind::BadReply { detail: detail() },
            FailureKind::AddressNotAllowed { address: [10, 0, 0, 1].into() },
            FailureKind::Local { detail: detail() },
            FailureKind::MailLoop,
            FailureKind::Expired { cause: None },
            FailureKind::Expired { cause: Some(Box::new(FailureKind::TimedOut { after_s: 30 })) },
        ];
        for kind in kinds {
            assert_eq!(FailureKind::read(&kind.to_string()), Some(kind.clone()), "{kind}");
            assert_eq!(FailureKind::read(&format!("{kind}, or not")), None, "{kind}");
        }
        assert_eq!(FailureKind::read("TLS negotiation failed with error SocketError"), None);
    }
}
