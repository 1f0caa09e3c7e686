//! Findings about senders who fail to deliver mail to this server: the catalogue's own words are those of a side that
//! sends.

use crate::{
    causes::{Cause, CauseId},
    evidence::Direction,
};

/// What the remote host does, in the words of the side that is told. Reads on after the host's name.
pub(super) fn told_to(direction: Direction, cause: &Cause) -> &'static str {
    match direction {
        Direction::Outbound => cause.does,
        Direction::Inbound => does(cause.id),
    }
}

/// Reads on after the sender's name.
fn does(cause: CauseId) -> &'static str {
    match cause {
        CauseId::NoSharedCipher => "shares no cipher suite with this server",
        CauseId::NoSharedTlsVersion => "shares no TLS version with this server",
        CauseId::HandshakeReset => "drops the connection during the TLS handshake with this server",
        CauseId::HandshakeTimeout => "does not finish the TLS handshake with this server",
        CauseId::CertificateExpired => "refuses the certificate of this server, which has expired",
        CauseId::CertificateUntrusted => "does not trust the certificate of this server",
        CauseId::CertificateNameMismatch => "refuses the certificate of this server because of its name",
        CauseId::CertificateWeak => "refuses the certificate of this server because it is weak",
        CauseId::ClientCertificateRequired => "shows no certificate that this server accepts",
        CauseId::WeakDh => "refuses the Diffie-Hellman key of this server because it is short",
        CauseId::StarttlsRequired => "uses no TLS, which this server requires",
        CauseId::StarttlsNotOffered => "requires TLS, which this server does not offer it",
        CauseId::StarttlsMasked => "does not see that this server offers STARTTLS",
        CauseId::StarttlsRefused => "asks for STARTTLS, which this server refuses",
        CauseId::RecipientUnknown => "sends mail to recipients that this server does not know",
        CauseId::MailboxFull => "sends mail to mailboxes that are full",
        CauseId::MessageTooLarge => "sends messages that are larger than this server accepts",
        CauseId::RejectedByPolicy => "sends mail that the rules of this server reject",
        CauseId::AuthenticationRequired => "sends mail that this server accepts only after a login",
        CauseId::Greylisted => "is greylisted by this server",
        CauseId::RateLimited => "opens more connections or sends more mail than this server accepts",
        CauseId::DestinationOverloaded => "is deferred because this server lacks resources",
        CauseId::MailLoop => "sends mail that is in a mail loop",
        CauseId::ConnectionDroppedBeforeBanner => "drops the connection before this server greets it",
        CauseId::DestinationInternalFailure | CauseId::LocalConfigurationError => {
            "fails to deliver mail because of a fault of this server"
        }
        CauseId::LocalTlsCredentials => "fails because this server cannot use its own certificate or key",
        CauseId::ImplicitTlsMismatch => "speaks TLS where this server expects plain SMTP, or the other way round",
        CauseId::Unknown => "fails to deliver mail to this server in a way that fits no known cause",
        _ => "fails to deliver mail to this server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::CATALOGUE;

    #[test]
    fn each_cause_is_told_to_the_side_that_receives() {
        for cause in &CATALOGUE {
            let does = told_to(Direction::Inbound, cause);
            assert!(does.contains("this server") || does.starts_with("sends mail"), "{}", cause.id);
            assert_eq!(told_to(Direction::Outbound, cause), cause.does);
        }
    }
}
