//! Properties of causes, which other parts ask for instead of comparing ids.

use super::{
    CATALOGUE,
    cause::{Cause, Check},
    id::CauseId,
};

/// What a cause can stop at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// One message or one recipient. Other mail still flows, and such a message may wait for a long time.
    Message,
    /// All mail to one destination, which only that destination can change.
    Destination,
    /// All mail to one destination; at unrelated destinations at the same time, the fault is on this side.
    Way,
    /// All mail that this side sends.
    ThisSide,
}

impl CauseId {
    pub fn cause(self) -> &'static Cause {
        &CATALOGUE[self as usize]
    }

    /// What can verify it.
    pub fn verify(self) -> Check {
        self.cause().check
    }

    pub fn reach(self) -> Reach {
        match self {
            Self::RecipientUnknown
            | Self::MailboxFull
            | Self::MessageTooLarge
            | Self::RejectedByPolicy
            | Self::MailLoop
            | Self::DomainTakesNoMail
            | Self::QueueExpired => Reach::Message,
            Self::Greylisted
            | Self::RateLimited
            | Self::DestinationOverloaded
            | Self::AuthenticationRequired
            | Self::StarttlsRequired
            | Self::StarttlsMasked
            | Self::StarttlsRefused
            | Self::CertificateExpired
            | Self::CertificateNameMismatch
            | Self::WeakDh
            | Self::HangAfterHandshake
            | Self::DaneFailed
            | Self::MtaStsFailed
            | Self::DestinationInternalFailure
            | Self::NoReplyToMessage
            | Self::PipeliningBroken
            | Self::TlsSessionTicketInterop
            | Self::SizeDependentStall
            | Self::DeliveredWithoutTls => Reach::Destination,
            Self::DnsFailure
            | Self::ConnectionRefused
            | Self::ConnectionTimedOut
            | Self::NetworkUnreachable
            | Self::ConnectionDroppedBeforeBanner
            | Self::BannerTimeout
            | Self::StarttlsNotOffered
            | Self::NoSharedTlsVersion
            | Self::NoSharedCipher
            | Self::HandshakeReset
            | Self::HandshakeTimeout
            | Self::CertificateUntrusted
            | Self::CertificateWeak
            | Self::ClientCertificateRequired
            | Self::ImplicitTlsMismatch
            | Self::Unknown => Reach::Way,
            Self::OutboundPortBlocked | Self::LocalTlsCredentials | Self::LocalConfigurationError => Reach::ThisSide,
        }
    }

    /// Unrelated destinations do not have it at the same time: where they do, this side is at fault.
    pub fn can_be_everywhere(self) -> bool {
        matches!(self.reach(), Reach::Way | Reach::ThisSide)
    }

    /// Usually it ends without anybody's help.
    pub fn passes_by_itself(self) -> bool {
        matches!(self, Self::Greylisted | Self::RateLimited | Self::DestinationOverloaded)
    }

    /// TLS handshakes show it, also those that succeed.
    pub fn concerns_tls(self) -> bool {
        match self {
            Self::StarttlsRefused
            | Self::NoSharedTlsVersion
            | Self::NoSharedCipher
            | Self::HandshakeReset
            | Self::HandshakeTimeout
            | Self::CertificateExpired
            | Self::CertificateUntrusted
            | Self::CertificateNameMismatch
            | Self::CertificateWeak
            | Self::ClientCertificateRequired
            | Self::WeakDh
            | Self::HangAfterHandshake
            | Self::DaneFailed
            | Self::MtaStsFailed
            | Self::ImplicitTlsMismatch
            | Self::LocalTlsCredentials
            | Self::TlsSessionTicketInterop => true,
            Self::DnsFailure
            | Self::ConnectionRefused
            | Self::ConnectionTimedOut
            | Self::NetworkUnreachable
            | Self::ConnectionDroppedBeforeBanner
            | Self::BannerTimeout
            | Self::Greylisted
            | Self::RateLimited
            | Self::DestinationOverloaded
            | Self::RecipientUnknown
            | Self::MailboxFull
            | Self::MessageTooLarge
            | Self::RejectedByPolicy
            | Self::AuthenticationRequired
            | Self::MailLoop
            | Self::StarttlsRequired
            | Self::StarttlsNotOffered
            | Self::StarttlsMasked
            | Self::SizeDependentStall
            | Self::OutboundPortBlocked
            | Self::DestinationInternalFailure
            | Self::DomainTakesNoMail
            | Self::LocalConfigurationError
            | Self::NoReplyToMessage
            | Self::PipeliningBroken
            | Self::DeliveredWithoutTls
            | Self::QueueExpired
            | Self::Unknown => false,
        }
    }

    /// A client that verifies no certificates does not meet it.
    pub fn concerns_certificate(self) -> bool {
        matches!(
            self,
            Self::CertificateExpired
                | Self::CertificateUntrusted
                | Self::CertificateNameMismatch
                | Self::CertificateWeak
        )
    }
    /// It is in one message or mailbox: success of other mail does not end it.
    pub(crate) fn is_of_one_message(self) -> bool {
        matches!(self, Self::RecipientUnknown | Self::MailboxFull | Self::MessageTooLarge | Self::MailLoop)
    }
}
