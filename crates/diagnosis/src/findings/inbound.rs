//! Findings about senders who fail to deliver mail to this server: what they fail by, and what this side can do. The
//! catalogue's own words are those of a side that sends.

use crate::{
    causes::{Cause, CauseId, Remedy, Side},
    evidence::Direction,
};

/// The cause in the words of the side that it is told to.
pub(super) fn told_to(direction: Direction, cause: &Cause) -> Cause {
    match direction {
        Direction::Outbound => *cause,
        Direction::Inbound => Cause { does: does(cause.id), ..*cause },
    }
}

pub(super) fn remedies(direction: Direction, cause: &Cause) -> Vec<Remedy> {
    match direction {
        Direction::Outbound => cause.remedies(),
        Direction::Inbound => {
            let own = own_remedies(cause.id).iter();
            own.map(|action| Remedy { side: Side::Gateway, action: (*action).to_owned() }).collect()
        }
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
        CauseId::Unknown => "fails to deliver mail to this server in a way that fits no known cause",
        _ => "fails to deliver mail to this server",
    }
}

/// What the administrator of the receiving server can do.
fn own_remedies(cause: CauseId) -> &'static [&'static str] {
    match cause {
        CauseId::NoSharedCipher => &[
            "Allow a cipher suite that the sender offers: in Postfix with `smtpd_tls_ciphers` and \
             `smtpd_tls_exclude_ciphers`. This lowers the security of all senders' connections.",
            "Ask the sender to update its TLS library.",
        ],
        CauseId::NoSharedTlsVersion => &[
            "Allow the TLS version that the sender offers: in Postfix with `smtpd_tls_protocols`, in Exchange with \
             Schannel's settings. This lowers the security of all senders' connections.",
            "Ask the sender to update its TLS library.",
        ],
        CauseId::CertificateExpired
        | CauseId::CertificateUntrusted
        | CauseId::CertificateNameMismatch
        | CauseId::CertificateWeak => &[
            "Install a valid certificate for this server's name with its whole chain: in Postfix with \
             `smtpd_tls_chain_files`, in Exchange with `Set-ReceiveConnector -TlsCertificateName`, in Gatepost with \
             `tls_certificate` of `[inbound]`.",
            "Show the certificate that senders get: `openssl s_client -starttls smtp -connect HOST:25`.",
        ],
        CauseId::HandshakeReset | CauseId::HandshakeTimeout => &[
            "Show the certificate that senders get: `openssl s_client -starttls smtp -connect HOST:25`. Many senders \
             leave without a word if they do not trust it.",
            "Find a firewall in front of this server that inspects TLS or SMTP, and exempt port 25.",
            "Capture packets of one session (`tcpdump -w in.pcap port 25`), then run `gatepost why --capture in.pcap`.",
        ],
        CauseId::StarttlsNotOffered | CauseId::StarttlsMasked | CauseId::StarttlsRefused => &[
            "Offer STARTTLS: in Postfix with `smtpd_tls_security_level = may` and a certificate, in Exchange with `TLS` \
             in the AuthMechanism of the receive connector, in Gatepost with `starttls` of `[inbound]`.",
            "Find a firewall in front of this server that removes STARTTLS from the replies, and switch that off.",
        ],
        CauseId::RecipientUnknown => &[
            "If the recipient exists, add it to the list of recipients that this server reads. If not, there is nothing \
             to do: the sender gets a notice.",
        ],
        CauseId::MailboxFull => &["Ask the recipient to delete mail, or raise the mailbox's quota."],
        CauseId::MessageTooLarge => {
            &["Raise the maximum message size if such mail is wanted: in Postfix `message_size_limit`, in Exchange \
             `Set-ReceiveConnector -MaxMessageSize`."]
        }
        CauseId::RejectedByPolicy => &[
            "Read the rule in the evidence. If the mail is wanted, exempt this sender from that rule alone.",
            "Otherwise there is nothing to do: the sender gets a notice with the same text.",
        ],
        CauseId::AuthenticationRequired => &[
            "If the sender is one of your own devices or users, check its user name and password, or add its address to \
             the addresses that may relay (`mynetworks` in Postfix).",
            "Many failures from addresses that you do not know are attempts to guess passwords: block those addresses.",
        ],
        CauseId::Greylisted => {
            &["Wait: the sender tries again. If the sender is known, exempt its addresses from greylisting."]
        }
        CauseId::RateLimited => {
            &["Raise the limit if the sender is wanted: in Postfix `smtpd_client_connection_count_limit` and \
             `smtpd_client_connection_rate_limit`."]
        }
        _ => &[
            "Read this server's log at the times of the failures.",
            "Ask the administrator of the sender what its server logged at these times.",
            "Capture packets of one session (`tcpdump -w in.pcap port 25`), then run `gatepost why --capture in.pcap`.",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::CATALOGUE;

    #[test]
    fn each_cause_is_told_to_the_side_that_receives() {
        for cause in &CATALOGUE {
            let told = told_to(Direction::Inbound, cause);
            assert!(told.does.contains("this server") || told.does.starts_with("sends mail"), "{}", cause.id);
            let remedies = remedies(Direction::Inbound, cause);
            assert!(!remedies.is_empty() && remedies.iter().all(|remedy| remedy.side == Side::Gateway), "{}", cause.id);
            assert_eq!(told_to(Direction::Outbound, cause).does, cause.does);
        }
    }
}
